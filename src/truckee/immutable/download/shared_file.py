"""
The ciphertext of one file, for all who read it.

It is in the cache, or comes from the servers and goes there.  What was learnt of the file
is kept between reads.  The key is with the readers.
"""

from __future__ import annotations

from functools import partial

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from truckee.codec.cached import UEB
from truckee.codec.caps import ChkVerifyCap
from truckee.codec.decoder import FileProof
from truckee.codec.geometry import Geometry
from truckee.codec.guess import Guess
from truckee.flow.cpu import Workers
from truckee.flow.descriptors import TooManyOpenFiles
from truckee.flow.shared import Shared
from truckee.flow.together import together
from truckee.immutable.download.cache import Cache
from truckee.immutable.download.fetch import TINY, Fetcher
from truckee.immutable.download.sources import Find, Located, NotEnoughShares


@define(eq=False)
class SharedFile:
    """One file; several readers at once fetch each segment once."""

    cap: ChkVerifyCap
    _find: Find
    _cache: Cache
    _cpu: Workers
    _clock: IReactorTime
    _guess: Guess
    used: float = field(default=0.0, init=False)  # when it was last asked, in seconds
    _file: FileProof | None = field(default=None, init=False)
    _located: Located | None = field(default=None, init=False)
    _fetcher: Fetcher | None = field(default=None, init=False)
    _learning: Shared[str, FileProof] = field(factory=Shared, init=False, repr=False)
    _locating: Shared[str, Fetcher] = field(factory=Shared, init=False, repr=False)
    _segments: Shared[int, bytes] = field(factory=Shared, init=False, repr=False)
    _fetches: Shared[range, list[bytes]] = field(factory=Shared, init=False, repr=False)

    async def geometry(self, start: int = 0) -> Geometry:
        """
        Return how the file is cut, to one who wants the byte at *start* next.

        :raises NotEnoughShares: when nobody can tell.
        """
        self.used = self._clock.seconds()
        if self._file is None:
            self._file = await self._learning.run("", lambda: self._learn(start))
        return self._file.geometry

    async def segments(self, numbers: range) -> list[bytes]:
        """
        Return the ciphertext of adjacent segments, verified.

        There are at most ``fetch.MOST_AT_ONCE``, of tiny ones ``fetch.MOST_TINY_AT_ONCE``.

        :raises NotEnoughShares: when too few shares are good for one of them.
        """
        self.used = self._clock.seconds()
        if self._file is not None and self._file.geometry.segment_size < TINY:
            # Each would be a file in the cache, for less than its name.
            return list(await self._fetches.run(numbers, lambda: self._fetch(numbers)))
        return await together(
            self._segments.run(number, partial(self._segment, number, run))
            for run in self._runs(numbers)
            for number in run
        )

    def _runs(self, numbers: range) -> list[range]:
        """Cut *numbers* into what is to be fetched at once, and what is at hand."""
        runs: list[range] = []
        fetched = False
        for number in numbers:
            new = not (number in self._segments or self._cache.has(self.cap, number))
            if new and fetched:
                runs[-1] = range(runs[-1].start, number + 1)
            else:
                runs.append(range(number, number + 1))
            fetched = new
        return runs

    def settle(self) -> None:
        """Forget what was read for one who did not come to take it."""
        if self._fetcher is not None:
            self._fetcher.settle()

    @property
    def held(self) -> int:
        """The bytes of its hash trees in memory."""
        return 0 if self._fetcher is None else self._fetcher.held

    @property
    def is_near(self) -> bool:
        """Whether a segment usually comes within a moment."""
        return self._fetcher is not None and self._fetcher.is_near

    async def _segment(self, number: int, run: range) -> bytes:
        """Return one segment, which is fetched with the others of *run* if it must be."""
        cached = await self._cache.get(self.cap, number)
        if cached is not None:
            return cached
        found = await self._fetches.run(run, lambda: self._fetch(run))
        ciphertext = found[number - run.start]
        self._cache.put(self.cap, number, ciphertext)
        return ciphertext

    async def _fetch(self, numbers: range) -> list[bytes]:
        fetcher = self._fetcher or await self._locate()
        try:
            return await fetcher.segments(numbers)
        except (NotEnoughShares, TooManyOpenFiles):
            # Servers may have come back, or others have the shares now.
            self._give_up(fetcher)
            fetcher = self._fetcher or await self._locate()
        try:
            return await fetcher.segments(numbers)
        except (NotEnoughShares, TooManyOpenFiles):
            # Shares may be mended before the next one asks, who shall not be told of old.
            self._give_up(fetcher)
            self._located = None
            raise

    def _give_up(self, fetcher: Fetcher) -> None:
        if self._fetcher is fetcher:
            self._fetcher = None

    async def _learn(self, start: int) -> FileProof:
        ueb = await self._cache.get(self.cap, UEB)
        if ueb is not None:
            try:
                return FileProof.check(self.cap, ueb)
            except ValueError:
                pass  # a reader of another version may have understood it
        fetcher = await self._locate()
        await fetcher.geometry(start)
        self._cache.put(self.cap, UEB, fetcher.file.ueb)
        return fetcher.file

    async def _locate(self) -> Fetcher:
        """Return a fetcher that knows where the shares are now."""
        return await self._locating.run("", self._search)

    async def _search(self) -> Fetcher:
        located = await Located.search(self.cap, self._find, self._located)
        located.file = located.file or self._file
        self._located = located
        self._fetcher = Fetcher(self.cap, located, self._cpu, self._clock, self._guess)
        return self._fetcher
