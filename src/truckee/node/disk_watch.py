"""Disks that become full, read-only or missing while a node runs, and usable again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from truckee.flow.cpu import Workers
from truckee.flow.durable import DiskFault, fault_of
from truckee.status.problems import Problems

log = Logger()

EVERY = 5.0  # seconds between two looks, which are three system calls a disk
# Notes, records and keys take less; below it the next one may fail.
LEAST = 256 << 10  # bytes


@frozen
class Place:
    """A directory that the node writes to."""

    name: str  # of its problem
    path: Path
    consequence: str  # a sentence: what the node does without it
    reserved: int = LEAST  # bytes of its disk that count as none
    is_there: Callable[[], bool] = lambda: True  # blocks for a moment

    def fault(self) -> DiskFault | None:
        """Return why it takes nothing more; blocks for a moment."""
        return self.look()[0]

    def look(self) -> tuple[DiskFault | None, int | None]:
        """
        Return why it takes nothing more, and the bytes that it would take, if it can tell.

        It blocks for a moment.
        """
        try:
            status = os.statvfs(self.path)
        except OSError as error:
            return fault_of(error) or DiskFault.FAILING, None
        if not self.is_there():
            return DiskFault.MISSING, None
        free = max(0, status.f_frsize * status.f_bavail - self.reserved)
        if status.f_flag & os.ST_RDONLY:
            return DiskFault.READ_ONLY, 0
        # Some file systems have no limit on files, and tell 0 of 0.
        used_up = status.f_files > 0 and status.f_favail == 0
        if not free or used_up:
            return DiskFault.FULL, 0
        if not os.access(self.path, os.W_OK):
            return DiskFault.DENIED, 0
        return None, free


@define(eq=False)
class DiskWatch:
    """Looks at all places again and again, and reports what is wrong; ``stop`` it."""

    _problems: Problems
    _disk: Workers
    _clock: IReactorTime
    _places: list[Place] = field(factory=list, init=False)
    _missing: set[str] = field(factory=set, init=False)
    _free: dict[str, int | None] = field(factory=dict, init=False)
    _next: IDelayedCall | None = field(default=None, init=False)
    _stopped: bool = field(default=False, init=False)

    async def add(self, place: Place) -> None:
        """Watch *place* too, from now on."""
        self._places = [each for each in self._places if each.name != place.name]
        self._places.append(place)
        await self._look_at(place)

    def missing(self, name: str) -> bool:
        """Tell whether the place *name* was not there at the last look."""
        return name in self._missing

    def free(self, name: str) -> int | None:
        """Return the bytes that a place would take, None where that is not told."""
        return self._free.get(name)

    def start(self) -> None:
        """Look again from time to time."""
        if not self._stopped:
            self._next = self._clock.callLater(EVERY, self._look)

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        if self._next is not None and self._next.active():
            self._next.cancel()

    def _look(self) -> None:
        async def look() -> None:
            for place in list(self._places):
                await self._look_at(place)

        looking = Deferred.fromCoroutine(look())
        looking.addErrback(lambda failure: log.failure("A look failed", failure=failure))
        looking.addCallback(lambda _: self.start())

    async def _look_at(self, place: Place) -> None:
        fault, free = await self._disk.run(place.look)
        if self._stopped:
            return
        self._free[place.name] = free
        if fault is DiskFault.MISSING:
            self._missing.add(place.name)
        else:
            self._missing.discard(place.name)
        if fault is None:
            self._problems.resolve(place.name)
        else:
            text = f"{fault.value[:1].upper()}{fault.value[1:]}. {place.consequence}"
            self._problems.report(place.name, text)
