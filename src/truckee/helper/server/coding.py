"""
The shares of one upload, made while its ciphertext comes.

An attempt that fails can be made again from the first byte, which is in the file; where
the size is not known, and servers must be told, there is none before all bytes are here.
"""

from __future__ import annotations

from typing import Protocol

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from truckee.codec.ueb import parse_ueb
from truckee.errors import Misuse
from truckee.flow.changes import Changes
from truckee.helper.errors import ContentDiffers, UploadOver
from truckee.helper.server.ciphertext_file import CiphertextFile
from truckee.helper.server.stored import Stored
from truckee.helper.wire import Parameters
from truckee.immutable.upload.sinks import ICiphertextSinks, NewFile
from truckee.immutable.upload.status import UploadStatus

log = Logger()


@define
class TooLongToStream(Misuse):
    """A file of unknown size has more than {most} bytes, so it is stored in the end."""

    most: int


class Source(Protocol):
    """The upload that shares are made of."""

    storage_index: bytes
    parameters: Parameters
    size: int | None  # bytes; None: not known yet
    root: bytes | None  # of the hash tree over its ciphertext, as a client says; 32 bytes
    file: CiphertextFile

    @property
    def judged(self) -> bool:
        """Whether a client said what the file is, or none is left to say it."""


@define(eq=False)
class Coding:
    """
    Attempts to make the shares of one file, one at a time.

    Whoever changes what the source has, or is, wakes ``changes``.
    """

    _sinks: ICiphertextSinks
    _open_ended: int  # bytes that servers have room for while the size is not known
    changes: Changes = field(factory=Changes, init=False, repr=False)
    stored: int = field(default=0, init=False)  # bytes that this attempt gave the grid
    closing: bool = field(default=False, init=False)  # it gave all, and ends
    result: Stored | None = field(default=None, init=False)
    failure: Exception | None = field(default=None, init=False)  # of the last attempt
    began_whole: bool = field(default=False, init=False)  # and it had all bytes
    _streamed: bool = field(default=False, init=False)  # one began without a size
    _attempt: Deferred[None] | None = field(default=None, init=False)
    _ueb: bytes = field(default=b"", init=False, repr=False)

    @property
    def under_way(self) -> bool:
        """Whether an attempt is."""
        return self._attempt is not None

    def begin(self, source: Source) -> Deferred[None] | None:
        """
        Begin an attempt, and return its end, which is no error; None: it cannot be now.

        ``changes`` is to be woken after that.
        """
        held, size = source.file.size, source.size
        if size is None:
            if self._streamed or self._sinks.needs_known_size:
                return None
            self._streamed = True
        elif held > size:
            return None  # more than there is of the file is the start of another one
        self.failure = None
        self.began_whole = held == size
        self.stored = 0
        attempt = self._attempt = Deferred.fromCoroutine(self._code(source))
        return attempt.addBoth(self._ended)

    def cancel(self) -> None:
        """End the attempt that is under way, if one is."""
        if self._attempt is not None:
            self._attempt.cancel()

    async def ended(self) -> None:
        """Wait for the end of the attempt that is under way, if one is."""
        await self.changes.until(lambda: self._attempt is None)

    async def _code(self, source: Source) -> None:
        size = source.size
        if size is None:
            # A file that ends within its first segment has a smaller one.
            await self._next(source, source.parameters.encoding.streaming_segment_size)
            size = source.size
        status = UploadStatus()
        most = self._open_ended if size is None else size
        file = NewFile(
            source.storage_index,
            size,
            most,
            resumable=True,
            approve=lambda ueb: self._approve(source, ueb),
            status=status,
        )
        sink = await self._sinks.open(file)
        try:
            while length := await self._next(source, sink.chunk_size):
                if self.stored + length > most:
                    raise TooLongToStream(most)
                await sink.write(await source.file.read(self.stored, length))
                self.stored += length
                self.changes.wake()
            self.closing = True
            await sink.close()
        except Exception:
            await sink.abort()
            raise
        self.result = Stored(self._ueb, status.shares, status.found, status.seeds)

    async def _next(self, source: Source, most: int) -> int:
        """Wait for *most* bytes to code, or as many as there will be; 0: no more."""

        def length() -> int:
            return most if source.size is None else min(most, source.size - self.stored)

        await self.changes.until(lambda: source.file.size >= self.stored + length())
        return length()

    async def _approve(self, source: Source, ueb: bytes) -> None:
        """Wait until it is known what the file must be, or that nobody will say it."""
        await self.changes.until(lambda: source.judged)
        self._ueb = ueb
        if source.root not in (None, parse_ueb(ueb).crypttext_root_hash):
            raise ContentDiffers

    def _ended(self, outcome: object) -> None:
        self._attempt = None
        self.closing = False
        error = getattr(outcome, "value", None)
        if isinstance(error, CancelledError):
            self.failure = UploadOver()
        elif isinstance(error, Exception):
            self.failure = error
            log.warn("An upload was not stored: {error}", error=str(error))
