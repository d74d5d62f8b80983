"""
The runs of one open upload: one at a time, and after a failure the next one later.

Source: ``docs/formats/open-uploads.md``, "What happens when".
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from truckee.flow.timer import Timer
from truckee.immutable.upload.status import UploadStatus
from truckee.status.gate import Gate
from truckee.uploads.run import UploadRun

_FIRST_RETRY = 2.0  # seconds
_LAST_RETRY = 300.0  # seconds


@define(eq=False)
class Attempts:
    """Has runs made, and remembers what became of the last one."""

    _new: Callable[[], UploadRun | None]  # None: there is no memory for one now
    _over: Callable[[], None]  # told when a run was ended from here
    _clock: IReactorTime
    run: UploadRun | None = field(default=None, init=False, repr=False)
    gate: Gate = field(factory=Gate, init=False, repr=False)  # shut while it is paused
    _last_status: UploadStatus = field(factory=UploadStatus, init=False)
    _retry: Timer = field(factory=Timer, init=False, repr=False)
    _delay: float = field(default=_FIRST_RETRY, init=False)
    _left: bool = field(default=False, init=False)  # nothing more is to be begun

    @property
    def status(self) -> UploadStatus:
        """What became of the upload in its last run."""
        return self._last_status if self.run is None else self.run.status

    def next(self) -> UploadRun | None:
        """Return the next run, which is to be started; None: not now."""
        if self.run is not None or self._left:
            return None
        run = self.run = self._new()
        if run is not None:
            run.status.gate = self.gate
        return run

    def later(self, work: Callable[[], None], *, failed: bool = False) -> None:
        """Call *work* after a while, which doubles with each run that *failed*."""
        if not self._retry.running and not self._left:
            self._retry.start(self._clock.callLater, self._delay, work)
        if failed:
            self._delay = min(2 * self._delay, _LAST_RETRY)

    def calm(self) -> None:
        """Call nothing later."""
        self._retry.cancel()

    def over(self, run: UploadRun) -> bool:
        """Note that *run* has ended by itself; False if it is none of ours any more."""
        if run is not self.run:
            return False
        self._last_status, self.run = run.status, None
        return True

    async def park(self) -> None:
        """End the run that is under way."""
        run, self.run = self.run, None
        if run is not None:
            self._last_status = run.status
            await run.stop()
            self._over()

    async def leave(self) -> None:
        """End all, and begin nothing more."""
        self._left = True
        self.calm()
        await self.park()
