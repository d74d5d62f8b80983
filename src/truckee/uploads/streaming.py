"""An upload of which nothing is stored here: its bytes go on as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from truckee.flow.changes import Changes
from truckee.flow.cpu import Workers
from truckee.immutable.upload.options import UploadOptions
from truckee.immutable.upload.status import UploadStatus
from truckee.immutable.upload.uploader import Cap, Uploader
from truckee.uploads.errors import (
    AlreadyStored,
    NotTheEnd,
    PastTheEnd,
    UploadAborted,
    WrongOffset,
)
from truckee.uploads.interfaces import Digest, IUpload


@define(eq=False)
class _Chunks:
    """The chunks of one ``append`` after the other, as one iterator."""

    offset: int = field(default=0, init=False)  # bytes that were given
    _source: AsyncIterator[bytes] | None = field(default=None, init=False, repr=False)
    _appending: Deferred[None] | None = field(default=None, init=False, repr=False)
    _changes: Changes = field(factory=Changes, init=False, repr=False)
    _ended: bool = field(default=False, init=False)
    _stopped: bool = field(default=False, init=False)

    def append(self, chunks: AsyncIterator[bytes]) -> Deferred[None]:
        """Give *chunks* next; fires when all of them were asked for."""
        appending: Deferred[None] = Deferred()
        self._source, self._appending = chunks, appending
        self._changes.wake()
        return appending

    def end(self) -> None:
        """Give no more."""
        self._ended = True
        self._changes.wake()

    def stop(self) -> None:
        """Cancel whoever asks next; it may be running now, and then nothing cancels it."""
        self._stopped = True

    def fail(self, reason: Failure) -> None:
        """Nobody will ask for more, for *reason*."""
        self._source = None
        appending, self._appending = self._appending, None
        if appending is not None and not appending.called:
            appending.errback(reason)

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        while True:
            if self._stopped:
                raise CancelledError
            if self._source is not None:
                try:
                    chunk = await self._source.__anext__()
                except StopAsyncIteration:
                    self._source = None
                    appending, self._appending = self._appending, None
                    if appending is not None and not appending.called:
                        appending.callback(None)
                else:
                    self.offset += len(chunk)
                    return chunk
            elif self._ended:
                raise StopAsyncIteration
            else:
                await self._changes.once()


@implementer(IUpload)
@define(eq=False)
class StreamingUpload:
    """
    An upload of one client that brings the file once; it is over when anything fails.

    *client* is its address, which has its share of the memory; *asks_first* says that it
    sends nothing before there is room for the file on servers.
    """

    _uploader: Uploader
    _options: UploadOptions
    status: UploadStatus = field(factory=UploadStatus)
    _client: str = ""
    _asks_first: bool = False
    _chunks: _Chunks = field(factory=_Chunks, init=False)
    _work: Deferred[Cap] | None = field(default=None, init=False, repr=False)
    _closed: bool = field(default=False, init=False)
    _cap: Cap | None = field(default=None, init=False, repr=False)
    _error: Failure | None = field(default=None, init=False, repr=False)
    _changes: Changes = field(factory=Changes, init=False, repr=False)

    @property
    def offset(self) -> int:
        """How many bytes were received."""
        return self._chunks.offset

    async def append(
        self, offset: int | None, chunks: AsyncIterator[bytes], digest: Digest | None = None
    ) -> int:
        """See ``IUpload``.  When this fails or is cancelled, the upload is over."""
        self._check()
        if self._closed:
            raise PastTheEnd(self.offset)
        if offset not in (None, self.offset):
            raise WrongOffset(offset or 0, self.offset)
        self._begin()
        try:
            if digest is None:
                await self._chunks.append(chunks)
            else:
                await self._chunks.append(_watched(chunks, digest, self._uploader.cpu))
                digest.check()
        except Exception:
            await self.abort()
            raise
        return self.offset

    async def close(self, size: int | None = None) -> Cap:
        """See ``IUpload``.  When this is cancelled, the upload is over."""
        self._check()
        if size not in (None, self.offset):
            raise NotTheEnd(size or 0, self.offset)
        self._closed = True
        self._begin()
        self._chunks.end()
        try:
            await self._over()
        except Exception:
            await self.abort()
            raise
        self._check()
        assert self._cap is not None
        return self._cap

    async def abort(self) -> None:
        """See ``IUpload``."""
        if self._cap is not None:
            raise AlreadyStored
        if self._work is None:
            self._error = self._error or Failure(UploadAborted())  # type: ignore[no-untyped-call]
        elif self._error is None:
            self._chunks.stop()
            self._work.cancel()
            await self._over()

    async def store(self, chunks: AsyncIterator[bytes]) -> Cap:
        """Return the cap of a file that is all of *chunks*."""
        await self.append(0, chunks)
        return await self.close()

    def _begin(self) -> None:
        if self._work is not None:
            return
        self._work = Deferred.fromCoroutine(
            self._uploader.upload(
                self._chunks,
                self._options,
                self.status,
                client=self._client,
                asks_first=self._asks_first,
            )
        )
        self._work.addBoth(self._ended)

    def _ended(self, outcome: Cap | Failure) -> None:
        if isinstance(outcome, Failure):
            self._error = outcome
            self._chunks.fail(outcome)
        else:
            self._cap = outcome
        self._changes.wake()

    async def _over(self) -> None:
        """Return when the work has ended."""
        await self._changes.until(lambda: self._cap is not None or self._error is not None)

    def _check(self) -> None:
        """:raises TruckeeError: what ended the upload, unless that is its good end."""
        if self._error is not None:
            error = self._error.value
            # Who was cancelled is gone; whoever asks later is told something else.
            if error is None or isinstance(error, CancelledError):
                raise UploadAborted
            raise error.with_traceback(None)


async def _watched(
    chunks: AsyncIterator[bytes], digest: Digest, cpu: Workers
) -> AsyncIterator[bytes]:
    """Give *chunks*, and show each to *digest* before."""
    async for chunk in chunks:
        await cpu.run(digest.update, chunk)
        yield chunk
