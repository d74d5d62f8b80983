"""
One attempt to store what an open upload has and is given.

Source: ``docs/formats/open-uploads.md``, "What happens when".
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from truckee.flow.together import Group
from truckee.immutable.upload.status import UploadStatus
from truckee.immutable.upload.uploader import Cap, Uploader
from truckee.uploads.append_log import UploadLog
from truckee.uploads.record import UploadRecord
from truckee.uploads.replay import Kept, Replay


@define(eq=False)
class UploadRun:
    """From a log to a cap; ``stop`` it at any time, and have another one begin again."""

    _uploader: Uploader
    _log: UploadLog
    _record: UploadRecord
    _given_up: Callable[[], bool]
    _ended: Callable[[UploadRun, Cap | Exception], None]  # not called when it was stopped
    status: UploadStatus = field(factory=UploadStatus, init=False)
    replay: Replay = field(init=False)
    _work: Group = field(factory=Group, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.replay = Replay(self._log, self._record.end is not None)

    def start(self) -> None:
        """Begin."""
        self._work.start(self._run())

    async def stop(self) -> None:
        """Return when nothing of it is left."""
        self.replay.stop()
        await self._work.stop()

    async def _run(self) -> None:
        outcome: Cap | Exception
        try:
            outcome = await self._uploader.upload(
                self.replay,
                self._record.options,
                self.status,
                kept=Kept(self._log, self._given_up),
            )
        except Exception as error:
            if self.replay.stopped:
                raise
            outcome = error
        self.replay.stop()
        self._ended(self, outcome)
