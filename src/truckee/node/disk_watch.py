"""Disks that become full, read-only or missing while a node runs, and usable again."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.flow.cpu import Workers
from truckee.flow.durable import DiskFault, fault_of
from truckee.flow.timer import Timer
from truckee.status.problems import Problems

log = Logger()

EVERY = 5.0  # seconds between two looks, which are three system calls a disk
# Notes, records and keys take less; below it the next one may fail.
LEAST = 256 << 10  # bytes
# Where shares are written, in a storage directory.
SHARES = ("shares", "shares/incoming")


@frozen
class Look:
    """What was found at one place."""

    fault: DiskFault | None  # why it takes nothing more
    free: int | None = None  # bytes that it would take; None: that is not told
    size: int | None = None  # bytes of its disk


@frozen
class Place:
    """A directory that the node writes to."""

    name: str  # of its problem
    path: Path
    consequence: str  # a sentence: what the node does without it
    reserved: int = LEAST  # bytes of its disk that count as none
    is_there: Callable[[], bool] = lambda: True  # blocks for a moment
    is_other: Callable[[], bool] = lambda: False  # what is there, if it is not; blocks
    below: Sequence[str] = ()  # directories in it that are written to as well, if there

    def look(self) -> Look:
        """Return how it is; blocks for a moment."""
        try:
            status = os.statvfs(self.path)
        except OSError as error:
            return Look(fault_of(error) or DiskFault.FAILING)
        if not self.is_there():
            return Look(DiskFault.OTHER if self.is_other() else DiskFault.MISSING)
        size = status.f_frsize * status.f_blocks
        free = max(0, status.f_frsize * status.f_bavail - self.reserved)
        refusals = [_refusal(self.path / each) for each in ("", *self.below)]
        if DiskFault.READ_ONLY in refusals:
            return Look(DiskFault.READ_ONLY, 0, size)
        # Some file systems have no limit on files, and tell 0 of 0.
        used_up = status.f_files > 0 and status.f_favail == 0
        if not free or used_up:
            return Look(DiskFault.FULL, 0, size)
        if DiskFault.DENIED in refusals:
            return Look(DiskFault.DENIED, 0, size)
        return Look(None, free, size)


def _refusal(path: Path) -> DiskFault | None:
    """Return why nothing can be made in the directory *path*, if it is there; blocks."""
    try:
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            return DiskFault.READ_ONLY
    except OSError:
        return None  # it is made when it is needed
    return None if os.access(path, os.W_OK) else DiskFault.DENIED


@define(eq=False)
class DiskWatch:
    """Looks at all places again and again, and reports what is wrong; ``stop`` it."""

    _problems: Problems
    _disk: Workers
    _clock: IReactorTime
    _places: list[Place] = field(factory=list, init=False)
    _looks: dict[str, Look] = field(factory=dict, init=False)
    _next: Timer = field(factory=Timer, init=False)
    _stopped: bool = field(default=False, init=False)

    async def add(self, place: Place) -> None:
        """Watch *place* too, from now on."""
        self._places = [each for each in self._places if each.name != place.name]
        self._places.append(place)
        await self._look_at(place)

    def last(self, name: str) -> Look | None:
        """Return how the place *name* was at the last look; None: not yet."""
        return self._looks.get(name)

    def start(self) -> None:
        """Look again from time to time."""
        if not self._stopped:
            self._next.start(self._clock.callLater, EVERY, self._look)

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        self._next.cancel()

    def _look(self) -> None:
        async def look() -> None:
            for place in list(self._places):
                await self._look_at(place)

        looking = Deferred.fromCoroutine(look())
        looking.addErrback(lambda failure: log.failure("A look failed", failure=failure))
        looking.addCallback(lambda _: self.start())

    async def _look_at(self, place: Place) -> None:
        found = await self._disk.run(place.look)
        if self._stopped:
            return
        self._looks[place.name], fault = found, found.fault
        if fault is None:
            self._problems.resolve(place.name)
        else:
            text = f"{fault.value[:1].upper()}{fault.value[1:]}. {place.consequence}"
            self._problems.report(place.name, text)
