"""The bytes of a file that is being written, on their way to whoever stores them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import CancelledError

from truckee.codec.hashes import Buffer
from truckee.flow.changes import Changes

# Bytes that are read at once.
_PIECE = 256 << 10


class Written(Protocol):
    """A file that is being written."""

    changes: Changes

    @property
    def size(self) -> int:
        """How many bytes it has now."""

    def leaving(self, position: int) -> int:
        """Return up to where the bytes from *position* on may leave now."""

    def is_whole(self) -> bool:
        """Tell whether nothing changes until all of it has left."""

    async def read(self, offset: int, length: int) -> bytes:
        """Return its bytes, fewer at the end."""


@define(eq=False)
class WrittenStream:
    """All bytes from the first on, each as soon as it may leave, as an iterator."""

    _file: Written
    taken: int = field(default=0, init=False)  # up to where bytes were asked for
    stopped: bool = field(default=False, init=False)

    def stop(self) -> None:
        """Give no more: whoever asks next is cancelled, and so is who asks now."""
        self.stopped = True
        self._file.changes.wake()

    def __aiter__(self) -> WrittenStream:
        return self

    async def __anext__(self) -> bytes:
        file, start = self._file, self.taken
        await file.changes.until(
            lambda: (
                self.stopped
                or file.leaving(start) > start
                or (file.is_whole() and start >= file.size)
            )
        )
        if self.stopped:
            raise CancelledError
        end = min(file.leaving(start), start + _PIECE)
        if end <= start:
            raise StopAsyncIteration
        # First: what is written below this from now on comes too late.
        self.taken = end
        data = await file.read(start, end - start)
        file.changes.wake()
        return data


@define(eq=False)
class WrittenBody:
    """A written file, as the spool of an upload whose bytes are all in it already."""

    _file: Written
    given_up: Callable[[], bool]  # whether nobody will bring the rest

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return self._file.size

    async def append(self, data: Buffer) -> None:
        """It is there."""

    async def read(self, piece: int) -> AsyncIterator[bytes]:
        """Give all bytes, *piece* at a time."""
        for offset in range(0, self._file.size, piece):
            yield await self._file.read(offset, piece)

    def close(self) -> None:
        """Whoever has the file closes it."""
