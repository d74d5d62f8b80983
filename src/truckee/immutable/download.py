"""
From a cap to plaintext, any range of it, in order.

A reader that goes on gets the next segments fetched while it is busy with this one; it
holds a bounded number of them, however slow it is.
"""

from __future__ import annotations

from collections import deque

from attrs import define, field
from twisted.internet.defer import Deferred

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

    async def open(self, cap: ChkReadCap, start: int, end: int) -> Download:
        """
        Return the bytes from *start* up to, not including, *end*; first comes the first.

        :raises NotEnoughShares: when the file cannot be read now.
        """
        verify_cap = cap.verify_cap()
        located = await Located.search(verify_cap, self._find)
        fetcher = Fetcher(verify_cap, located, self._cpu)
        segment_size = (await fetcher.geometry()).segment_size
        return Download(cap.key, fetcher, segment_size, start, end, self._cpu)


@define(eq=False)
class Download:
    """Plaintext as an asynchronous iterator of whole or partial segments; ``stop`` it."""

    _key: bytes = field(repr=False)
    _fetcher: Fetcher
    _segment_size: int
    _position: int  # bytes into the file, of the next byte to give
    _end: int
    _cpu: Workers
    _ahead: deque[Deferred[bytes]] = field(factory=deque, init=False, repr=False)
    _asked: int = field(init=False)  # the next segment to ask for

    def __attrs_post_init__(self) -> None:
        self._asked = self._position // self._segment_size

    def __aiter__(self) -> Download:
        return self

    async def __anext__(self) -> bytes:
        if self._position >= self._end:
            raise StopAsyncIteration
        while len(self._ahead) <= AHEAD and self._asked * self._segment_size < self._end:
            self._ahead.append(Deferred.fromCoroutine(self._plaintext(self._asked)))
            self._asked += 1
        start = self._position // self._segment_size * self._segment_size
        plaintext = await self._ahead[0]
        self._ahead.popleft()
        piece = plaintext[self._position - start : self._end - start]
        self._position += len(piece)
        return piece

    def stop(self) -> None:
        """Fetch no more."""
        ahead, self._ahead = self._ahead, deque()
        # The last first: those before it hold what it waits for.
        for segment in reversed(ahead):
            segment.addErrback(lambda _: b"")
            segment.cancel()

    async def _plaintext(self, segment: int) -> bytes:
        ciphertext = await self._fetcher.segment(segment)
        offset = segment * self._segment_size
        return await self._cpu.run(crypt, self._key, offset, ciphertext)
