"""
How much begins in one turn of the event loop, so that what goes on need not wait.

Those who wait are served by how much of the event loop they had so far, those who had least
first, and in their order where that is the same: a crowd in which each wants much cannot
keep one waiting who wants little.  One who had nothing for long has no more of a claim than
whoever is served now; and since that claim grows as time is shared out, an endless row of
new ones keeps nobody waiting for ever (fair queueing by virtual time).
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

# A turn in which more is begun ends late for all that was begun before, each step of which
# takes a turn.
MOST = 0.005  # seconds
# The claim of one who comes grows so many times slower than what each has who waits all the
# time: he is served before these, and still not before all others for ever.
_SLOWER = 4


@define(eq=False)
class Share:
    """What one had of the event loop, such as a connection for all its turns."""

    had: float = 0.0  # seconds, by the clock of ``Turns``, which goes as fast as it serves


@define(eq=False)
class Turns:
    """Begins work for a few milliseconds of each turn of the event loop."""

    _clock: IReactorTime
    # By what their share had, and by order.
    _waiting: list[tuple[float, int, Turn]] = field(factory=list, init=False, repr=False)
    _number: int = field(default=0, init=False)  # of the last who came to wait
    _served: float = field(default=0.0, init=False)  # what one had who is served now
    _spent: float = field(default=0.0, init=False)  # seconds of this turn
    _scheduled: bool = field(default=False, init=False)

    @property
    def is_over(self) -> bool:
        """Whether what comes now waits for another turn."""
        return self._spent >= MOST or bool(self._waiting)

    @property
    def left(self) -> float:
        """The seconds of this turn that nobody had, as it began for who runs now."""
        return max(0.0, MOST - self._spent)

    def run(self, work: Callable[[], None], share: Share) -> None:
        """Do *work*, as a part of this turn."""
        begun = self._clock.seconds()
        self._schedule()
        try:
            work()
        finally:
            taken = max(0.0, self._clock.seconds() - begun)
            self._spent += taken
            share.had = max(share.had, self._served) + taken
            self._served += taken / (_SLOWER * (len(self._waiting) + 1))

    def add(self, turn: Turn) -> None:
        """Let *turn* come when it is due, not in this turn."""
        self._number += 1
        had = max(turn.share.had, self._served)
        heappush(self._waiting, (had, self._number, turn))
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._clock.callLater(0, self._next)

    def _next(self) -> None:
        self._scheduled, self._spent = False, 0.0
        # Who is added meanwhile waits for another turn, even if there is time.
        last = self._number
        later: list[tuple[float, int, Turn]] = []
        try:
            while self._waiting and self._spent < MOST:
                entry = heappop(self._waiting)
                had, number, turn = entry
                if number > last:
                    later.append(entry)
                    continue
                self._served = max(self._served, had)
                self.run(turn.come, turn.share)
        finally:
            for entry in later:
                heappush(self._waiting, entry)
            if self._waiting:
                self._schedule()


@define(eq=False)
class Turn:
    """The place of one who begins something now and then."""

    _turns: Turns
    _work: Callable[[], None]
    share: Share = field(factory=Share)
    waits: bool = field(default=False, init=False)
    _queued: bool = field(default=False, init=False)  # it may be, and not wait any more

    def take(self) -> None:
        """Do the work now, if the event loop has time for it, or else in another turn."""
        if self._turns.is_over:
            self.wait()
        else:
            self._turns.run(self._work, self.share)

    def wait(self) -> None:
        """Do the work in another turn; once, however often this is called until then."""
        self.waits = True
        if not self._queued:
            self._queued = True
            self._turns.add(self)

    def cancel(self) -> None:
        """Do not."""
        self.waits = False

    def come(self) -> None:
        """Do it, if it is still to be done."""
        wanted, self.waits, self._queued = self.waits, False, False
        if wanted:
            self._work()
