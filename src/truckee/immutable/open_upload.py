"""
An upload that stays open between requests.

Whoever has its handle brings the bytes in as many pieces and over as many connections as it
takes; one at a time, and the last one to come is the one that counts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from enum import Enum

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.errors import Refused, TruckeeError
from truckee.flow.together import Group
from truckee.immutable.feed import Feed
from truckee.immutable.keys import KeyChoice
from truckee.immutable.upload import Cap, Uploader
from truckee.immutable.upload_status import UploadStatus

log = Logger()


@define
class WrongOffset(Refused):
    """
    This chunk begins at {given}, but the upload has {offset} bytes so far. Go on from
    there.
    """

    given: int
    offset: int


@define
class NotAllThere(Refused):
    """
    The upload was opened for {size} bytes and has {offset} so far. It is still open: send
    the rest, then close it.
    """

    offset: int
    size: int


@define
class NotTheEnd(Refused):
    """
    The upload has {offset} bytes, and the last piece ends at {end}. It is still open: look
    what is wrong, and close it at its end or abort it.
    """

    end: int
    offset: int


@define
class PastTheEnd(Refused):
    """
    This chunk goes beyond byte {end}, where the upload ends. Nothing behind that was
    taken.
    """

    end: int


@define
class TakenOver(Refused):
    """Another request goes on with this upload, so this one was given up."""


@define
class UploadAborted(Refused):
    """This upload was aborted, and nothing of it is kept. Open a new one."""


@define
class AlreadyStored(Refused):
    """The file is stored, and cannot be aborted any more."""


@define
class UploadBroke(TruckeeError):
    """
    The upload failed inside the gateway, whose log says how. Nothing of it is kept: open a
    new one.
    """


class State(Enum):
    """How far an open upload is."""

    OPEN = "open"  # takes bytes
    CLOSING = "closing"  # has them all, and waits until they are stored
    STORED = "stored"
    FAILED = "failed"
    ABORTED = "aborted"


@define(eq=False)
class OpenUpload:
    """
    One upload and its handle.  Begins with its first byte to use memory and servers.

    Bytes that were taken count, whatever becomes of the request that brought them.
    """

    handle: str = field(repr=False)
    choice: KeyChoice = field(repr=False)
    size: int | None  # bytes that were promised
    _bound: int | None
    _direct: bool
    _uploader: Uploader
    _clock: IReactorTime
    _admit: Callable[[], None]  # raises if the upload may not begin now
    state: State = field(default=State.OPEN, init=False)
    status: UploadStatus = field(factory=UploadStatus, init=False)
    cap: Cap | None = field(default=None, init=False, repr=False)
    error: TruckeeError | None = field(default=None, init=False)
    touched: float = field(init=False)  # when the last byte or the end came, by the clock
    _feed: Feed = field(factory=Feed, init=False)
    _work: Group | None = field(default=None, init=False, repr=False)
    _writer: Deferred[None] | None = field(default=None, init=False, repr=False)
    _waiting: list[Deferred[None]] = field(factory=list, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.touched = self._clock.seconds()

    @property
    def offset(self) -> int:
        """How many bytes were taken."""
        return self._feed.taken

    @property
    def runs(self) -> bool:
        """Whether it uses memory and servers."""
        return self._work is not None and not self.ended

    @property
    def ended(self) -> bool:
        """Whether it is over, well or not."""
        return self.state not in (State.OPEN, State.CLOSING)

    async def append(self, offset: int | None, chunks: AsyncIterator[bytes]) -> int:
        """
        Take *chunks* and return the new offset; each waits until the upload took it.

        They begin at *offset*, None for wherever the upload is.  Bytes that it has already
        are passed over.  Whoever else is still appending is cut off.

        :raises WrongOffset: if bytes between are missing.
        :raises TruckeeError: what ended the upload, if something did.
        """
        self._check()
        if offset is not None and offset > self.offset:
            raise WrongOffset(offset, self.offset)
        self._take_over()
        writer = Deferred.fromCoroutine(self._take(offset, chunks))
        self._writer = writer
        try:
            await writer
        except CancelledError:
            if self._writer is not writer:
                raise (self.error or TakenOver()) from None
            raise
        finally:
            if self._writer is writer:
                self._writer = None
        return self.offset

    async def close(self, end: int | None = None) -> Cap:
        """
        Return the cap when all is stored; to whoever asks again, too.

        *end* is the size that the client thinks the file has, if it said so.  Goes on if
        this is cancelled.

        :raises NotAllThere: while bytes are missing; the upload stays open.
        :raises NotTheEnd: if it has another size; the upload stays open.
        """
        self._check()
        if end not in (None, self.offset):
            raise NotTheEnd(end or 0, self.offset)
        if self.state is State.OPEN:
            if self.size not in (None, self.offset):
                raise NotAllThere(self.offset, self.size or 0)
            self._begin()
            self._take_over()
            self.state = State.CLOSING
            self._feed.end()
        await self._end()
        self._check()
        assert self.cap is not None
        return self.cap

    async def abort(self) -> None:
        """
        Give the upload up; return when nothing is left of it.  May be called twice.

        :raises AlreadyStored: if it is too late.
        """
        if not self.ended:
            if self.error is None:
                self.error = UploadAborted()
                self._take_over()
                if self._work is None:
                    self._finish(State.ABORTED, self.error)
                else:
                    # Once, and by nobody who goes away: a second time would cancel the
                    # cleaning.
                    Deferred.fromCoroutine(self._work.stop())
            await self._end()
        if self.state is State.STORED:
            raise AlreadyStored

    def _check(self) -> None:
        """:raises TruckeeError: what ended the upload, unless that is its good end."""
        if self.error is not None:
            raise self.error.with_traceback(None)

    def _take_over(self) -> None:
        """Cut off the one who is appending."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.cancel()

    async def _take(self, offset: int | None, chunks: AsyncIterator[bytes]) -> None:
        skip = 0 if offset is None else self.offset - offset
        async for chunk in chunks:
            fresh = chunk[skip:] if skip else chunk
            skip = max(0, skip - len(chunk))
            if not fresh:
                continue
            if self.state is not State.OPEN:
                raise PastTheEnd(self.offset)
            if self.size is not None and self.offset + len(fresh) > self.size:
                raise PastTheEnd(self.size)
            self._begin()
            self.touched = self._clock.seconds()
            await self._feed.give(fresh)
            self.touched = self._clock.seconds()

    def _begin(self) -> None:
        if self._work is None:
            self._uploader.check_room()
            self._admit()
            self._work = Group()
            self._work.start(self._run())

    async def _run(self) -> None:
        try:
            self.cap = await self._uploader.upload(
                self._feed, self.size, self.choice, self._bound, self.status, self._direct
            )
        except TruckeeError as error:
            self._finish(State.FAILED, error)
        except Exception as error:
            if isinstance(error, CancelledError) and self.error is not None:
                self._finish(State.ABORTED, self.error)
            else:
                log.failure("An open upload failed")
                self._finish(State.FAILED, UploadBroke())
        else:
            self._finish(State.STORED)

    def _finish(self, state: State, error: TruckeeError | None = None) -> None:
        self.state = state
        self.error = error
        self.touched = self._clock.seconds()
        self._feed.gone(error or AlreadyStored())
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:
                each.callback(None)

    async def _end(self) -> None:
        """Return when the upload is over."""
        if not self.ended:
            ended: Deferred[None] = Deferred()
            self._waiting.append(ended)
            await ended
