"""
From a cap to plaintext, any range of it, in order.

A reader that goes on gets the next segments fetched while it is busy with this one: the
further it went, the more of them.  One that reads here and there gets none that it did not
ask for.  All readers together hold no more than one budget.
"""

from __future__ import annotations

from collections import deque

from attrs import define, field
from twisted.internet.defer import Deferred

from truckee.codec.caps import ChkReadCap
from truckee.codec.cipher import crypt
from truckee.codec.geometry import Geometry
from truckee.flow.cpu import Workers
from truckee.immutable.holdings import Holdings
from truckee.immutable.open_files import OpenFiles
from truckee.immutable.shared_file import SharedFile

# What is handed out at once when there are many readers: little enough for each of their
# clients to have it in the buffer of its connection.  A few get whole segments, which costs
# less.
PIECE = 256 << 10  # bytes

# Segments fetched ahead of the one that is being read.
MOST_AHEAD = 4
# One who asks for all from some byte on may stop at any moment, as players do: it has one
# segment fetched ahead for so many that it took.
_TAKEN_FOR_ONE_AHEAD = 4


@define(eq=False)
class Downloader:
    """Reads files."""

    _files: OpenFiles
    _cpu: Workers
    _holdings: Holdings

    async def open(self, cap: ChkReadCap, start: int = 0) -> OpenFile:
        """
        Return the file, once it is known how it is cut; the byte at *start* is read next.

        :raises NotEnoughShares: when the file cannot be read now.
        """
        shared = self._files.get(cap.verify_cap())
        try:
            geometry = await shared.geometry(start)
        except Exception:
            shared.settle()
            raise
        return OpenFile(cap.key, shared, geometry, self._cpu, self._holdings)


@define(eq=False)
class OpenFile:
    """One file for one reader, who has the key; nothing has to be closed."""

    _key: bytes = field(repr=False)
    _shared: SharedFile
    geometry: Geometry
    _cpu: Workers
    holdings: Holdings

    def read(self, start: int = 0, end: int = 0) -> Download:
        """Return the bytes from *start* up to, not including, *end*."""
        return Download(self, start, end)

    def settle(self) -> None:
        """Forget what was read early and not taken."""
        self._shared.settle()

    async def segment(self, number: int) -> bytes:
        """
        Return the plaintext of one segment.

        :raises NotEnoughShares: when too few shares are good for it.
        """
        ciphertext = await self._shared.segment(number)
        offset = number * self.geometry.segment_size
        return await self._cpu.run(crypt, self._key, offset, ciphertext)


@define(eq=False)
class _Segment:
    """One segment that is fetched or held, and what of the budget it has."""

    number: int
    plaintext: Deferred[bytes]
    cost: int  # bytes


@define(eq=False)
class Download:
    """Plaintext as an asynchronous iterator of pieces; ``stop`` it."""

    _file: OpenFile
    _position: int  # bytes into the file, of the next byte to give
    _end: int
    _ahead: deque[_Segment] = field(factory=deque, init=False, repr=False)
    # The segment that is being given.
    _current: tuple[_Segment, bytes] | None = field(default=None, init=False, repr=False)
    _taken: int = field(default=0, init=False)  # segments, without a break
    _open_ended: bool = field(default=False, init=False)

    def __aiter__(self) -> Download:
        return self

    async def __anext__(self) -> bytes:
        holdings = self._file.holdings
        holdings.is_busy(self)
        if self._position >= self._end:
            raise StopAsyncIteration
        size = self._file.geometry.segment_size
        number, at = divmod(self._position, size)
        plaintext = await self._segment(number)
        end = size if holdings.is_roomy else at + PIECE
        piece = plaintext[at : min(end, self._end - number * size)]
        self._position += len(piece)
        if self._position % size == 0:
            self._drop_current()
        holdings.is_idle(self)
        return piece

    def go_on(self, start: int, end: int, *, open_ended: bool = False) -> None:
        """
        Give another range next; a segment that is at hand is not fetched again.

        One who did not say where it ends may want little of it.
        """
        self._position, self._end, self._taken = start, end, 0
        self._open_ended = open_ended

    def let_go(self) -> None:
        """Hold nothing, for as long as nothing is asked for."""
        self._taken = 0
        self._drop_current()
        self._drop_ahead()

    def stop(self) -> None:
        """Fetch no more."""
        self._file.holdings.is_busy(self)
        self.let_go()
        self._file.settle()

    async def _segment(self, number: int) -> bytes:
        """Return a segment, which is the current one from then on."""
        if self._current is not None:
            segment, plaintext = self._current
            if segment.number == number:
                return plaintext
            self._drop_current()
        if self._ahead and self._ahead[0].number != number:
            self._drop_ahead()
        if not self._ahead:
            await self._file.holdings.take(self._cost)
            self._ask(number)
        self._look_ahead(number)
        segment = self._ahead[0]
        plaintext = await segment.plaintext
        self._ahead.popleft()
        self._current = segment, plaintext
        self._taken += 1
        return plaintext

    def _look_ahead(self, number: int) -> None:
        """Ask for as many segments behind *number* as are worth it."""
        size = self._file.geometry.segment_size
        window = 1 + self._taken
        if self._open_ended and self._end - self._position > size:
            window = self._taken // _TAKEN_FOR_ONE_AHEAD
        last = min(number + min(window, MOST_AHEAD), (self._end - 1) // size)
        for each in range(self._ahead[-1].number + 1, last + 1):
            if not self._file.holdings.try_take(self._cost):
                break
            self._ask(each)

    @property
    def _cost(self) -> int:
        """What one segment takes: its blocks and what they make, or that and plaintext."""
        return 2 * self._file.geometry.segment_size

    def _ask(self, number: int) -> None:
        """Have a segment fetched, for which there is room."""
        segment = _Segment(number, Deferred(), self._cost)
        self._ahead.append(segment)

        async def fetch() -> bytes:
            plaintext = await self._file.segment(number)
            self._give(segment, segment.cost // 2)
            return plaintext

        segment.plaintext = Deferred.fromCoroutine(fetch())

    def _give(self, segment: _Segment, amount: int) -> None:
        segment.cost -= amount
        self._file.holdings.give(amount)

    def _drop_current(self) -> None:
        if self._current is not None:
            segment, _ = self._current
            self._current = None
            self._give(segment, segment.cost)

    def _drop_ahead(self) -> None:
        ahead, self._ahead = self._ahead, deque()
        # The last first: those before it hold what it waits for.
        for segment in reversed(ahead):
            segment.plaintext.addErrback(lambda _: b"")
            segment.plaintext.cancel()
            self._give(segment, segment.cost)
