"""The bytes of an open upload, on their way from its log to whoever stores them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from attrs import define, field

from truckee.codec.hashes import Buffer
from truckee.flow.changes import Changes
from truckee.uploads.append_log import UploadLog

# Bytes that are read at once: they are on their way when whoever added them is told.
_PIECE = 128 * 1024


@define(eq=False)
class Replay:
    """
    All bytes of a log from its first on, then those that are added, as an iterator.

    It is one run's; the next one has its own.
    """

    _log: UploadLog
    _ended: bool = False  # whether nothing more will be added
    position: int = field(default=0, init=False)  # bytes that were given
    _additions: Changes = field(factory=Changes, init=False, repr=False)
    _reads: Changes = field(factory=Changes, init=False, repr=False)
    stopped: bool = field(default=False, init=False)

    @property
    def behind(self) -> int:
        """Bytes that are in the log and were not given yet."""
        return self._log.size - self.position

    # From those who add

    def added(self) -> None:
        """There is more in the log."""
        self._additions.wake()

    def end(self) -> None:
        """Nothing more will be added."""
        self._ended = True
        self._additions.wake()

    async def keep_up(self, behind: int) -> None:
        """Return when the consumer is at most *behind* bytes behind, or has stopped."""
        await self._reads.until(lambda: self.behind <= behind or self.stopped)

    # From the consumer

    def stop(self) -> None:
        """The consumer takes no more."""
        self.stopped = True
        self._reads.wake()

    def __aiter__(self) -> Replay:
        return self

    async def __anext__(self) -> bytes:
        await self._additions.until(lambda: self.behind or self._ended)
        if not self.behind:
            raise StopAsyncIteration
        data = await self._log.read(self.position, _PIECE)
        self.position += len(data)
        self._reads.wake()
        return data


@define(eq=False)
class Kept:
    """A log, as the spool of an upload whose bytes are all in it already."""

    _log: UploadLog
    given_up: Callable[[], bool]  # whether nobody will bring the rest

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return self._log.size

    async def append(self, data: Buffer) -> None:
        """It is there."""

    def read(self, piece: int) -> AsyncIterator[bytes]:
        """Give all bytes, *piece* at a time."""
        return self._log.read_all(piece)

    def close(self) -> None:
        """Whoever has the log closes it."""
