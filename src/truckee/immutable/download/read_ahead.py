"""
Plaintext of any file in segments, in order, some of it fetched ahead of its reader.

A reader that goes on gets the next segments fetched while it is busy with this one: the
further it went, the more of them, and adjacent ones at once where that takes but a moment.
One that reads here and there gets none that it did not ask for.  All readers together hold
no more than one budget.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from operator import itemgetter
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from truckee.immutable.download.fetch import MOST_AT_ONCE, MOST_TINY_AT_ONCE, TINY
from truckee.immutable.download.memory_budget import Holdings

# What is handed out at once when there are many readers: each of them may leave it in the
# buffer of its connection for ever, and there are a thousand connections.  A few get whole
# segments, which costs less.
PIECE = 32 << 10  # bytes

# A segment that costs no more holds up nobody, and is served soon.
LITTLE = 64 << 10  # bytes

# Segments fetched ahead of the one that is being read, while they come one by one.
MOST_AHEAD = 4
# Adjacent segments that are fetched at once have so many bytes, at most.
MOST_OF_RUN = 4 << 20
# So long may they take: more are fetched at once, or fewer.
_MOMENT, _LONG = 0.2, 1.0  # seconds
# One who asks for all from some byte on may stop at any moment, as players do: it has one
# segment fetched ahead for so many that it took.
_TAKEN_FOR_ONE_AHEAD = 8


class SegmentedFile(Protocol):
    """A file for one reader, all segments of which have one size but the last."""

    @property
    def holdings(self) -> Holdings:
        """What all readers may hold."""

    @property
    def clock(self) -> IReactorTime:
        """The time."""

    @property
    def segment_size(self) -> int:
        """Bytes of plaintext; 0 in an empty file."""

    async def segments(self, numbers: range) -> list[bytes]:
        """Return the plaintext of adjacent segments, 16 at most, of tiny ones 64."""

    def leave(self, number: int, plaintext: bytes) -> None:
        """Of a segment a part was read, and its reader goes elsewhere."""

    def abandon(self, number: int, fetching: Deferred[bytes]) -> None:
        """The reader of a segment under way has gone: cancel it, or ``leave`` it later."""

    def settle(self) -> None:
        """Forget what was read early and not taken."""


@define(eq=False)
class _Run:
    """Adjacent segments that are fetched or held, and what of the budget they have."""

    numbers: range
    cost: int  # bytes
    asked: float  # when, in seconds
    plaintexts: Deferred[list[bytes]]


@define(eq=False)
class Download:
    """Plaintext as an asynchronous iterator of pieces; ``stop`` it."""

    _file: SegmentedFile
    _position: int  # bytes into the file, of the next byte to give
    _end: int
    _ahead: deque[_Run] = field(factory=deque, init=False, repr=False)
    # The run that is being given, and what was not given of it yet.
    _current: _Run | None = field(default=None, init=False, repr=False)
    _plaintexts: dict[int, bytes] = field(factory=dict, init=False, repr=False)
    # Bytes of the last piece, which the client may not have taken yet: of the current run,
    # and of what was dropped since.
    _piece: int = field(default=0, init=False)
    _given: int = field(default=0, init=False)
    _taken: int = field(default=0, init=False)  # segments, without a break
    _length: int = field(default=1, init=False)  # segments of the next run
    _open_ended: bool = field(default=False, init=False)

    def __aiter__(self) -> Download:
        return self

    async def __anext__(self) -> bytes:
        holdings = self._file.holdings
        holdings.is_busy(self)
        self._taken_over()
        if self._position >= self._end:
            raise StopAsyncIteration
        size = self._size
        number, at = divmod(self._position, size)
        plaintext = await self._segment(number)
        if size < TINY:
            return self._tiny_segments(number, at)
        end = size if holdings.is_roomy else at + PIECE
        piece = plaintext[at : min(end, self._end - number * size)]
        self._position += len(piece)
        self._piece = len(piece)
        if self._position % size == 0:
            self._drop(number)
        holdings.is_idle(self)
        return piece

    def _tiny_segments(self, number: int, at: int) -> bytes:
        """Return what is at hand from byte *at* of segment *number* on, as one piece."""
        size, numbers = self._size, []
        while number in self._plaintexts and number * size < self._end:
            numbers.append(number)
            number += 1
        piece = b"".join(self._plaintexts[each] for each in numbers)
        piece = piece[at : at + self._end - self._position]
        self._position += len(piece)
        for each in numbers:
            if (each + 1) * size <= self._position:
                self._drop(each)
        self._file.holdings.is_idle(self)
        return piece

    async def rest(self) -> bytes:
        """Return all that was not given yet, of what fits in memory; then stop."""
        try:
            return b"".join([piece async for piece in self])
        finally:
            self.stop()

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
        self._taken_over()
        self._leave_current()
        self._abandon_ahead()
        self.let_go()
        self._file.settle()

    def _taken_over(self) -> None:
        """What was given is no memory of ours any more."""
        given, self._given, self._piece = self._given, 0, 0
        if given:
            self._file.holdings.budget.release(given)

    async def _segment(self, number: int) -> bytes:
        """Return a segment, whose run is the current one from then on."""
        if number not in self._plaintexts:
            await self._next_run(number)
        elif self._position % self._size == 0:
            self._look_ahead(number)
        return self._plaintexts[number]

    async def _next_run(self, number: int) -> None:
        """Make the run with segment *number* the current one."""
        self._leave_current()
        if self._ahead and number not in self._ahead[0].numbers:
            self._drop_ahead()
        if not self._ahead:
            soon = self._taken > 0 or self._cost <= LITTLE
            await self._file.holdings.take(self._cost, soon)
            self._ask(range(number, number + 1))
        self._look_ahead(number)
        run = self._ahead[0]
        plaintexts = await _shielded(run.plaintexts)
        self._ahead.popleft()
        self._current = run
        self._plaintexts = dict(zip(run.numbers, plaintexts, strict=True))
        plaintexts.clear()  # the run would keep what was given of it

    def _look_ahead(self, number: int) -> None:
        """Ask for as many segments behind *number* as are worth it."""
        window = 1 + self._taken
        if self._open_ended and self._end - self._position > self._size:
            window = self._taken // _TAKEN_FOR_ONE_AHEAD
        holdings = self._file.holdings
        length = min(self._length, max(1, window // 2)) if holdings.is_roomy else 1
        end = (self._end - 1) // self._size + 1
        most = min(number + 1 + min(window, max(MOST_AHEAD, 3 * length)), end)
        begun = self._ahead[-1] if self._ahead else self._current
        start = number + 1 if begun is None else begun.numbers.stop
        # A run that would be short waits until it is not.
        while start < most and (start + length <= most or most == end):
            run = range(start, min(start + length, most))
            if not holdings.try_take(self._cost * len(run)):
                break
            self._ask(run)
            start = run.stop

    @property
    def _size(self) -> int:
        return self._file.segment_size

    @property
    def _cost(self) -> int:
        """What one segment takes: its blocks and what they make, or that and plaintext."""
        return 2 * self._size

    def _ask(self, numbers: range) -> None:
        """Have segments fetched, for which there is room."""
        run = _Run(
            numbers, self._cost * len(numbers), self._file.clock.seconds(), Deferred()
        )
        self._ahead.append(run)

        async def fetch() -> list[bytes]:
            plaintexts = await self._file.segments(numbers)
            self._give(run, run.cost // 2)
            self._learn(self._file.clock.seconds() - run.asked)
            return plaintexts

        run.plaintexts = Deferred.fromCoroutine(fetch())

    def _learn(self, seconds: float) -> None:
        """A run took so long: let the next ones be longer or shorter."""
        if seconds > _LONG:
            self._length = max(1, self._length // 2)
        elif seconds < _MOMENT:
            at_once = MOST_TINY_AT_ONCE if self._size < TINY else MOST_AT_ONCE
            most = min(at_once, max(1, round(MOST_OF_RUN / self._size)))
            self._length = min(2 * self._length, most)

    def _give(self, run: _Run, amount: int) -> None:
        run.cost -= amount
        self._file.holdings.give(amount)

    def _give_all(self, run: _Run, _: object) -> None:
        self._give(run, run.cost)

    def _drop(self, number: int) -> None:
        """All of one segment was given."""
        if self._open_ended and self._taken < _TAKEN_FOR_ONE_AHEAD:
            # A player takes a part of it, and asks anew for another part.
            self._file.leave(number, self._plaintexts[number])
        self._taken += 1
        del self._plaintexts[number]
        if not self._plaintexts:
            self._drop_current()
        elif self._current is not None:
            self._give_but_last(self._current, self._size)

    def _leave_current(self) -> None:
        """Go elsewhere; one who reads here and there has single segments."""
        if len(self._plaintexts) == 1:
            ((number, plaintext),) = self._plaintexts.items()
            self._file.leave(number, plaintext)
        self._drop_current()

    def _drop_current(self) -> None:
        run, self._current = self._current, None
        self._plaintexts = {}
        if run is not None:
            self._give_but_last(run, run.cost)

    def _give_but_last(self, run: _Run, amount: int) -> None:
        """Give *amount* back, but for the last piece: that is in a connection's buffer."""
        kept = min(self._piece, amount)
        self._piece -= kept
        self._given += kept
        run.cost -= kept
        self._file.holdings.budget.keep(kept)
        self._give(run, amount - kept)

    def _abandon_ahead(self) -> None:
        """A player whose request ends often asks for the same segment in the next one."""
        if not self._ahead or not self._open_ended or len(self._ahead[0].numbers) > 1:
            return
        run = self._ahead.popleft()
        fetching: Deferred[bytes] = run.plaintexts.addCallback(itemgetter(0))
        self._file.abandon(run.numbers[0], fetching)
        fetching.addErrback(lambda _: b"")
        fetching.addCallback(partial(self._give_all, run))

    def _drop_ahead(self) -> None:
        ahead, self._ahead = self._ahead, deque()
        # The last first: those before it hold what it waits for.
        for run in reversed(ahead):
            run.plaintexts.addErrback(lambda _: [])
            run.plaintexts.cancel()
            # A thread that is busy with it keeps it until it is done.
            run.plaintexts.addCallback(partial(self._give_all, run))


def _shielded(fetching: Deferred[list[bytes]]) -> Deferred[list[bytes]]:
    """Return what ends as *fetching*, which goes on when the wait for it is cancelled."""
    waiting: Deferred[list[bytes]] = Deferred()

    def end(result: list[bytes]) -> list[bytes]:
        if not waiting.called:
            waiting.callback(result)  # a failure becomes an error there
        return result

    fetching.addBoth(end)
    return waiting
