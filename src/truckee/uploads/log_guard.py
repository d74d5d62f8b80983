"""
What is done about servers that may lose a share in a power cut after they have closed it.

Such a server has written all of it, and its system brings it to the disk some time later.
Until then the bytes are kept here; a process that finds them at its start stores them
again, which sends nothing where all shares are there.

Source: ``docs/durability.md``, "What stored means".
"""

from __future__ import annotations

from typing import Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from truckee.codec.caps import LiteralCap
from truckee.flow.timer import Timer
from truckee.flow.together import Work
from truckee.immutable.upload.status import UploadStatus
from truckee.immutable.upload.uploader import Cap
from truckee.uploads.append_log import UploadLog
from truckee.uploads.attempts import Attempts
from truckee.uploads.record import UploadRecord

log = Logger()


class Guarded(Protocol):
    """A stored upload whose bytes are here still."""

    taken: UploadLog

    @property
    def record(self) -> UploadRecord:
        """What is known of it."""

    def release(self) -> Work[None]:
        """Keep the bytes no longer."""


@define(eq=False)
class LogGuard:
    """Keeps the bytes of one stored upload for a while."""

    _upload: Guarded
    _attempts: Attempts
    _clock: IReactorTime
    _seconds: float
    _call: Timer = field(factory=Timer, init=False)

    def needed(self, status: UploadStatus, cap: Cap) -> bool:
        """Tell whether what was stored as *cap* may be lost."""
        return self._seconds > 0 and not (status.durable or isinstance(cap, LiteralCap))

    def begin(self) -> None:
        """Keep them from now on."""
        self.stop()
        self._call.start(self._clock.callLater, self._seconds, self._over)

    def stop(self) -> None:
        """Leave it as it is; may be called twice."""
        self._call.cancel()

    async def take_up(self) -> None:
        """Look whether all that an earlier process stored is there."""
        await self._upload.taken.open()
        if self._upload.taken.size != self._upload.record.end:
            log.warn("The bytes of a stored upload are gone: it is not looked at again")
            await self._upload.release()
        else:
            self._look()

    def looked(self, outcome: Cap | Exception) -> None:
        """It was stored again, or not."""
        if outcome == self._upload.record.cap:
            self.begin()
            return
        log.warn("A stored upload is to be looked at again: {error}", error=str(outcome))
        self._attempts.later(self._look, failed=True)

    def _look(self) -> None:
        run = self._attempts.next()
        if run is None:
            self._attempts.later(self._look)
        else:
            run.start()

    def _over(self) -> None:
        releasing = Deferred.fromCoroutine(self._upload.release())
        releasing.addErrback(_failed)


def _failed(failure: Failure) -> None:
    log.failure("The bytes of a stored upload were not removed", failure)
