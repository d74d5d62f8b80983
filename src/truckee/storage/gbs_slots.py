"""
The slots of our storage server for clients over HTTPS.

Source: ``docs/formats/storage-https.md``, "Slots".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred

from truckee.flow.limits import Budget
from truckee.storage import gbs_cbor, gbs_schema, gbs_slot_schema
from truckee.storage.gbs_http import Question, Refusal, parse_body
from truckee.storage.gbs_paths import share_number_of
from truckee.storage.gbs_reports import take_report
from truckee.storage.gbs_slot_schema import MAX_REQUEST
from truckee.storage.interfaces import (
    MAX_SLOT_DATA,
    MAX_SLOT_SHARES,
    ILocalSlots,
    ISlotReader,
    OtherKind,
    SlotRead,
    SlotSecrets,
)

# Bytes that come from the disk at once.
_PIECE = 256 * 1024
# Bytes of requests that are in memory at once, over all clients.  Directories are small:
# so much of each request is taken without asking.
_ALL_BODIES = MAX_REQUEST
_SMALL_BODY = 64 * 1024
_SMALL_READ = 4096  # bytes of each share; stock clients read 57
_STEP = 1 << 20  # bytes by which more is asked for
_WAIT = 60  # seconds to wait for others to be done with theirs
# Who sends slower keeps others out: after the grace, bytes per second on the whole.
_GRACE = 60.0  # seconds
_MIN_RATE = 8 * 1024


@define(eq=False)
class GbsSlots:
    """Serves *slots* to whoever was let in already."""

    _slots: ILocalSlots
    _reactor: Any
    _bodies: Budget = field(factory=lambda: Budget(_ALL_BODIES), init=False)
    _answers: Budget = field(factory=lambda: Budget(MAX_SLOT_DATA), init=False)

    async def refuse_other_kind(self, storage_index: bytes) -> None:
        """:raises OtherKind: when the shares here are those of a mutable file."""
        if await self._slots.shares(storage_index):
            raise OtherKind("mutable")

    async def answer(
        self, question: Question, storage_index: bytes, way: Sequence[str]
    ) -> None:
        """Answer a request whose path continues with *way* behind the storage index."""
        match way:
            case ["read-test-write"]:
                await self._write(question, storage_index)
            case ["shares"]:
                await self._list(question, storage_index)
            case [number]:
                await self._read(question, storage_index, share_number_of(number))
            case [number, "corrupt"]:
                await self._note(question, storage_index, share_number_of(number))
            case _:
                raise Refusal(404, "There is nothing here.")

    async def _list(self, question: Question, storage_index: bytes) -> None:
        """Answer which shares there are."""
        question.check(b"GET")
        question.secrets(set())
        found = await self._slots.shares(storage_index)
        question.answer(200, gbs_schema.encode_shares(found))

    async def _read(self, question: Question, storage_index: bytes, number: int) -> None:
        """Answer with a share, or a range of it."""
        question.check(b"GET")
        question.secrets(set())
        text = question.header("Range")
        begin, end = 0, gbs_cbor.MAX_NUMBER
        if text:
            try:
                begin, end = gbs_schema.parse_range(text)
            except ValueError as error:
                raise Refusal(416, str(error)) from None
        reader = await self._slots.open(storage_index, number)
        if reader is None:
            raise Refusal(404, "This share is not here.")
        try:
            end = min(end, reader.length)
            if begin >= end:
                question.answer(204)
                return
            if text:
                question.tell(b"Content-Range", gbs_schema.content_range(begin, end))
            question.tell(b"Content-Length", b"%d" % (end - begin))
            await question.stream(206 if text else 200, _pieces(reader, begin, end))
        finally:
            await reader.close()

    async def _write(self, question: Question, storage_index: bytes) -> None:
        """Test and write."""
        question.check(b"POST")
        wanted = {gbs_schema.RENEW, gbs_schema.CANCEL, gbs_schema.WRITE_ENABLER}
        secrets = question.secrets(wanted)
        leases = gbs_schema.lease_secrets(secrets)
        taken, promised = list[int](), 0
        try:
            body = await self._body(question, taken)
            changes, reads = parse_body(gbs_slot_schema.parse_request, body)
            most = _most_answered(reads)
            await self._take(self._answers, most)
            promised = most
            answer = await self._slots.test_and_write(
                storage_index,
                SlotSecrets(secrets[gbs_schema.WRITE_ENABLER], leases),
                changes,
                reads,
            )
            reply = gbs_slot_schema.encode_answer(answer)
            if promised:
                await question.stream(200, _slices(reply), gbs_schema.CBOR)
            else:
                question.answer(200, reply)
        finally:
            self._bodies.give(sum(taken))
            self._answers.give(promised)

    async def _note(self, question: Question, storage_index: bytes, number: int) -> None:
        """Take a report of corruption."""
        reason = await take_report(question)
        if number not in await self._slots.shares(storage_index):
            raise Refusal(404, "This share is not here.")
        await self._slots.advise_corrupt(storage_index, number, reason)
        question.answer(200)

    async def _body(self, question: Question, taken: list[int]) -> bytearray:
        """Return the body; what is *taken* of the budget for it is added to that list."""
        question.check_cbor()
        body, covered = bytearray(), _SMALL_BODY
        begin, waited = self._reactor.seconds(), 0.0
        async for chunk in question.body:
            body += chunk
            if len(body) > MAX_REQUEST:
                raise Refusal(413, f"The body may have {MAX_REQUEST} bytes.")
            now = self._reactor.seconds()
            if now - begin - waited > _GRACE + len(body) / _MIN_RATE:
                raise Refusal(408, "The body comes too slowly; try again on a faster line.")
            while len(body) > covered:
                await self._take(self._bodies, _STEP)
                taken.append(_STEP)
                covered += _STEP
            waited += self._reactor.seconds() - now
        return body

    async def _take(self, budget: Budget, amount: int) -> None:
        if not amount:
            return
        late: list[bool] = []
        turn = Deferred.fromCoroutine(budget.take(amount))
        turn.addTimeout(_WAIT, self._reactor, lambda failure, _: late.append(True))
        await turn
        if late:
            raise Refusal(503, "The server is busy with other requests; try again later.")


def _most_answered(reads: Sequence[SlotRead]) -> int:
    """Return how many bytes must be free for an answer; none for a small one."""
    length = sum(each.length for each in reads)
    if length <= _SMALL_READ:
        return 0
    return min(length * MAX_SLOT_SHARES, MAX_SLOT_DATA)


async def _slices(data: bytes) -> AsyncIterator[bytes]:
    """Give *data* bit by bit."""
    for begin in range(0, len(data), _PIECE):
        yield data[begin : begin + _PIECE]


async def _pieces(reader: ISlotReader, begin: int, end: int) -> AsyncIterator[bytes]:
    """Give the bytes of a share."""
    while begin < end:
        piece = await reader.read(begin, min(_PIECE, end - begin))
        if not piece:
            raise OSError("a share became shorter")
        yield piece
        begin += len(piece)
