"""
A file that a client writes at any place, in any order, and again, as on a disk.

Its bytes are in a scratch file, encrypted, and those from the first on that are there
without a gap leave for the grid while the file is written.  What is written below what has
left makes that upload worthless: the file is stored as a whole when it is closed.

Source: ``docs/reference/sftp.md``, "Writing".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from truckee.codec.hashes import Buffer
from truckee.errors import Misuse, Refused, TruckeeError
from truckee.flow.changes import Changes
from truckee.flow.together import by_itself
from truckee.immutable.upload.status import UploadStatus
from truckee.immutable.upload.uploader import Cap
from truckee.uploads.errors import UploadAborted, UploadBroke
from truckee.uploads.write_queue import Asked, WriteQueue
from truckee.uploads.written_attempt import Attempt
from truckee.uploads.written_content import AT_END, Content, WrittenContent
from truckee.uploads.written_stream import WrittenStream

log = Logger()

# A file leaves while it is written once so many bytes of it are there; a shorter one is
# stored when it is closed, and servers know its size from the start.
BEGIN = 128 << 10
# A client is held up while so many bytes that could leave have not left.
_LEAD = 32 << 20
# How often a file is tried to be stored when it is closed, and the wait after the first
# try, which doubles each time.  Its client waits all the time.
_TRIES = 4
_FIRST_WAIT = 2.0  # seconds
# A client that wrote nothing for so long holds no memory and no room on servers any more.
IDLE = 600.0  # seconds

# What the log is told.
FAILED = "A written file failed"


class Host(Protocol):
    """What written files have to share with others."""

    def check_size(self, file: WrittenFile, size: int) -> None:
        """:raises TruckeeError: if *file* may not have so many bytes."""

    def try_begin(self, file: WrittenFile) -> bool:
        """Take a place among the uploads if there is one."""

    async def begin(self, file: WrittenFile) -> None:
        """Return when *file* has a place."""

    def over(self, file: WrittenFile) -> None:
        """*file* gives its place back."""

    async def upload(
        self,
        file: WrittenFile,
        stream: WrittenStream,
        size: int | None,
        status: UploadStatus,
    ) -> Cap:
        """Store what *stream* gives; None: nobody knows how much that will be."""

    def progress(self, file: WrittenFile) -> None:
        """The file has another status."""

    def closed(self, file: WrittenFile, cap: Cap | None, error: Exception | None) -> None:
        """*file* is no more, and was stored, or failed, or was not wanted."""


@define(eq=False)
class WrittenFile:
    """
    One file; whoever opens it closes it, also when that has failed.

    Writes and cuts count in the order in which they were asked for.
    """

    _host: Host
    content: WrittenContent
    _clock: IReactorTime
    # Whether it leaves while it is written; else somebody takes ``whole`` in the end.
    _streams: bool = True
    changed: bool = field(default=False, init=False)  # since it was stored, or opened
    stored: bool = field(default=False, init=False)  # what it had at some time
    fell_back: bool = field(default=False, init=False)  # it waits until it is closed
    changes: Changes = field(factory=Changes, init=False, repr=False)
    status: UploadStatus = field(factory=UploadStatus, init=False)
    used: float = field(default=0.0, init=False)  # when it was written last, by the clock
    _error: TruckeeError | None = field(default=None, init=False)
    # Why a write failed: what is there is not what its client means, and is stored nowhere.
    _broken: TruckeeError | None = field(default=None, init=False)
    _cap: Cap | None = field(default=None, init=False, repr=False)
    _whole: bool = field(default=False, init=False)
    _attempt: Attempt | None = field(default=None, init=False, repr=False)
    _taker: WrittenStream | None = field(default=None, init=False, repr=False)
    _queue: WriteQueue = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._queue = WriteQueue(self._write, self.changes.wake)
        self.used = self._clock.seconds()

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self.content.size

    @property
    def is_leaving(self) -> bool:
        """Whether it leaves while it is written."""
        return self._attempt is not None and not self._whole

    # Writing

    async def write(self, offset: int, data: Buffer) -> None:
        """
        Return when *data* is in the encrypted file, and not much has piled up.

        *offset* is in bytes; ``AT_END``: wherever the file ends then.

        :raises TruckeeError: why it cannot be; the file is not stored then, since a part
            of it is missing, until it is cut to nothing.
        """
        self._check()
        start = self.size if offset == AT_END else offset
        try:
            self._host.check_size(self, start + len(data))
        except TruckeeError as error:
            self._broken = self._broken or error
            raise
        await self._queue.ask(offset, data)
        await self.changes.until(self._has_kept_up)
        self._check()

    async def resize(self, size: int) -> None:
        """Cut the file to *size* bytes, or fill it up with zeros."""
        self._check()
        self._host.check_size(self, size)
        await self._queue.ask(size, None)

    async def _write(self, asked: Sequence[Asked]) -> None:
        await self.changes.until(lambda: not self._whole)
        self.changed, self.used = True, self._clock.seconds()
        self._host.progress(self)
        pieces = [(offset, data) for offset, data in asked if data is not None]
        try:
            if pieces:
                self._look(await self.content.write(pieces))
            else:
                self._look(self.content.resize(asked[0][0]))
                self._broken = self._broken if self.size else None
        except Exception as error:
            self.fall_back()  # nobody knows what is there now
            known = error if isinstance(error, TruckeeError) else UploadBroke()
            self._broken = self._broken or known
            raise

    def _look(self, lowest: int) -> None:
        """Something from *lowest* on was written."""
        attempt = self._attempt
        if attempt is not None and (attempt.sized or lowest < attempt.stream.taken):
            self.fall_back()
        elif attempt is None and self._streams and not self.fell_back:
            end = self.leaving(0)
            if self.leaving(end) >= BEGIN and self._host.try_begin(self):
                self._start(None)
        if self.fell_back:
            self.status.received = self.status.spooled = self.size
        self.changes.wake()

    def _has_kept_up(self) -> bool:
        attempt = self._attempt
        if attempt is None or attempt.outcome is not None or self.fell_back:
            return True
        taken = attempt.stream.taken
        return self.leaving(taken) - taken <= _LEAD

    # Reading

    async def settle(self) -> None:
        """Return when all that was asked for until now is written."""
        asked = self._queue.asked
        await self.changes.until(lambda: self._queue.done >= asked)

    async def rest(self) -> None:
        """Return when all is written, and nothing is asked for."""
        await self.changes.until(lambda: not self._queue.is_busy)

    async def read(self, offset: int, length: int) -> bytes:
        """Return the bytes that it has now, fewer at the end; zeros where nothing was."""
        return await self.content.read(offset, length)

    # See ``Written``

    def leaving(self, position: int) -> int:
        """Return up to where the bytes from *position* on may leave now."""
        if self._whole:
            return self.size
        return self.content.settled(position)

    def is_whole(self) -> bool:
        """Tell whether nothing changes until all of it has left."""
        return self._whole

    # Storing

    def fall_back(self) -> None:
        """Give the upload up that is under way; the file is stored when it is closed."""
        if self._whole:
            return
        self.fell_back = True
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            by_itself(attempt.give_up(), log, FAILED)
        self._new_status()
        self.status.phase = "spooling"
        self.status.received = self.size

    def park(self, before: float) -> None:
        """Fall back if nothing was written since *before*, by the clock."""
        if self.is_leaving and self.used < before:
            self.fall_back()

    def _new_status(self) -> None:
        gate, self.status = self.status.gate, UploadStatus()
        self.status.gate = gate
        self.status.spooled = self.size if self.fell_back else 0
        self._host.progress(self)

    def _start(self, size: int | None) -> Attempt:
        """Begin to store it; it has a place for that."""
        self._new_status()
        stream, sized = WrittenStream(self), size is not None
        upload = self._host.upload(self, stream, size, self.status)
        over = partial(self._host.over, self)
        self._attempt = attempt = Attempt(stream, sized, upload, self._ended, over)
        attempt.start()
        return attempt

    def _ended(self, attempt: Attempt) -> None:
        error = attempt.outcome
        if isinstance(error, Exception) and not (attempt.stream.stopped or self._whole):
            # It is tried again when the file is closed, and its size is known.
            log.info("A file that is written waits: {why}", why=_reason(error))
            self.fall_back()
        self.changes.wake()

    async def store(self) -> Cap:
        """
        Return the cap of what the file has now, once that is stored for good.

        Writes wait meanwhile.  May be called again, also when nothing was written since.

        :raises TruckeeError: why it could not be stored; it is still there.
        """
        await self.changes.until(lambda: not (self._queue.is_busy or self._whole))
        self._check_whole()
        if self._cap is not None and not self.changed:
            return self._cap
        self._whole = True
        self.changes.wake()
        try:
            self._cap = await self._store()
            self.stored, self.changed = True, False
            return self._cap
        finally:
            attempt, self._attempt = self._attempt, None
            if attempt is not None:
                await attempt.give_up()
            self.fell_back, self._whole = True, False
            self.changes.wake()

    async def _store(self) -> Cap:
        wait = _FIRST_WAIT
        for number in range(_TRIES):
            attempt = self._attempt
            if attempt is None:
                await self._host.begin(self)
                if self._error is not None:
                    self._host.over(self)
                    raise self._error
                attempt = self._start(self.size)
            await self.changes.until(partial(self._is_over, attempt))
            self._check()
            outcome = attempt.outcome
            if not isinstance(outcome, Exception):
                assert outcome is not None
                return outcome
            self._attempt = None
            await attempt.give_up()
            final = isinstance(outcome, Misuse | Refused) and attempt.sized
            if final or number == _TRIES - 1 or not isinstance(outcome, TruckeeError):
                raise outcome if isinstance(outcome, TruckeeError) else UploadBroke
            if attempt.sized:
                log.info("A file is stored again in a while: {why}", why=_reason(outcome))
                await deferLater(self._clock, wait)
                wait *= 2
        raise UploadBroke

    def _is_over(self, attempt: Attempt) -> bool:
        return attempt.outcome is not None or self._error is not None

    def adopt(self, cap: Cap, content: Content) -> None:
        """Have *content*, which is stored already under *cap*; it was empty."""
        self.content.replace(content)
        self._cap, self.changed = cap, False

    @contextmanager
    def whole(self) -> Iterator[WrittenStream]:
        """
        Give all that it has to somebody else who stores it; writes wait meanwhile.

        It must rest.  What is not an error in here has stored it.

        :raises TruckeeError: why it cannot be; it is still there.
        """
        self._check_whole()
        self._whole, stream = True, WrittenStream(self)
        self._taker = stream
        try:
            yield stream
            self.stored, self.changed = True, False
        except CancelledError:
            self._check()  # it was closed meanwhile
            raise
        finally:
            self._taker = None
            self._whole = False
            self.changes.wake()

    async def close(self, error: Exception | None = None) -> None:
        """Give up what is not stored, for *error*, and free all.  May be called twice."""
        if self._error is None:
            self._error = UploadAborted()
            self.changes.wake()
        if self._taker is not None:
            self._taker.stop()
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            await attempt.give_up()
        self._whole = False
        self.changes.wake()
        await self.settle()
        await self.content.close()
        self._host.closed(self, self._cap, error)

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _check_whole(self) -> None:
        self._check()
        if self._broken is not None:
            raise self._broken


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, TruckeeError) else type(error).__name__
