"""What introducers said last, kept on disk for the next start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.flow.cpu import Workers
from truckee.flow.durable import DiskFault, fault_of
from truckee.flow.timer import Timer
from truckee.grid.announcements import Announcement
from truckee.node.peers import save_cache
from truckee.status.problems import Problems

log = Logger()

# From the first change to the write, so that many of them make one, and between two writes.
_DELAY = 2.0  # seconds
_PAUSE = 30.0  # seconds
_RETRY = 15.0  # seconds, when the disk took nothing


@define(eq=False)
class AnnouncementCache:
    """Writes what *known* returns to one file, some time after it changed."""

    _path: Path
    _known: Callable[[], Mapping[str, Announcement]]
    _disk: Workers
    _clock: IReactorTime
    _problems: Problems | None = None
    _changed: bool = field(default=False, init=False)
    _timer: Timer = field(factory=Timer, init=False)
    _writing: Deferred[None] | None = field(default=None, init=False)
    _refused: bool = field(default=False, init=False)  # the last write
    _stopped: bool = field(default=False, init=False)
    _next: float = field(default=0.0, init=False)  # seconds, not written before

    def changed(self) -> None:
        """Something is to be written."""
        self._changed = True
        if not self._timer.running and self._writing is None and not self._stopped:
            delay = max(_DELAY, self._next - self._clock.seconds())
            self._timer.start(self._clock.callLater, delay, self._begin)

    async def stop(self) -> None:
        """Write what is not written yet, and nothing later."""
        self._stopped = True
        self._timer.cancel()
        if self._writing is not None:
            await self._writing
        if self._changed:
            await self._write()

    def _begin(self) -> None:
        self._writing = Deferred.fromCoroutine(self._write())
        self._writing.addCallback(self._written)

    def _written(self, _: None) -> None:
        self._writing = None
        self._next = self._clock.seconds() + (_RETRY if self._refused else _PAUSE)
        if self._changed:
            self.changed()

    async def _write(self) -> None:
        self._changed = False
        known = dict(self._known())
        try:
            await self._disk.run(save_cache, self._path, known)
        except Exception as error:
            log.error(
                "{path} cannot be written: {error}", path=str(self._path), error=error
            )
            self._refuse(fault_of(error))
        else:
            self._refused = False
            if self._problems is not None:
                self._problems.resolve(self._name)

    @property
    def _name(self) -> str:
        return f"private/{self._path.name}"

    def _refuse(self, fault: DiskFault | None) -> None:
        """Write it again when the disk may take it, and have people know."""
        self._changed = self._refused = fault is not None
        if self._problems is not None and fault is not None:
            text = (
                f"{fault.value[:1].upper()}{fault.value[1:]}. What introducers say is not "
                "stored for the next start. The node retries by itself until it is."
            )
            self._problems.report(self._name, text)
