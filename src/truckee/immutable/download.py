"""
From a cap to plaintext, any range of it, in order.

A reader that goes on gets the next segments fetched while it is busy with this one; it
holds a bounded number of them, however slow it is.
"""

from __future__ import annotations

from collections import deque

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from truckee.codec.caps import ChkReadCap
from truckee.codec.cipher import crypt
from truckee.flow.cpu import Workers
from truckee.immutable.fetch import Fetcher
from truckee.immutable.locate import Find, Located

# Segments fetched ahead of the one that is being read.
AHEAD = 2


@define(eq=False)
class Downloader:
    """Reads files from the grid that *find* asks."""

    _find: Find
    _cpu: Workers
    _clock: IReactorTime

    async def open(self, cap: ChkReadCap) -> OpenFile:
        """
        Return the file, once enough of its shares are found and one is proved.

        :raises NotEnoughShares: when the file cannot be read now.
        """
        verify_cap = cap.verify_cap()
        located = await Located.search(verify_cap, self._find)
        fetcher = Fetcher(verify_cap, located, self._cpu, self._clock)
        segment_size = (await fetcher.geometry()).segment_size
        return OpenFile(cap.key, fetcher, segment_size, self._cpu)


@define(eq=False)
class OpenFile:
    """One file whose shares are known; nothing has to be closed."""

    _key: bytes = field(repr=False)
    _fetcher: Fetcher
    segment_size: int
    _cpu: Workers
    # Where the range read last ended; the next one often begins there.
    _kept: tuple[int, bytes] | None = field(default=None, init=False, repr=False)

    def read(self, start: int, end: int) -> Download:
        """Return the bytes from *start* up to, not including, *end*."""
        return Download(self, start, end)

    async def segment(self, number: int) -> bytes:
        """
        Return the plaintext of one segment.

        :raises NotEnoughShares: when too few shares are good for it.
        """
        if self._kept is not None and self._kept[0] == number:
            return self._kept[1]
        ciphertext = await self._fetcher.segment(number)
        offset = number * self.segment_size
        return await self._cpu.run(crypt, self._key, offset, ciphertext)

    def keep(self, number: int, plaintext: bytes) -> None:
        """Remember one segment for the next range, in place of the one before."""
        self._kept = (number, plaintext)


@define(eq=False)
class Download:
    """Plaintext as an asynchronous iterator of whole or partial segments; ``stop`` it."""

    _file: OpenFile
    _position: int  # bytes into the file, of the next byte to give
    _end: int
    _ahead: deque[Deferred[bytes]] = field(factory=deque, init=False, repr=False)
    _asked: int = field(init=False)  # the next segment to ask for

    def __attrs_post_init__(self) -> None:
        self._asked = self._position // self._file.segment_size

    def __aiter__(self) -> Download:
        return self

    async def __anext__(self) -> bytes:
        if self._position >= self._end:
            raise StopAsyncIteration
        size = self._file.segment_size
        while len(self._ahead) <= AHEAD and self._asked * size < self._end:
            self._ahead.append(Deferred.fromCoroutine(self._file.segment(self._asked)))
            self._asked += 1
        number = self._position // size
        plaintext = await self._ahead[0]
        self._ahead.popleft()
        piece = plaintext[self._position - number * size : self._end - number * size]
        self._position += len(piece)
        if self._position >= self._end:
            self._file.keep(number, plaintext)
        return piece

    def stop(self) -> None:
        """Fetch no more."""
        ahead, self._ahead = self._ahead, deque()
        # The last first: those before it hold what it waits for.
        for segment in reversed(ahead):
            segment.addErrback(lambda _: b"")
            segment.cancel()
