"""All uploads that are open, by their handles."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from truckee.errors import Misuse, Unavailable
from truckee.immutable.keys import GivenKey, KeyChoice
from truckee.immutable.open_upload import AlreadyStored, OpenUpload, State
from truckee.immutable.upload import Uploader

log = Logger()

HANDLE_SIZE = 18  # bytes, 24 characters


@define
class UnknownHandle(Misuse):
    """
    No upload has this handle (any more): it was aborted, or it expired, or the gateway was
    restarted. Open a new one with: POST /upload/open
    """


@define
class TooManyOpen(Unavailable):
    """
    {count} uploads are open, and no more can be. Close or abort one, or try again later.
    """

    count: int


@frozen
class OpenLimits:
    """How many uploads stay open, and how long."""

    open: int = 100
    expire_after: float = 86400.0  # seconds since the last byte
    # So that an answer that was lost on its way can be fetched again.
    keep: float = 3600.0  # seconds since the end
    kept: int = 1000  # that have ended; the oldest goes


@define(eq=False)
class OpenUploads:
    """
    Opens uploads, finds them, and gives up those that nobody goes on with.

    One that has begun takes as much memory as any upload that waits for its client, for as
    long as it is open.  So all of them together may have half of what there is: the other
    half is for those who bring a file in one piece.  One without bytes takes none.
    """

    _uploader: Uploader
    _clock: IReactorTime
    _random: Callable[[int], bytes]
    limits: OpenLimits = field(factory=OpenLimits)
    _uploads: dict[str, OpenUpload] = field(factory=dict, init=False, repr=False)
    _sweep: IDelayedCall | None = field(default=None, init=False)
    _stopped: bool = field(default=False, init=False)

    def __len__(self) -> int:
        return len(self._uploads)

    def __iter__(self) -> Iterator[OpenUpload]:
        return iter(list(self._uploads.values()))

    async def open(
        self,
        choice: KeyChoice,
        size: int | None = None,
        bound: int | None = None,
        direct: bool = False,
    ) -> OpenUpload:
        """
        Return a new upload; the arguments are those of ``Uploader.upload``.

        Whoever knows a key and opens an upload under it has lost the handle of an older one
        that is open under that key: it is aborted, as it would be in the way.

        :raises TooManyOpen:
        """
        self._uploader.check_size(size)
        if isinstance(choice, GivenKey):
            for each in self:
                if each.choice == choice and each.state is State.OPEN:
                    await self.abort(each)
        count = sum(not each.ended for each in self)
        if count >= self.limits.open or self._stopped:
            raise TooManyOpen(count)
        handle = urlsafe_b64encode(self._random(HANDLE_SIZE)).decode("ascii")
        upload = OpenUpload(
            handle, choice, size, bound, direct, self._uploader, self._clock, self._admit
        )
        self._uploads[handle] = upload
        self._watch()
        return upload

    def find(self, handle: str) -> OpenUpload:
        """Return the upload of *handle*.  :raises UnknownHandle:"""
        upload = self._uploads.get(handle)
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
        if upload.state is State.CLOSING:
            return self.limits.expire_after
        life = self.limits.keep if upload.ended else self.limits.expire_after
        return upload.touched + life - self._clock.seconds()

    def stop(self) -> None:
        """Abort all that are open; when no more are active, nothing is left of them."""
        self._stopped = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for each in self:
            self._give_up(each)

    def _admit(self) -> None:
        """:raises TooManyOpen: if those that have begun have their half of the memory."""
        count = sum(each.runs for each in self)
        if count >= max(1, self._uploader.most_active // 2):
            raise TooManyOpen(count)

    def _watch(self) -> None:
        """Look again when the next one may be due."""
        if self._sweep is None and self._uploads and not self._stopped:
            soon = max(1.0, min(self.time_left(each) for each in self))
            # Others may be opened or end meanwhile.
            wait = min(soon, self.limits.keep, self.limits.expire_after)
            self._sweep = self._clock.callLater(wait, self._look)

    def _look(self) -> None:
        self._sweep = None
        for each in self:
            if self.time_left(each) <= 0:
                del self._uploads[each.handle]
                if not each.ended:
                    log.info("An open upload expired")
                self._give_up(each)
        ended = sorted(
            (each for each in self if each.ended), key=lambda upload: upload.touched
        )
        for each in ended[: max(0, len(ended) - self.limits.kept)]:
            del self._uploads[each.handle]
        self._watch()

    def _give_up(self, upload: OpenUpload) -> None:
        async def give_up() -> None:
            with suppress(AlreadyStored):
                await upload.abort()

        if not upload.ended:
            Deferred.fromCoroutine(give_up())
