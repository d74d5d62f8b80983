"""
The shares of mutable files on a server somewhere else, reached over HTTPS.

Source: ``docs/formats/storage-https.md``, "Slots".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from itertools import islice, product
from typing import NoReturn

from attrs import define, field
from zope.interface import implementer

from truckee.codec import base32
from truckee.codec.secrets import LeaseSecrets
from truckee.flow.together import Work, together
from truckee.storage import gbs_schema, gbs_slot_schema, slot_requests
from truckee.storage.gbs_answers import understood
from truckee.storage.gbs_connection import Reply
from truckee.storage.interfaces import (
    MAX_SLOT_SHARES,
    BadAnswer,
    BadSlotRequest,
    CallFailed,
    ISlotServer,
    NoSpace,
    OtherKind,
    SlotAnswer,
    SlotChange,
    SlotRead,
    SlotSecrets,
)
from truckee.storage.limited import Patience
from truckee.storage.slot_refusals import bad_write_enabler, damaged

# Ranges of shares that are asked for side by side.
_TOGETHER = 10


@implementer(ISlotServer)
@define(eq=False)
class GbsSlotClient:
    """The slots of one server; *ask* is that of its ``GbsServer``."""

    name: str
    _ask: Callable[..., Work[Reply]] = field(repr=False)
    _patience: Patience
    max_share_size: int = 0  # as the server says when it is reached

    async def shares(self, storage_index: bytes) -> Set[int]:
        """See ``ISlotServer``."""
        reply = await self._ask("shares", b"GET", f"{_home(storage_index)}/shares")
        found = understood(self.name, "shares", gbs_schema.parse_shares, reply.body)
        if not all(share < MAX_SLOT_SHARES for share in found):
            raise BadAnswer(self.name, "shares")
        return found

    async def read(
        self, storage_index: bytes, shares: Set[int], reads: Sequence[SlotRead]
    ) -> Mapping[int, Sequence[bytes]]:
        """See ``ISlotServer``; each range is a request of its own."""
        slot_requests.check_read(shares, reads)
        there = await self.shares(storage_index)
        wanted = there & shares if shares else there
        found: dict[int, list[bytes]] = {share: [] for share in sorted(wanted)}
        remaining = slot_requests.Remaining()
        gone: set[int] = set()
        for jobs in _batches(found, reads, remaining):
            asked = [(share, remaining.clipped(read)) for share, read in jobs]
            parts = await together(
                self._range(storage_index, share, read) for share, read in asked
            )
            for (share, _), part in zip(asked, parts, strict=True):
                if part is None:
                    gone.add(share)
                else:
                    found[share].append(part)
                    remaining.took(len(part))
        return {share: parts for share, parts in found.items() if share not in gone}

    async def _range(
        self, storage_index: bytes, share: int, read: SlotRead
    ) -> bytes | None:
        """Return a range of a share; None: the share is gone."""
        # No share has bytes behind that.
        length = min(read.length, gbs_schema.MAX_OFFSET - read.offset)
        if length < 1:
            return b""
        reply = await self._ask(
            "read",
            b"GET",
            f"{_home(storage_index)}/{share}",
            headers={
                b"Accept": gbs_schema.OCTETS,
                b"Range": gbs_schema.range_header(read.offset, read.offset + length),
            },
            good=(204, 206, 404, 409),
            limit=max(length, gbs_schema.MAX_TEXT),
            seconds=self._patience.read,
        )
        if reply.status == 404:
            return None
        if reply.status == 409:
            raise OtherKind("immutable")
        return understood(
            self.name, "read", lambda told: told.part(read.offset, length), reply
        )

    async def test_and_write(
        self,
        storage_index: bytes,
        secrets: SlotSecrets,
        changes: Mapping[int, SlotChange],
        reads: Sequence[SlotRead],
    ) -> SlotAnswer:
        """See ``ISlotServer``."""
        slot_requests.check_request(changes, reads, self.max_share_size)
        call = "read-test-write"
        reply = await self._ask(
            call,
            b"POST",
            f"{_home(storage_index)}/{call}",
            secrets=[
                *gbs_schema.lease_headers(secrets.leases),
                (gbs_schema.WRITE_ENABLER, secrets.write_enabler),
            ],
            body=gbs_slot_schema.encode_request(changes, reads),
            good=(200, 400, 401, 409, 413, 507),
            limit=gbs_slot_schema.longest_answer(reads),
            seconds=self._patience.write,
        )
        if reply.status != 200:
            self._refuse(call, reply)
        return understood(
            self.name,
            call,
            lambda body: gbs_slot_schema.parse_answer(body, reads),
            reply.body,
        )

    async def add_lease(self, storage_index: bytes, secrets: LeaseSecrets) -> None:
        """See ``ISlotServer``."""
        reply = await self._ask(
            "add_lease",
            b"PUT",
            f"/lease/{base32.encode(storage_index)}",
            secrets=gbs_schema.lease_headers(secrets),
            good=(204, 404, 507),  # 404: it has no shares of this file
        )
        if reply.status == 507:
            raise NoSpace(self.name)

    async def advise_corrupt(self, storage_index: bytes, share: int, reason: str) -> None:
        """See ``ISlotServer``."""
        await self._ask(
            "advise_corrupt",
            b"POST",
            f"{_home(storage_index)}/{share}/corrupt",
            body=gbs_schema.encode_report(reason),
            good=(200, 404),  # 404: the share is gone
        )

    def _refuse(self, call: str, reply: Reply) -> NoReturn:
        """Raise what the refusal of a write means."""
        text = reply.body[: gbs_schema.MAX_TEXT].decode("utf-8", "replace")
        match reply.status:
            case 401:
                raise bad_write_enabler(text)
            case 409:
                raise damaged(text) or OtherKind("immutable")
            case 507:
                raise NoSpace(self.name)
            case 400 | 413:
                raise BadSlotRequest(f"{self.name} refuses it with status {reply.status}")
        raise CallFailed(self.name, call, f"HTTP status {reply.status}")


def _batches(
    shares: Mapping[int, object],
    reads: Sequence[SlotRead],
    remaining: slot_requests.Remaining,
) -> Iterator[list[tuple[int, SlotRead]]]:
    """Give the ranges of all *shares*: at once so many as may come together."""
    jobs = product(shares, reads)
    batch = list(islice(jobs, _TOGETHER))
    while batch:
        count = remaining.together([read for _, read in batch], _TOGETHER)
        yield batch[:count]
        batch = batch[count:] + list(islice(jobs, count))


def _home(storage_index: bytes) -> str:
    return f"/mutable/{base32.encode(storage_index)}"
