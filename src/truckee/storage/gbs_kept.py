"""
Shares that outlive their writers, for clients over HTTPS.

Source: ``docs/formats/kept-shares.md``, "Over HTTPS".
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from hmac import compare_digest
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from truckee.errors import Refused
from truckee.flow.limits import Exclusive
from truckee.flow.timer import Timer
from truckee.storage import gbs_kept_schema, gbs_schema
from truckee.storage.gbs_bodies import write_range
from truckee.storage.gbs_http import Question, Refusal, parse_body
from truckee.storage.gbs_kept_schema import Opening
from truckee.storage.gbs_paths import share_number_of
from truckee.storage.gbs_uploads import NotInProgress, to_the_end
from truckee.storage.interfaces import IKeptShares, IKeptWriter, IStorageServer
from truckee.storage.quotas import IDLE_LIMIT, Claim, ShareQuotas, within

log = Logger()

_MAX_QUESTION = 1024  # bytes of those with a few numbers


@define
class AnotherWriter(Refused):
    """Somebody else writes this share."""


@define(eq=False)
class GbsKept:
    """
    Serves what *storage* keeps to whoever was let in already.

    *refuse_other_kind* raises when the shares of a file are those of a mutable one.
    """

    _storage: IStorageServer
    _refuse_other_kind: Callable[[bytes], Coroutine[Deferred[Any], Any, None]]
    _quotas: ShareQuotas
    _reactor: Any
    _open: dict[tuple[bytes, int], OpenShare] = field(factory=dict, init=False)
    _turns: Exclusive = field(factory=Exclusive, init=False)

    def stop(self) -> None:
        """Leave all shares."""
        for share in list(self._open.values()):
            share.give_up()

    async def answer(
        self, question: Question, storage_index: bytes, way: Sequence[str]
    ) -> None:
        """Answer a request whose path continues with *way* behind the storage index."""
        kept = self._storage.kept
        if kept is None:
            raise Refusal(404, "There is nothing here.")
        match way:
            case []:
                if question.check(b"GET", b"POST") == b"GET":
                    await _list(kept, question, storage_index)
                else:
                    await self._begin(kept, question, storage_index)
            case [number]:
                question.check(b"PATCH")
                share = self._find(question, storage_index, number)
                await write_range(question, share.size, share.write)
                question.answer(204)
            case [number, "hashes"]:
                question.check(b"POST")
                await _hashes(question, self._find(question, storage_index, number))
            case [number, "close"]:
                question.check(b"POST")
                await _close(question, self._find(question, storage_index, number))
            case [number, "leave" | "abort" as end]:
                question.check(b"PUT")
                share = self._find(question, storage_index, number)
                await (share.leave() if end == "leave" else share.abort())
                question.answer(204)
            case _:
                raise Refusal(404, "There is nothing here.")

    async def _begin(
        self, kept: IKeptShares, question: Question, storage_index: bytes
    ) -> None:
        """Open shares."""
        secrets = question.secrets({gbs_schema.RENEW, gbs_schema.CANCEL, gbs_schema.UPLOAD})
        owner = _Owner(secrets[gbs_schema.UPLOAD], _writer(question))
        body = await question.small_body(gbs_schema.MAX_ALLOCATE)
        opening = parse_body(gbs_kept_schema.parse_open, body)
        await self._refuse_other_kind(storage_index)
        async with self._turns.hold(storage_index):
            await self._take_over(storage_index, opening, owner)
            there = await kept.unfinished(storage_index, owner.secret)
            claims = await self._claim(question.peer, opening, there)
            opened = await within(
                claims,
                kept.open(
                    storage_index,
                    gbs_schema.lease_secrets(secrets),
                    owner.secret,
                    claims.keys(),
                    opening.size,
                    opening.open_ended,
                    opening.brief,
                ),
            )
            for number, writer in opened.writers.items():
                place = storage_index, number
                self._add(place, opening.size, owner, writer, claims[number])
        lengths = {number: writer.length for number, writer in opened.writers.items()}
        question.answer(200, gbs_kept_schema.encode_opened(opened.already, lengths))

    async def _take_over(
        self, storage_index: bytes, opening: Opening, owner: _Owner
    ) -> None:
        """Have those go who opened the same shares of this upload before."""
        for number in opening.shares:
            share = self._open.get((storage_index, number))
            if share is not None and share.owner.uploads_as(owner):
                await share.leave()

    async def _claim(
        self, peer: str, opening: Opening, there: Mapping[int, int]
    ) -> dict[int, Claim]:
        """Return those of the shares that a peer may have now; see ``ShareQuotas``."""
        claims: dict[int, Claim] = {}
        space = await self._storage.available_space() if opening.shares else 0
        for number in sorted(opening.shares):
            rest = max(0, opening.size - there.get(number, 0))
            size = 0 if opening.open_ended else rest
            claim = self._quotas.claim(peer, {number}, size, space)
            space -= size * len(claim)
            claims |= claim
        return claims

    def _add(
        self,
        place: tuple[bytes, int],
        size: int,
        owner: _Owner,
        writer: IKeptWriter,
        claim: Claim,
    ) -> None:
        """Let *owner* write a share."""
        before = self._open.get(place)
        if before is not None:
            before.end()  # its share was taken over, or finished, over foolscap

        def forget() -> None:
            if self._open.get(place) is share:
                del self._open[place]

        share = OpenShare(size, owner, writer, claim, self._reactor, forget)
        self._open[place] = share
        share.begin()

    def _find(self, question: Question, storage_index: bytes, number: str) -> OpenShare:
        """
        Return the share that a request is about.

        :raises NotInProgress: :raises AnotherWriter:
        """
        secrets = question.secrets({gbs_schema.UPLOAD})
        owner = _Owner(secrets[gbs_schema.UPLOAD], _writer(question))
        share = self._open.get((storage_index, share_number_of(number)))
        if share is None:
            raise NotInProgress
        if not share.owner.uploads_as(owner):
            raise AnotherWriter
        if share.owner.writer != owner.writer:
            raise NotInProgress
        return share


@frozen
class _Owner:
    """A writer: what proves whose upload it is, and what sets it apart from others."""

    secret: bytes = field(repr=False)
    writer: bytes

    def uploads_as(self, other: _Owner) -> bool:
        """Tell whether the upload is the same."""
        return compare_digest(self.secret, other.secret)


@define(eq=False)
class OpenShare:
    """A share that a client writes; it is left when nothing came for half an hour."""

    size: int
    owner: _Owner
    _writer: IKeptWriter
    _claim: Claim
    _reactor: Any
    _forget: Callable[[], None]  # takes it out of those that are open
    _timer: Timer = field(factory=Timer, init=False)

    def begin(self) -> None:
        """Watch the client."""
        self._timer.start(self._reactor.callLater, IDLE_LIMIT, self.give_up)

    async def write(self, offset: int, parts: list[bytes]) -> None:
        """Store *parts* at *offset*."""
        self._timer.extend(IDLE_LIMIT)
        await self._writer.write(offset, parts)
        self._claim.wrote(sum(map(len, parts)))

    async def hashes(self, offset: int, piece: int, count: int) -> Sequence[bytes]:
        """See ``IKeptWriter``."""
        return await self._writer.hashes(offset, piece, count)

    async def close(self, size: int) -> None:
        """Show it to readers; a client that leaves meanwhile stops nothing."""
        await to_the_end(self._close(size))

    async def _close(self, size: int) -> None:
        await self._writer.close(size)
        self.end()

    async def leave(self) -> None:
        """Write no more for now."""
        self.end()
        await to_the_end(self._writer.leave())

    async def abort(self) -> None:
        """Remove it."""
        self.end()
        await to_the_end(self._writer.abort())

    def give_up(self) -> None:
        """Leave it; nobody waits for that."""
        done = Deferred.fromCoroutine(self.leave())
        done.addErrback(lambda failure: log.failure("A share was not left", failure))

    def end(self) -> None:
        """It is open no more; may be called twice."""
        self._forget()
        self._claim.end()
        self._timer.cancel()


async def _list(kept: IKeptShares, question: Question, storage_index: bytes) -> None:
    """Answer what is kept of an upload."""
    secrets = question.secrets({gbs_schema.UPLOAD})
    found = await kept.unfinished(storage_index, secrets[gbs_schema.UPLOAD])
    question.answer(200, gbs_kept_schema.encode_unfinished(found))


async def _hashes(question: Question, share: OpenShare) -> None:
    """Answer the hashes of what is there."""
    body = await question.small_body(_MAX_QUESTION)
    pieces = parse_body(gbs_kept_schema.parse_hashes, body)
    question.answer(200, b"".join(await share.hashes(*pieces)), gbs_schema.OCTETS)


async def _close(question: Question, share: OpenShare) -> None:
    """Finish a share."""
    body = await question.small_body(_MAX_QUESTION)
    await share.close(parse_body(gbs_kept_schema.parse_close, body))
    question.answer(204)


def _writer(question: Question) -> bytes:
    """Return what tells a writer from others."""
    return parse_body(gbs_kept_schema.parse_writer, question.header(gbs_kept_schema.WRITER))
