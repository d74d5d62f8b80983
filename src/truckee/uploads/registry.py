"""All uploads that are open, by their handles."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from attrs import define, evolve, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.codec.secrets import KEY_SIZE
from truckee.errors import Unavailable
from truckee.flow.cpu import Workers
from truckee.flow.spool import SpoolDiskFull
from truckee.flow.timer import Timer
from truckee.flow.together import by_itself, together
from truckee.immutable.upload.keys import GivenKey, RandomKey
from truckee.immutable.upload.options import UploadOptions
from truckee.immutable.upload.uploader import Uploader
from truckee.status.ages import LastUse
from truckee.status.problems import Problems
from truckee.status.task import Hooks, Task
from truckee.status.tasks import Tasks
from truckee.uploads.append_log import UploadLog
from truckee.uploads.errors import (
    NoRoomForOpen,
    NotAllThere,
    NotOpenYet,
    PartUsedUp,
    TooManyOpen,
    UnknownHandle,
)
from truckee.uploads.kept_record import KeptRecord
from truckee.uploads.record import UploadFiles, UploadRecord
from truckee.uploads.run import UploadRun
from truckee.uploads.state import State
from truckee.uploads.upload import OpenUpload

log = Logger()
_by_itself = partial(by_itself, log=log, what="Open uploads failed")

HANDLE_SIZE = 18  # bytes, 24 characters
_COPY = 1 << 20  # bytes of a part that are read at once
# How many files one part may be in: each is stored for a request of a few bytes.
_MOST_USES = 8

# What is sent again in a moment, in bytes; and the seconds for which nobody came to go on
# with it before it gives way.
_LITTLE = 1 << 20
_LEAST_REST = 60.0

# Seconds that an upload without a client keeps its run while others want one.
_LEAST_RUN = 10.0


@frozen
class OpenLimits:
    """How many uploads stay open, and how long."""

    # Each costs a record on the disk, and a look whenever bytes come of any; what comes of
    # all together is bounded by UploadLimits.spool.
    open: int = 400
    expire_after: float = 86400.0  # seconds since the last byte
    # Seconds since it was opened, of one of which no byte has come: programs send at once,
    # people within the hour.
    expire_empty: float = 3600.0
    # So that an answer that was lost on its way can be fetched again.
    keep: float = 3600.0  # seconds since the end
    kept: int = 1000  # that have ended; the oldest goes
    # Seconds for which the bytes are kept of what went to servers that may lose it.
    guard: float = 60.0
    park_after: float = 600.0  # seconds without a client


@define(eq=False)
class OpenUploads:
    """
    Opens uploads, finds them, and aborts those that no client resumes.

    One that runs takes as much memory as any upload that waits for its client.  So all of
    them together may have half of what there is: the other half is for those who bring a
    file in one piece.  One without a run takes none.
    """

    _uploader: Uploader
    _files: UploadFiles
    _disk: Workers
    _clock: IReactorTime
    _random: Callable[[int], bytes]
    _now: Callable[[], float]  # seconds since 1970
    _boot: bytes  # which start of the machine this is; see upload_log
    _tasks: Tasks
    limits: OpenLimits = field(factory=OpenLimits)
    _problems: Problems | None = None
    # Handles of those that are on a disk that cannot be written to.
    _waiting: set[str] = field(factory=set, init=False, repr=False)
    _started: bool = field(default=False, init=False)
    _uploads: dict[str, OpenUpload] = field(factory=dict, init=False, repr=False)
    # Of partial uploads, how many files they are in.
    _uses: Counter[OpenUpload] = field(factory=Counter, init=False, repr=False)
    _watched: dict[OpenUpload, Task] = field(factory=dict, init=False, repr=False)
    _sweep: Timer = field(factory=Timer, init=False)
    _stopped: bool = field(default=False, init=False)

    def __len__(self) -> int:
        return len(self._uploads)

    def __iter__(self) -> Iterator[OpenUpload]:
        return iter(list(self._uploads.values()))

    async def start(self) -> None:
        """
        Resume what an earlier process left.

        :raises OSError: :raises Unavailable: when the disk refuses, or is not mounted; what
            could not be opened is not lost, and is opened when this is called again.
        """
        first, self._started = not self._started, True
        refusal: Exception | None = None
        missing = False  # without their disk, all logs seem to be lost
        try:
            await self._disk.run(self._files.make)
        except OSError as error:
            # Those whose logs can be read are not lost with the others.
            refusal = error
        except Unavailable as error:
            refusal, missing = error, True
        for record in await self._disk.run(self._files.load, first and not missing):
            if isinstance(record, Path):
                self._tell_damaged(record)
            elif record.handle not in self._uploads:
                self._waiting.add(record.handle)
                if missing:
                    continue
                try:
                    await self._take_up(record)
                    self._waiting.discard(record.handle)
                except (OSError, SpoolDiskFull) as error:
                    refusal = error
        self._watch()
        if refusal is not None:
            raise refusal

    async def _take_up(self, record: UploadRecord) -> None:
        upload = self._new(record, LastUse(self._clock.seconds()))
        await upload.find(self._random)
        upload.last_use = await self._disk.run(self._last_use, upload)
        self._uploads[record.handle] = upload
        if record.task is not None and not record.ended:
            self._begin_task(upload, record.task)
        upload.resume()

    def _last_use(self, upload: OpenUpload) -> LastUse:
        clock, now = self._clock.seconds(), self._now()
        recorded = 0.0 if upload.ended else upload.taken.touched
        try:
            recorded = recorded or self._files.touched(upload.record)
        except OSError:
            return LastUse(clock)
        return LastUse.found(recorded, clock, now)

    def _tell_damaged(self, path: Path) -> None:
        log.error("{path} is damaged, or of a newer version", path=str(path))
        if self._problems is not None:
            name = f"private/uploads/{path.name}"
            text = (
                f"The record of an open upload is damaged or of a newer version: {name}. "
                "It is left alone; remove it if no client resumes that upload."
            )
            self._problems.report(name, text)

    async def open(
        self,
        options: UploadOptions,
        *,
        meta: Mapping[str, str] | None = None,
        partial: bool = False,
        task: str | None = None,
        client: str = "",
    ) -> OpenUpload:
        """
        Return a new upload, which outlives this process.

        *meta* is recorded for whoever asks; a *partial* one is never stored by itself, see
        ``join``; *task* is the id that the client wants to watch it by; *client* is who
        opens it.

        When as many are open as may be, one of which nothing or little has come gives way:
        of the client that has the most, and the one that rests for longest.

        Whoever knows a key and opens an upload under it has lost the handle of an older one
        that is open under that key: it is aborted, as it would be in the way.

        :raises TooManyOpen: :raises SpoolDiskFull: :raises TaskIdInUse:
        """
        choice = options.key
        self._uploader.check_size(options.size)
        self._tasks.check_id(task)
        await self._files.check()
        if isinstance(choice, GivenKey):
            for each in self:
                if each.record.choice == choice and each.state is State.OPEN:
                    await self.abort(each)
        elif isinstance(choice, RandomKey):
            choice = RandomKey(self._random(KEY_SIZE))
        await self._make_room()
        handle = urlsafe_b64encode(self._random(HANDLE_SIZE)).decode("ascii")
        record = UploadRecord(
            handle,
            self._random(KEY_SIZE),
            choice,
            options.size,
            options.max_size,
            not options.use_helper,
            partial,
            meta or {},
        )
        upload = self._uploads[handle] = self._new(record, LastUse(self._clock.seconds()))
        upload.client = client
        if not partial:
            upload.watch(self._begin_task(upload, task))
        try:
            await upload.make()
        except Exception:
            await self.abort(upload)
            raise
        self._watch()
        return upload

    async def _make_room(self) -> None:
        open_ = [each for each in self if not each.ended]
        if len(open_) >= self.limits.open and not self._stopped:
            least = _least(open_, self._clock.seconds())
            if least is not None:
                log.info("An open upload gave way to a new one")
                await self.abort(least)
        count = sum(not each.ended for each in self)
        if count >= self.limits.open or self._stopped:
            raise TooManyOpen(count)

    async def join(
        self,
        parts: Sequence[OpenUpload],
        options: UploadOptions,
        meta: Mapping[str, str] | None = None,
    ) -> OpenUpload:
        """
        Return a new upload that has the bytes of all *parts*, in their order.

        The parts are left as they are.

        :raises NotAllThere: if one of them has not all of its bytes.
        :raises PartUsedUp: if one of them is in too many files.
        :raises NoRoomForOpen: if there is no space for the whole.
        """
        for part in parts:
            if part.size != part.offset or part.state is not State.OPEN:
                raise NotAllThere(part.offset, part.size or 0)
            if self._uses[part] >= _MOST_USES:
                raise PartUsedUp(_MOST_USES)
        size = sum(part.offset for part in parts)
        self._uploader.check_size(size)
        self.check_space(size)
        for part in parts:
            self._uses[part] += 1
        whole = await self.open(evolve(options, size=size), meta=meta)
        try:
            for part in parts:
                await whole.append(whole.offset, part.read_all(_COPY))
        except Exception:
            await self.abort(whole)
            raise
        return whole

    def find(self, handle: str) -> OpenUpload:
        """Return the upload of *handle*.  :raises UnknownHandle:"""
        upload = self._uploads.get(handle)
        if upload is None and handle in self._waiting:
            raise NotOpenYet
        if upload is None or self.time_left(upload) <= 0:
            raise UnknownHandle
        return upload

    async def abort(self, upload: OpenUpload) -> None:
        """
        Give *upload* up and forget it; return when nothing is left.

        :raises AlreadyStored: if it is too late.
        """
        await upload.abort()
        self._uploads.pop(upload.handle, None)

    def time_left(self, upload: OpenUpload) -> float:
        """Return the seconds until *upload* is forgotten, if nothing happens."""
        if upload.state is State.CLOSING and upload.error is None:
            return self.limits.expire_after
        life = self.limits.keep if upload.ended else self.limits.expire_after
        if not (upload.ended or upload.offset):
            life = min(life, self.limits.expire_empty)
        return upload.last_use.time_left(life, self._clock.seconds(), self._now())

    async def stop(self) -> None:
        """Return when all of them rest where they are."""
        self._stopped = True
        self._sweep.cancel()
        await together(each.shelve() for each in self)

    # For the uploads

    def check_space(self, amount: int) -> None:
        """See ``Host``."""
        limit = self._uploader.limits.spool
        if sum(each.kept for each in self) + amount > limit:
            raise NoRoomForOpen(limit)

    def new_run(self, upload: OpenUpload) -> UploadRun | None:
        """See ``Host``."""
        if self._stopped:
            return None
        most, running = self._uploader.most_active, [e for e in self if e.run is not None]
        if len(running) >= max(1, most // 2) or self._uploader.is_full:
            self._park_one(running)
            return None
        run = UploadRun(
            self._uploader,
            upload.taken,
            upload.record,
            lambda: upload.state is State.ABORTED,
            upload.run_ended,
        )
        if upload in self._watched:
            self._watched[upload].progress = run.status
        return run

    def run_over(self) -> None:
        """See ``Host``."""
        if not self._stopped:
            for each in self:
                if each.state is State.CLOSING and each.run is None and not each.error:
                    each.begin()

    def over(self, upload: OpenUpload) -> None:
        """See ``Host``."""
        self._uses.pop(upload, None)
        if upload.state is State.ABORTED:
            self._uploads.pop(upload.handle, None)
            self._forget_elsewhere(upload)
        task = self._watched.pop(upload, None)
        if task is not None:
            task.progress = upload.status
            if upload.state is State.ABORTED:
                task.cancel()
            cap, error = upload.cap, upload.error
            task.end(
                None if cap is None else str(cap), None if error is None else str(error)
            )

    def _forget_elsewhere(self, upload: OpenUpload) -> None:
        """Free what a helper holds. A run does so itself; a known key finds it again."""
        record = upload.record
        if upload.left_at_rest and isinstance(record.choice, RandomKey):
            _by_itself(self._uploader.forget(record.options))

    def _begin_task(self, upload: OpenUpload, wanted: str | None) -> str:
        """Let *upload* be watched, and return by which id."""
        gate = upload.gate
        hooks = Hooks(lambda: _by_itself(self.abort(upload)), gate.shut, gate.open)
        task = self._tasks.begin("upload", upload.status, hooks, wanted)
        self._watched[upload] = task
        return task.id

    def _park_one(self, running: Sequence[OpenUpload]) -> None:
        """End the run of whoever waits for a client for the longest time."""
        due = self._clock.seconds() - _LEAST_RUN
        idle = [each for each in running if _idles(each) and each.touched < due]
        if idle:
            _by_itself(min(idle, key=lambda each: each.touched).park())

    def _new(self, record: UploadRecord, last_use: LastUse) -> OpenUpload:
        path = self._files.log(record)
        return OpenUpload(
            KeptRecord(record, self._files),
            UploadLog(path, record.log_key, self._boot, self._disk, self._now),
            self._disk,
            self._clock,
            self,
            last_use,
            self.limits.guard,
        )

    # Time

    def _watch(self) -> None:
        """Look again when the next one may be due."""
        if not self._sweep.running and self._uploads and not self._stopped:
            limits = self.limits
            soon = max(1.0, min(self.time_left(each) for each in self))
            # Others may be opened or end meanwhile.
            wait = min(soon, limits.keep, limits.expire_after, limits.park_after)
            self._sweep.start(self._clock.callLater, wait, self._look)

    def _look(self) -> None:
        now = self._clock.seconds()
        for each in self:
            if self.time_left(each) <= 0:
                if not each.ended:
                    log.info("An open upload expired")
                self._forget(each)
            elif _idles(each) and each.touched + self.limits.park_after <= now:
                _by_itself(each.park())
        ended = sorted(
            (each for each in self if each.ended), key=lambda upload: upload.touched
        )
        for each in ended[: max(0, len(ended) - self.limits.kept)]:
            self._forget(each)
        self._watch()

    def _forget(self, upload: OpenUpload) -> None:
        self._uploads.pop(upload.handle, None)
        stored = upload.state is State.STORED
        _by_itself(upload.forget() if stored else upload.abort())


def _least(uploads: Sequence[OpenUpload], now: float) -> OpenUpload | None:
    """Return the one of *uploads* that is missed least, None if none may go."""
    places = Counter(each.client for each in uploads)
    rest = [
        each
        for each in uploads
        if each.state is State.OPEN
        and not each.fed
        and each.offset <= _LITTLE
        and (not each.offset or each.touched + _LEAST_REST <= now)
    ]
    return min(
        rest,
        key=lambda each: (-places[each.client], each.offset > 0, each.touched),
        default=None,
    )


def _idles(upload: OpenUpload) -> bool:
    """Tell whether *upload* holds memory and servers for a client that is not there."""
    return upload.run is not None and upload.state is State.OPEN and not upload.fed
