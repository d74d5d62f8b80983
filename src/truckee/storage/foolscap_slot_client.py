"""
The shares of mutable files on a server somewhere else, reached over foolscap.

Source: ``docs/formats/storage-foolscap.md``, "Slots".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

from attrs import define, field
from foolscap.api import DictOf, ListOf, TupleOf
from foolscap.constraint import ByteStringConstraint, IntegerConstraint
from foolscap.slicers.bool import BooleanConstraint
from zope.interface import implementer

from truckee.codec.secrets import LeaseSecrets
from truckee.flow.together import Work
from truckee.storage import slot_requests
from truckee.storage.foolscap_slots import vectors_of
from truckee.storage.interfaces import (
    MAX_SLOT_DATA,
    MAX_SLOT_READS,
    MAX_SLOT_SHARES,
    BadAnswer,
    CallFailed,
    ISlotServer,
    SlotAnswer,
    SlotChange,
    SlotRead,
    SlotSecrets,
)
from truckee.storage.slot_refusals import meaning_of

_READ = "slot_readv"
_WRITE = "slot_testv_and_readv_and_writev"


@implementer(ISlotServer)
@define(eq=False)
class FoolscapSlotClient:
    """
    The slots of one server.

    *ask* calls a method of the server: its name, the arguments, and as *only* what
    foolscap's constraint for the answer is.
    """

    name: str
    _ask: Callable[..., Work[Any]] = field(repr=False)
    max_share_size: int = 0  # as the server says when it is reached

    async def shares(self, storage_index: bytes) -> Set[int]:
        """See ``ISlotServer``."""
        return (await self._read(storage_index, frozenset(), [])).keys()

    async def read(
        self, storage_index: bytes, shares: Set[int], reads: Sequence[SlotRead]
    ) -> Mapping[int, Sequence[bytes]]:
        """See ``ISlotServer``."""
        slot_requests.check_read(shares, reads)
        most = len(shares) or MAX_SLOT_SHARES
        if len(reads) <= MAX_SLOT_READS and slot_requests.fits(most, reads):
            return await self._read(storage_index, shares, reads)
        there = (await self._read(storage_index, shares, [])).keys()
        remaining = slot_requests.Remaining()
        found: dict[int, list[bytes]] = {}
        for share in sorted(there):
            parts = await self._read_parts(storage_index, share, reads, remaining)
            if parts is not None:
                found[share] = parts
        return found

    async def _read_parts(
        self,
        storage_index: bytes,
        share: int,
        reads: Sequence[SlotRead],
        remaining: slot_requests.Remaining,
    ) -> list[bytes] | None:
        """Return what is read of one share in several calls; None: it was deleted."""
        parts: list[bytes] = []
        while len(parts) < len(reads):
            rest = reads[len(parts) : len(parts) + MAX_SLOT_READS]
            count = remaining.together(rest, MAX_SLOT_READS)
            asked = [remaining.clipped(each) for each in rest[:count]]
            found = await self._read(storage_index, {share}, asked)
            if share not in found:
                return None
            parts += found[share]
            remaining.took(sum(map(len, found[share])))
        return parts

    async def _read(
        self, storage_index: bytes, shares: Set[int], reads: Sequence[SlotRead]
    ) -> dict[int, list[bytes]]:
        """Return the answer to one call."""
        vector = [(each.offset, each.length) for each in reads]
        most = len(shares) or MAX_SLOT_SHARES
        only = _data(most, reads)
        try:
            answer: dict[int, list[bytes]] = await self._ask(
                _READ, storage_index, sorted(shares), vector, only=only
            )
        except CallFailed as error:
            raise meaning_of(error) from None
        self._check(_READ, answer, shares, reads)
        return answer

    async def test_and_write(
        self,
        storage_index: bytes,
        secrets: SlotSecrets,
        changes: Mapping[int, SlotChange],
        reads: Sequence[SlotRead],
    ) -> SlotAnswer:
        """See ``ISlotServer``."""
        slot_requests.check_request(changes, reads, self.max_share_size)
        try:
            success, data = await self._ask(
                _WRITE,
                storage_index,
                (secrets.write_enabler, secrets.leases.renew, secrets.leases.cancel),
                {share: vectors_of(change) for share, change in changes.items()},
                [(each.offset, each.length) for each in reads],
                only=TupleOf(_Truth(), _data(MAX_SLOT_SHARES, reads)),
            )
        except CallFailed as error:
            raise meaning_of(error, changes) from None
        self._check(_WRITE, data, frozenset(), reads)
        return SlotAnswer(success, data)

    async def add_lease(self, storage_index: bytes, secrets: LeaseSecrets) -> None:
        """See ``ISlotServer``."""
        try:
            await self._ask("add_lease", storage_index, secrets.renew, secrets.cancel)
        except CallFailed as error:
            raise meaning_of(error) from None

    async def advise_corrupt(self, storage_index: bytes, share: int, reason: str) -> None:
        """See ``ISlotServer``."""
        text = reason.encode("utf-8", "replace")
        await self._ask("advise_corrupt_share", b"mutable", storage_index, share, text)

    def _check(
        self,
        call: str,
        data: Mapping[int, Sequence[bytes]],
        shares: Set[int],
        reads: Sequence[SlotRead],
    ) -> None:
        """:raises BadAnswer: for shares or bytes that nobody asked for."""
        for share, parts in data.items():
            asked = share in shares if shares else 0 <= share < MAX_SLOT_SHARES
            if not asked or any(
                len(part) > read.length for part, read in zip(parts, reads, strict=True)
            ):
                raise BadAnswer(self.name, call)


class _Truth(BooleanConstraint):  # type: ignore[misc]
    """True or false; something else fails the call, not the connection."""

    strictTaster = False


def _data(shares: int, reads: Sequence[SlotRead]) -> Any:
    """Return the constraint of what is read from at most so many *shares*."""
    longest = min(slot_requests.longest(reads), MAX_SLOT_DATA + 1)
    count = len(reads)
    parts = ListOf(ByteStringConstraint(longest), maxLength=count, minLength=count)
    return DictOf(IntegerConstraint(), parts, maxKeys=shares)
