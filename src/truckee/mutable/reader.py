"""The mutable files that a gateway reads: what there is of one, and the best version."""

from __future__ import annotations

from contextlib import suppress

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from truckee.codec.caps import MutableReadCap
from truckee.codec.mutable_prefix import Prefix
from truckee.flow.cpu import Workers
from truckee.flow.limits import Budget
from truckee.immutable.download.memory_budget import Holdings
from truckee.immutable.upload.body import FileTooLarge
from truckee.mutable.errors import VersionGone
from truckee.mutable.opened import OpenVersion
from truckee.mutable.servermap import Mapper, Purpose
from truckee.mutable.versions import Versions

# A file that is changed is in memory as a whole, and so is every SDMF file.
MAX_WHOLE = 64 << 20  # bytes
# So often is a file read that is replaced while it is read.  The waits between grow by a
# factor of 2 from the first.
READS = 8
_FIRST_WAIT = 0.02  # seconds
# So often may no version have enough shares, though there are several.
_UNSURE = 4


@define(eq=False)
class MutableReader:
    """Reads mutable files from the servers of a grid."""

    _mapper: Mapper
    _cpu: Workers
    _clock: IReactorTime
    _holdings: Holdings
    # Bytes of files that are read whole, until they are.
    _memory: Budget = field(factory=lambda: Budget(2 * MAX_WHOLE))

    async def look(self, cap: MutableReadCap) -> Versions:
        """Return what the servers have of a file, as far as a reader needs to know."""
        return await self._mapper.map(cap.verify_cap(), Purpose.READ)

    async def open(self, cap: MutableReadCap) -> OpenVersion:
        """
        Return the best version.

        :raises NotEnoughMutableShares: when none can be read.
        """
        return self.best_of(cap, await self._settled(cap))

    async def _settled(self, cap: MutableReadCap) -> Versions:
        """
        Return what the servers have when somebody's write is over.

        Amid it there may not be enough shares of the new version yet, and of the one before
        not any more.
        """
        versions = await self.look(cap)
        for attempt in range(1, _UNSURE):
            if versions.best is not None or len(versions.by_prefix()) < 2:
                break
            await self.wait(attempt)
            versions = await self.look(cap)
        return versions

    async def wait(self, attempt: int) -> None:
        """Return a while after the *attempt*-th one to read what was replaced meanwhile."""
        await deferLater(self._clock, _FIRST_WAIT * 2 ** (attempt - 1))

    def best_of(self, cap: MutableReadCap, known: Versions) -> OpenVersion:
        """Return the best of the versions that are *known*; raises as ``open``."""
        return OpenVersion.best_of(
            cap, known, self._cpu, self._clock, self._holdings, self._mapper.advisories
        )

    async def read_newer(
        self, cap: MutableReadCap, known: Prefix | None
    ) -> tuple[Prefix, bytes | None]:
        """
        Return the best version and its whole content; None: it is the one that is *known*.

        :raises FileTooLarge: when that is too much for memory.
        """
        for attempt in range(1, READS + 1):
            versions = await self._settled(cap)
            best = versions.best
            if best is not None and best == known:
                return best, None
            with suppress(VersionGone):
                opened = self.best_of(cap, versions)
                async with self._memory.hold(opened.geometry.size):
                    return opened.prefix, await whole(opened)
            if attempt < READS:
                await self.wait(attempt)
        raise VersionGone


async def whole(opened: OpenVersion) -> bytes:
    """Return the content of a version.  :raises FileTooLarge:"""
    size = opened.geometry.size
    if size > MAX_WHOLE:
        raise FileTooLarge(MAX_WHOLE)
    return await opened.read(0, size).rest()
