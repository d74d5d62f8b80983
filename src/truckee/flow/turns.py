"""How much begins in one turn of the event loop, so that what goes on need not wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

# A turn in which more is begun ends late for all that was begun before, each step of which
# takes a turn.
MOST = 0.005  # seconds


@define(eq=False)
class Turns:
    """Begins work in the order in which it came, for a few milliseconds of each turn."""

    _clock: IReactorTime
    _waiting: deque[Turn] = field(factory=deque, init=False, repr=False)
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

    def run(self, work: Callable[[], None]) -> None:
        """Do *work*, as a part of this turn."""
        begun = self._clock.seconds()
        self._schedule()
        try:
            work()
        finally:
            self._spent += max(0.0, self._clock.seconds() - begun)

    def add(self, turn: Turn) -> None:
        """Let *turn* come when those before it have, not in this turn."""
        self._waiting.append(turn)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._clock.callLater(0, self._next)

    def _next(self) -> None:
        self._scheduled, self._spent = False, 0.0
        # Who is added meanwhile waits for another turn, even if there is time.
        for _ in range(len(self._waiting)):
            if self._spent >= MOST:
                break
            self.run(self._waiting.popleft().come)


@define(eq=False)
class Turn:
    """The place of one who begins something now and then."""

    _turns: Turns
    _work: Callable[[], None]
    waits: bool = field(default=False, init=False)
    _queued: bool = field(default=False, init=False)  # it may be, and not wait any more

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
