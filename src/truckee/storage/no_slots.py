"""A storage server without mutable files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import ClassVar

from attrs import define
from zope.interface import implementer

from truckee.codec.secrets import LeaseSecrets
from truckee.errors import Refused
from truckee.storage.interfaces import (
    MAX_SLOT_ANSWER,
    ILocalSlots,
    ISlotReader,
    SlotAnswer,
    SlotChange,
    SlotRead,
    SlotSecrets,
)


@define
class NoMutableFiles(Refused):
    """This server takes no mutable files."""


@implementer(ILocalSlots)
@define(eq=False)
class NoSlots:
    """It has no share of a mutable file, and takes none."""

    max_share_size: ClassVar[int] = 0

    async def shares(self, storage_index: bytes) -> Set[int]:
        """See ``ISlotServer``."""
        return frozenset()

    async def read(
        self,
        storage_index: bytes,
        shares: Set[int],
        reads: Sequence[SlotRead],
        most: int = MAX_SLOT_ANSWER,
    ) -> Mapping[int, Sequence[bytes]]:
        """See ``ISlotServer``."""
        return {}

    async def measure(
        self, storage_index: bytes, shares: Set[int], reads: Sequence[SlotRead]
    ) -> Mapping[int, int]:
        """See ``ILocalSlots``."""
        return {}

    async def open(self, storage_index: bytes, share: int) -> ISlotReader | None:
        """See ``ISlotServer``."""
        return None

    async def test_and_write(
        self,
        storage_index: bytes,
        secrets: SlotSecrets,
        changes: Mapping[int, SlotChange],
        reads: Sequence[SlotRead],
        most: int = MAX_SLOT_ANSWER,
    ) -> SlotAnswer:
        """See ``ISlotServer``."""
        raise NoMutableFiles

    async def add_lease(self, storage_index: bytes, secrets: LeaseSecrets) -> None:
        """See ``ISlotServer``; there is nothing to lease."""

    async def advise_corrupt(self, storage_index: bytes, share: int, reason: str) -> None:
        """See ``ISlotServer``; there is nothing to report on."""
