"""The files that clients write as on a disk, and what these share."""

from __future__ import annotations

from collections import Counter

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.flow.cpu import Workers
from truckee.flow.limits import Budget
from truckee.flow.scratch_file import ScratchFile
from truckee.flow.timer import Timer
from truckee.flow.together import by_itself, together
from truckee.immutable.upload.keys import KeyChoice
from truckee.immutable.upload.options import UploadOptions
from truckee.immutable.upload.status import UploadStatus
from truckee.immutable.upload.uploader import Cap, Uploader
from truckee.status.task import Hooks, Task
from truckee.status.tasks import Tasks
from truckee.uploads.errors import NoRoomForOpen, TooManyOpen
from truckee.uploads.written_content import Content, WrittenContent
from truckee.uploads.written_file import FAILED, IDLE, WrittenFile
from truckee.uploads.written_stream import WrittenBody, WrittenStream

log = Logger()

# Each has a descriptor.
MOST = 1000
MOST_OF_OWNER = 250
# When all places are taken, one gives way whose client wrote nothing for so long.
_REST = 5.0  # seconds
# How often it is looked who is idle.
_LOOK = 60.0  # seconds


@define(eq=False)
class WrittenFiles:
    """Opens them, and lets only so many be stored at a time."""

    _uploader: Uploader
    _disk: Workers
    _directory: str  # on whose disk they are
    _clock: IReactorTime
    _tasks: Tasks
    _key: KeyChoice
    _most: int = MOST
    _files: dict[WrittenFile, Task | None] = field(factory=dict, init=False, repr=False)
    _owners: dict[WrittenFile, str] = field(factory=dict, init=False, repr=False)
    _sizes: Counter[WrittenFile] = field(factory=Counter, init=False, repr=False)
    _size: int = field(default=0, init=False)  # the sum of these, in bytes
    _places: Budget = field(init=False)
    _look: Timer = field(factory=Timer, init=False, repr=False)
    _stopped: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        # Others upload too.
        self._places = Budget(max(1, self._uploader.most_active // 2))

    def open(
        self, base: Content | None = None, streams: bool = True, owner: str = ""
    ) -> WrittenFile:
        """
        Return a new file, which has what *base* has.

        *owner* has a share of all that there may be.  :raises TooManyOpen:
        """
        if len(self._files) >= self._most or self._stopped:
            raise TooManyOpen(len(self._files))
        count = sum(each == owner for each in self._owners.values())
        if count >= MOST_OF_OWNER:
            raise TooManyOpen(count)
        scratch = ScratchFile(self._disk, self._directory)
        content = WrittenContent(scratch, base)
        file = WrittenFile(self, content, self._clock, streams)
        self._files[file], self._owners[file] = None, owner
        if not self._look.running:
            self._look.start(self._clock.callLater, _LOOK, self._park_idle)
        return file

    async def stop(self) -> None:
        """Give all of them up."""
        self._stopped = True
        self._look.cancel()
        await together(each.close() for each in list(self._files))

    def _park_idle(self) -> None:
        for each in self._files:
            each.park(self._clock.seconds() - IDLE)
        if self._files:
            self._look.start(self._clock.callLater, _LOOK, self._park_idle)

    # See ``Host``

    def check_size(self, file: WrittenFile, size: int) -> None:
        """See ``Host``."""
        self._uploader.check_size(size)
        limit = self._uploader.limits.spool
        size = max(size, file.size) - file.content.base_size
        total = self._size - self._sizes[file] + size
        if total > limit:
            raise NoRoomForOpen(limit)
        self._size, self._sizes[file] = total, size

    def try_begin(self, file: WrittenFile) -> bool:
        """See ``Host``."""
        if self._places.try_take(1):
            return True
        due = self._clock.seconds() - _REST
        idle = [each for each in self._files if each.is_leaving and each.used < due]
        if idle:
            min(idle, key=lambda each: each.used).fall_back()
        return False

    async def begin(self, file: WrittenFile) -> None:
        """See ``Host``."""
        await self._places.take(1)

    def over(self, file: WrittenFile) -> None:
        """See ``Host``."""
        self._places.give(1)

    async def upload(
        self,
        file: WrittenFile,
        stream: WrittenStream,
        size: int | None,
        status: UploadStatus,
    ) -> Cap:
        """See ``Host``."""
        body = WrittenBody(file, lambda: stream.stopped)
        return await self._uploader.upload(
            stream, UploadOptions(self._key, size), status, kept=body
        )

    def progress(self, file: WrittenFile) -> None:
        """See ``Host``."""
        task = self._files.get(file)
        if task is not None:
            task.progress = file.status
        elif file in self._files:
            gate = file.status.gate
            hooks = Hooks(
                lambda: by_itself(file.close(), log, FAILED), gate.shut, gate.open
            )
            self._files[file] = self._tasks.begin("upload", file.status, hooks)

    def closed(self, file: WrittenFile, cap: Cap | None, error: Exception | None) -> None:
        """See ``Host``."""
        task = self._files.pop(file, None)
        self._owners.pop(file, None)
        self._size -= self._sizes.pop(file, 0)
        if task is None:
            return
        if error is None and not file.stored:
            task.cancel("it was removed, or its client went away")
            task.end(error=task.error)
        else:
            shown = None if cap is None else str(cap)
            task.end(shown, None if error is None else str(error))
