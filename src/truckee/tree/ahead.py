"""Directories that a walk has read before it comes to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from truckee.codec.caps import DirectoryCap, LiteralCap
from truckee.errors import TruckeeError, Unavailable
from truckee.flow.changes import Changes
from truckee.flow.cpu import Workers
from truckee.flow.together import Group
from truckee.tree.directories import Directory

# Directories that are read at once: enough to keep ten servers busy.
READS = 16
# Those that were read and whose turn has not come: on each level of the tree some.
MOST, MOST_BYTES = 256, 16 << 20
# Seconds that a gateway may need to find its servers, and between two tries meanwhile.
SETTLING, _PAUSE = 10.0, 0.5


class ReadsDirectories(Protocol):
    """What a walk needs of ``Directories``."""

    @property
    def cpu(self) -> Workers:
        """Where tables are decoded."""

    async def read(self, cap: DirectoryCap) -> Directory:
        """Return what a directory holds.  :raises TruckeeError: when it cannot be read"""


@define(eq=False)
class Settling:
    """
    The time after the start of a gateway, in which it finds its servers.

    A walk that continues behind a restart would tell of directories as lost whose servers
    are not connected yet, and of their shares as missing.
    """

    _clock: IReactorTime
    _seconds: float = SETTLING
    _until: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._until = self._clock.seconds() + self._seconds

    @property
    def is_over(self) -> bool:
        """Whether the servers that can be reached are connected."""
        return self._clock.seconds() >= self._until

    async def again(self) -> bool:
        """Return whether it is worth to try again, after a while; False: at once."""
        if self.is_over:
            return False
        await deferLater(self._clock, _PAUSE)
        return True


Read = Directory | TruckeeError  # what a directory holds, or why it cannot be read


@define(eq=False)
class _Fetch:
    """One directory that is read, or was."""

    found: Read | None = None
    failure: Exception | None = None  # a fault of ours
    changes: Changes = field(factory=Changes)

    @property
    def is_over(self) -> bool:
        return self.found is not None or self.failure is not None

    @property
    def size(self) -> int:
        return len(self.found.table.packed) if isinstance(self.found, Directory) else 0


@define(eq=False)
class Ahead:
    """Reads the directories that come next; whoever makes one stops it."""

    _directories: ReadsDirectories
    _settling: Settling
    _reads: int = READS
    _most: int = MOST
    _most_bytes: int = MOST_BYTES
    _group: Group = field(factory=Group, init=False)
    _fetches: dict[DirectoryCap, _Fetch] = field(factory=dict, init=False, repr=False)
    _running: int = field(default=0, init=False)

    def look(self, coming: Iterable[DirectoryCap]) -> None:
        """Read those of *coming*, the next one first, for which there is room."""
        near = 0
        for cap in coming:
            near += 1
            if near > self._reads or self._running >= self._reads:
                return
            if isinstance(cap.inner, LiteralCap) or cap in self._fetches:
                continue
            if not self._make_room():
                return
            self._start(cap)

    async def take(self, cap: DirectoryCap) -> Read:
        """Return what a directory holds; it is read now unless it was."""
        if isinstance(cap.inner, LiteralCap):
            return await self._read(cap)
        fetch = self._fetches.get(cap) or self._start(cap)
        # It is nobody's to drop any more.
        del self._fetches[cap]
        await fetch.changes.until(lambda: fetch.is_over)
        if fetch.failure is not None:
            raise fetch.failure
        assert fetch.found is not None
        return fetch.found

    async def stop(self) -> None:
        """Read no more; return when nothing is under way."""
        self._fetches.clear()
        await self._group.stop()

    def _start(self, cap: DirectoryCap) -> _Fetch:
        fetch = self._fetches[cap] = _Fetch()
        self._running += 1
        self._group.start(self._fill(fetch, cap))
        return fetch

    async def _fill(self, fetch: _Fetch, cap: DirectoryCap) -> None:
        try:
            fetch.found = await self._read(cap)
        except Exception as error:
            fetch.failure = error
        finally:
            self._running -= 1
        fetch.changes.wake()

    async def _read(self, cap: DirectoryCap) -> Read:
        while True:
            try:
                return await self._directories.read(cap)
            except TruckeeError as error:
                if not isinstance(error, Unavailable) or not await self._settling.again():
                    return error

    def _make_room(self) -> bool:
        """
        Return whether one more may be read.

        What was read first and is still here is what comes last: the next siblings of a
        directory far above.
        """
        held = sum(fetch.size for fetch in self._fetches.values())
        while len(self._fetches) >= self._most or held >= self._most_bytes:
            oldest = next(iter(self._fetches), None)
            if oldest is None or not self._fetches[oldest].is_over:
                return False
            held -= self._fetches.pop(oldest).size
        return True
