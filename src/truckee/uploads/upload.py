"""
An upload that stays open between requests, and between processes.

Whoever has its handle brings the bytes in as many pieces and over as many connections as it
takes; one at a time, and the last one to come is the one that counts.

Source: ``docs/formats/open-uploads.md``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from truckee.codec.secrets import KEY_SIZE
from truckee.errors import Corrupt, TruckeeError, Unavailable
from truckee.flow.changes import Changes
from truckee.flow.cpu import Workers
from truckee.immutable.upload.keys import RandomKey
from truckee.immutable.upload.status import UploadStatus
from truckee.immutable.upload.uploader import Cap
from truckee.status.ages import LastUse
from truckee.status.failures import shown_id, shown_reason
from truckee.status.gate import Gate
from truckee.uploads.append_log import UploadLog
from truckee.uploads.attempts import Attempts
from truckee.uploads.errors import (
    AlreadyStored,
    FailedBefore,
    NotAllThere,
    NotTheEnd,
    OnlyAPart,
    OtherSize,
    PastTheEnd,
    TakenOver,
    UploadAborted,
    UploadBroke,
    WrongOffset,
)
from truckee.uploads.interfaces import Digest, IUpload
from truckee.uploads.kept_record import KeptRecord
from truckee.uploads.log_guard import LogGuard
from truckee.uploads.record import UploadRecord
from truckee.uploads.removal import Removal
from truckee.uploads.run import UploadRun
from truckee.uploads.state import ENDS, Event, State, after
from truckee.uploads.writer import Intake

log = Logger()

_PATIENCE = 5  # requests that may come in between
_SYNC = 16 << 20  # bytes of one piece that may be lost in a power cut


class Host(Protocol):
    """What an open upload has to share with others."""

    def check_space(self, amount: int) -> None:
        """:raises NoRoomForOpen: if there is none for so many bytes more."""

    def new_run(self, upload: OpenUpload) -> UploadRun | None:
        """Return a run that is to be started; None: there is no memory for it now."""

    def run_over(self) -> None:
        """A run has ended."""

    def over(self, upload: OpenUpload) -> None:
        """*upload* is over, well or not."""


@implementer(IUpload)
@define(eq=False)
class OpenUpload:
    """
    One upload and its handle.

    Bytes that were taken count, whatever becomes of the request that brought them.
    """

    _record: KeptRecord
    taken: UploadLog  # the bytes
    _disk: Workers
    _clock: IReactorTime
    _host: Host
    last_use: LastUse  # when the last byte or the end came
    _guard_time: float = 0.0  # seconds; see LogGuard
    client: str = field(default="", init=False)  # who opened it, as far as is known
    state: State = field(default=State.OPEN, init=False)
    # What ended it, or what is in its way while it is open.
    error: TruckeeError | None = field(default=None, init=False)
    _intake: Intake = field(init=False, repr=False)
    _attempts: Attempts = field(init=False, repr=False)
    _guard: LogGuard = field(init=False, repr=False)
    _changes: Changes = field(factory=Changes, init=False, repr=False)
    _removal: Removal | None = field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._intake = Intake(self.taken, self._disk, self)
        self._attempts = Attempts(
            lambda: self._host.new_run(self), self._host.run_over, self._clock
        )
        self._guard = LogGuard(self, self._attempts, self._clock, self._guard_time)
        if self.record.cap is not None:
            self.state = State.STORED
        elif self.record.error is not None:
            self.state = State.FAILED
            self.error = FailedBefore(self.record.error)

    @property
    def record(self) -> UploadRecord:
        """What is known of it."""
        return self._record.now

    @property
    def touched(self) -> float:
        """When the last byte or the end came, by the clock, as far as that is known."""
        return self.last_use.seen - self.last_use.before

    def _used(self) -> None:
        self.last_use = LastUse(self._clock.seconds())

    @property
    def handle(self) -> str:
        """The right to feed it, to end it, and to have its cap."""
        return self.record.handle

    @property
    def size(self) -> int | None:
        """Bytes that were promised."""
        return self.record.size

    @property
    def cap(self) -> Cap | None:
        """The cap, once it is stored."""
        return self.record.cap

    @property
    def offset(self) -> int:
        """How many bytes were taken."""
        return self.taken.size if self.record.end is None else self.record.end

    @property
    def kept(self) -> int:
        """Bytes on our disk."""
        return self.taken.held if not self.ended or self.record.guarded else 0

    @property
    def status(self) -> UploadStatus:
        """What became of it in its last run."""
        return self._attempts.status

    @property
    def run(self) -> UploadRun | None:
        """Its run, if there is one."""
        return self._attempts.run

    @property
    def gate(self) -> Gate:
        """What is shut while it is paused."""
        return self._attempts.gate

    @property
    def ended(self) -> bool:
        """Whether it is over, well or not."""
        return self.state in ENDS

    @property
    def fed(self) -> bool:
        """Whether somebody is bringing bytes."""
        return self._intake.busy

    async def append(
        self, offset: int | None, chunks: AsyncIterator[bytes], digest: Digest | None = None
    ) -> int:
        """
        Take *chunks* and return the new offset, once they are safe.

        They begin at *offset*, None for wherever the upload is.  Bytes that it has already
        are passed over.  Whoever else is still appending is cut off.  With a *digest* none
        of them count before it has checked all of them; it sees those that are passed over,
        too.

        :raises WrongOffset: if bytes between are missing.
        :raises TruckeeError: what ended the upload, or is in its way.
        """
        self._check()
        if offset is not None and offset > self.offset:
            raise WrongOffset(offset, self.offset)
        try:
            await self._intake.take(offset, chunks, digest)
        except TakenOver:
            self._check()
            raise
        return self.offset

    async def settle(self) -> int:
        """
        Cut off whoever is appending, and return the offset to go on from.

        It does not change before somebody appends to it again.
        """
        for _ in range(_PATIENCE):
            if self.state is not State.OPEN:
                break
            with suppress(TakenOver):  # by one whose request was under way
                await self.append(None, _nothing())
                break
        return self.offset

    def read_all(self, piece: int) -> AsyncIterator[bytes]:
        """Give all bytes that were taken, *piece* at a time."""
        return self.taken.read_all(piece)

    async def close(self, end: int | None = None) -> Cap:
        """
        Return the cap when all is stored; to whoever asks again, too.

        *end* is the size that the client thinks the file has, if it said so.  Goes on if
        this is cancelled.

        :raises NotAllThere: while bytes are missing; the upload stays open.
        :raises NotTheEnd: if it has another size; the upload stays open.
        :raises Unavailable: when it cannot be stored now.  It is tried again by itself.
        """
        self._check()
        if self.record.partial:
            raise OnlyAPart
        if self.state is State.OPEN:
            self._check_end(end)
            self._intake.cut_off()
            # Whoever was cut off is done with the log then.
            async with self._intake.at_rest():
                await self._shut(end)
        elif end not in (None, self.offset):
            raise NotTheEnd(end or 0, self.offset)
        elif self.error is not None and self.state is State.CLOSING:
            self.error = None
            self._run()
        await self._change()
        self._check()
        assert self.cap is not None
        return self.cap

    async def abort(self) -> None:
        """
        Give the upload up; return when nothing is left of it.  May be called twice.

        :raises AlreadyStored: if it is too late.
        """
        if self.state is State.STORED:
            raise AlreadyStored
        rests = not self.ended and self.run is None and self.offset > 0
        if not self.ended:
            self.state, self.error = after(self.state, Event.ABORT), UploadAborted()
            self._intake.cut_off()
            self._changes.wake()
        if self._removal is None:
            # First the record: whoever dies behind this leaves nothing that would go on.
            steps = (self.forget, self.leave, self._remove_log)
            self._removal = Removal(steps, lambda: self._host.over(self), rests)
            self._removal.begin()
        await self._removal.end()

    @property
    def left_at_rest(self) -> bool:
        """Whether it was aborted without a run, so that a helper may have what came."""
        return self._removal is not None and self._removal.at_rest

    async def _remove_log(self) -> None:
        async with self._intake.at_rest():
            await self.taken.remove()

    async def set_size(self, size: int) -> None:
        """
        Promise *size* bytes.

        :raises OtherSize: if others were promised, or more have come.
        """
        if self.size == size:
            return
        if self.size is not None or size < self.offset or self.state is not State.OPEN:
            raise OtherSize(self.size, self.offset)
        self._record.change(size=size)
        await self._record.save()

    def watch(self, task: str) -> None:
        """Remember the id of the task that it is watched by; before ``make``."""
        self._record.change(task=task)

    async def make(self) -> None:
        """Make what is kept of it.  :raises SpoolDiskFull:"""
        await self._record.save()
        await self.taken.open()

    async def find(self, random: Callable[[int], bytes]) -> None:
        """Resume what an earlier process left."""
        if self.record.guarded:
            await self._guard.take_up()
        if self.ended:
            return
        found, changes = await self.taken.look(), dict[str, Any]()
        if found.lost:
            log.warn("The end of an open upload was not on the disk: it is asked for again")
            if isinstance(self.record.choice, RandomKey):
                # Other bytes may come in place of some that have left.
                changes["choice"] = RandomKey(random(KEY_SIZE))
        if self.record.end not in (None, found.size):
            changes["end"] = None
        if changes:
            # First: were the log opened and this cut short, nobody would know any more that
            # the key must not be used again.
            self._record.change(**changes)
            await self._record.save()
        await self.taken.open()

    def resume(self) -> None:
        """Store what was closed when its process ended."""
        if not self.ended and self.record.end is not None:
            self.state = after(self.state, Event.CLOSE)
            self._run()

    async def park(self) -> None:
        """Free the memory and the servers; the next piece begins again."""
        await self._attempts.park()

    async def leave(self) -> None:
        """End all that goes on, and leave what is on the disk."""
        self._guard.stop()
        await self._attempts.leave()
        self._changes.wake()

    async def shelve(self) -> None:
        """End all that goes on, and close what is on the disk."""
        await self.leave()
        self._intake.cut_off()
        async with self._intake.at_rest():
            self.taken.close()

    def begin(self) -> None:
        """Begin a run, if that is what it waits for."""
        if not (self.ended or self.record.partial):
            run = self._attempts.next()
            if run is not None:
                self.error = None
                run.start()

    # Taking bytes

    def _check(self) -> None:
        """:raises TruckeeError: what ended the upload, unless that is its good end."""
        if self._final is not None:
            raise self._final.with_traceback(None)

    @property
    def _final(self) -> TruckeeError | None:
        return self.error if self.ended else None

    def check_room(self, offset: int, amount: int) -> None:
        """See ``Taking``."""
        self._check()
        if self.state is not State.OPEN:
            raise PastTheEnd(self.offset)
        if self.size is not None and offset + amount > self.size:
            raise PastTheEnd(self.size)
        self._host.check_space(amount)

    @property
    def behind(self) -> int:
        """See ``Taking``."""
        return 0 if self.run is None else self.run.replay.behind

    async def came(self, behind: int) -> None:
        """See ``Taking``."""
        self._used()
        if self.taken.unsynced >= _SYNC:
            await self.taken.sync()
        self.begin()
        run = self.run
        if run is not None:
            run.replay.added()
            await run.replay.keep_up(behind)
            self._used()
            self._check()
            if run is not self.run and self.error is not None:
                raise self.error.with_traceback(None)

    # The end

    def _check_end(self, end: int | None) -> None:
        if end not in (None, self.offset):
            raise NotTheEnd(end or 0, self.offset)
        if self.size not in (None, self.offset):
            raise NotAllThere(self.offset, self.size or 0)

    async def _shut(self, end: int | None) -> None:
        """Take no more bytes."""
        self._check()
        if self.state is not State.OPEN:
            return
        self._check_end(end)
        self.state = after(self.state, Event.CLOSE)
        self._used()
        self._record.change(end=self.taken.size)
        self._run()
        await self._record.save()

    def _run(self) -> None:
        """Have all be stored that there is."""
        self._attempts.calm()
        self.begin()
        if self.run is not None:
            self.run.replay.end()
        elif not self.ended:
            self._attempts.later(self._run)

    def run_ended(self, run: UploadRun, outcome: Cap | Exception) -> None:
        """Take note of what a run came to."""
        if not self._attempts.over(run):
            return
        if self.state is State.STORED:
            self._guard.looked(outcome)
        elif self.state is State.ABORTED:
            pass  # too late: its record is being removed
        elif isinstance(outcome, (Unavailable, Corrupt)):
            self._set_back(outcome)
        elif isinstance(outcome, Exception):
            if not isinstance(outcome, TruckeeError):
                log.failure("An open upload failed", Failure(outcome))  # type: ignore[no-untyped-call]
                outcome = UploadBroke()
            self._record.change(error=str(outcome))
            self._finish(Event.FAIL, outcome)
        else:
            guarded = self._guard.needed(run.status, outcome)
            self._record.change(cap=outcome, guarded=guarded)
            self._finish(Event.STORE)
        self._host.run_over()

    def _set_back(self, error: TruckeeError) -> None:
        """It cannot be stored now."""
        self.error = error
        if self.state is State.CLOSING:
            log.warn(
                "An upload that came in pieces (task {id}) cannot be stored now, and is "
                "tried again: {reason}",
                id=shown_id(self.record.task or ""),
                reason=shown_reason(str(error)),
            )
            self._attempts.later(self._run, failed=True)
        self._changes.wake()

    def _finish(self, event: Event, error: TruckeeError | None = None) -> None:
        self.state, self.error = after(self.state, event), error
        self._used()
        self._host.over(self)
        self._changes.wake()
        if error is not None:
            self._intake.cut_off()
        Deferred.fromCoroutine(self._tidy()).addErrback(
            lambda failure: log.failure("An upload's end was not kept", failure=failure)
        )

    async def _tidy(self) -> None:
        """Keep the end, then free the space."""
        await self._record.save()
        if self.state is State.FAILED:
            await self._remove_log()
        elif self.record.guarded:
            self._guard.begin()
        elif self.state is State.STORED:  # nobody writes to it any more
            await self.taken.remove()

    async def release(self) -> None:
        """Keep the bytes of a stored upload no longer."""
        self._record.change(guarded=False)
        await self._record.save()
        await self.taken.remove()

    async def forget(self) -> None:
        """Remove the record."""
        await self._record.forget()
        if self.record.guarded:
            self._guard.stop()
            await self.taken.remove()

    # Waiting

    async def _change(self) -> None:
        """Return when the upload is over; raise what is in its way when it is set back."""
        await self._changes.until(lambda: self.ended or self.error is not None)
        if not self.ended and self.error is not None:
            raise self.error.with_traceback(None)


async def _nothing() -> AsyncIterator[bytes]:
    """Give no bytes."""
    return
    yield b""
