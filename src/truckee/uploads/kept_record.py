"""The record of one resumable upload: as it is now, and as it is on the disk."""

from __future__ import annotations

from typing import Any

from attrs import define, evolve, field

from truckee.flow.limits import Exclusive
from truckee.uploads.record import UploadFiles, UploadRecord


@define(eq=False)
class KeptRecord:
    """Changes in memory at once; on the disk when it is saved, one save after the other."""

    now: UploadRecord = field(repr=False)
    _files: UploadFiles
    _saves: Exclusive = field(factory=Exclusive, init=False, repr=False)
    _forgotten: bool = field(default=False, init=False)

    def change(self, **changes: Any) -> None:
        """Have other values from now on; see ``UploadRecord``."""
        self.now = evolve(self.now, **changes)

    async def save(self) -> None:
        """
        Write what it is now to the disk, durably; nothing once it was forgotten.

        :raises SpoolDiskFull:
        """
        async with self._saves.hold(self):
            if not self._forgotten:
                await self._files.save(self.now)

    async def forget(self) -> None:
        """Remove it from the disk, for good."""
        self._forgotten = True
        async with self._saves.hold(self):
            await self._files.forget(self.now)
