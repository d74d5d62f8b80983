"""One upload, download, check or repair, as those see it who wait for it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from attrs import define, field, frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from truckee.errors import Refused
from truckee.status.gate import Gate
from truckee.status.pace import Pace
from truckee.status.progress import Progress

# What is paused goes on after so long, in seconds: an HTTP client may be held up for half
# an hour, and stock servers drop an upload that is idle for as long.
MOST_PAUSE = 1200.0

# All but what waits for the last word: whole is what is over.
ALMOST = 0.999

# Which count says how far a task of each kind is.  Of the others nobody can say.
COUNTS = {"upload": "stored", "download": "sent"}

BY_REQUEST = "cancelled by request"
CLIENT_GONE = "the client went away"


@define
class CannotPause(Refused):
    """This task is over, or is none that can be paused."""


class State(Enum):
    """What becomes of a task."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"  # cleans up behind itself
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@frozen(eq=False)
class Hooks:
    """What whoever runs a task lets others do with it."""

    cancel: Callable[[], object]  # called once; ``Task.end`` follows when nothing is left
    pause: Callable[[], object] | None = None
    resume: Callable[[], object] | None = None


@define(eq=False)
class Task:
    """
    Made by ``Tasks.begin``; whoever began it calls ``end`` once.

    Times are seconds of the clock; *began_at* and *ended_at* are since 1970.
    """

    id: str = field(repr=False)  # is authority: only its holder sees it
    chosen: bool  # the id is the client's own
    number: int  # what everybody may see
    kind: str  # "upload", "download", "check", "repair"
    progress: Progress
    hooks: Hooks
    began_at: float
    _clock: IReactorTime
    _now: Callable[[], float]
    _told: Callable[[Task], None]  # hears of each change of the state
    state: State = field(default=State.RUNNING, init=False)
    began: float = field(init=False)
    ended: float | None = field(default=None, init=False)
    ended_at: float | None = field(default=None, init=False)
    cap: str | None = field(default=None, init=False, repr=False)
    error: str | None = field(default=None, init=False)
    retain: float | None = field(default=None, init=False)  # seconds, that its holder asked
    forgotten_at: float | None = field(default=None, init=False)  # by the clock
    look_at: float = field(default=0.0, init=False)  # by the clock: it need not be sooner
    _done: int = field(default=0, init=False)
    _pace: Pace = field(init=False)
    _pause: IDelayedCall | None = field(default=None, init=False)
    _end: Gate = field(init=False, factory=lambda: Gate(shut=True), repr=False)

    def __attrs_post_init__(self) -> None:
        self.began = self._clock.seconds()
        self._pace = Pace(self.began)

    # How far it is

    def look(self) -> None:
        """Take note of what is done, for the rate."""
        count = COUNTS.get(self.kind)
        if count is not None and self.ended is None:
            # A second attempt may begin anew; what was told stays true.
            self._done = max(self._done, getattr(self.progress, count))
            self._pace.note(self._clock.seconds(), self._done)

    @property
    def done(self) -> int:
        """Bytes of what counts; never falls."""
        return self._done

    @property
    def fraction(self) -> float | None:
        """How much is done, 1.0 only when all is; None while nobody can say."""
        if self.state is State.DONE:
            return 1.0
        size = self.progress.size
        if size is None or self.kind not in COUNTS:
            return None
        return min(ALMOST, self._done / size) if size else 0.0

    @property
    def rate(self) -> float | None:
        """Bytes each second, lately; None while that is not known."""
        if self.ended is not None:
            taken = self.elapsed
            return self._done / taken if self._done and taken else None
        return self._pace.rate(self._clock.seconds())

    @property
    def time_left(self) -> float | None:
        """Seconds until it is done; None while that is not known."""
        size = self.progress.size
        if self.state is not State.RUNNING or size is None:
            return None
        return self._pace.time_left(self._clock.seconds(), size)

    @property
    def elapsed(self) -> float:
        """Seconds from its beginning to its end, or until now."""
        end = self._clock.seconds() if self.ended is None else self.ended
        return end - self.began

    @property
    def phase(self) -> str:
        """What it does now, or what became of it."""
        running = self.state is State.RUNNING
        return self.progress.phase if running else self.state.value

    # What others do with it

    @property
    def pausable(self) -> bool:
        """Whether ``pause`` or ``resume`` would do something."""
        return self.hooks.pause is not None and self.state in (State.RUNNING, State.PAUSED)

    def cancel(self, why: str = BY_REQUEST) -> None:
        """Have it end soon, because of *why*; once it ends or is over this does nothing."""
        if self.state not in (State.RUNNING, State.PAUSED):
            return
        self._unpause()
        self.state, self.error = State.CANCELLING, why
        self._told(self)
        self.hooks.cancel()

    def pause(self) -> None:
        """Hold it up, for a bounded time.  :raises CannotPause:"""
        if not self.pausable:
            raise CannotPause
        if self.state is State.RUNNING and self.hooks.pause is not None:
            self.hooks.pause()
            self.state = State.PAUSED
            self._pause = self._clock.callLater(MOST_PAUSE, self.resume)
            self._told(self)

    def resume(self) -> None:
        """Let it go on.  :raises CannotPause:"""
        if not self.pausable:
            raise CannotPause
        if self.state is State.PAUSED:
            self._unpause()
            self.state = State.RUNNING
            self._told(self)

    async def over(self) -> None:
        """Return when it has ended."""
        await self._end.passing()

    # From whoever began it

    def end(self, cap: str | None = None, error: str | None = None) -> None:
        """
        It is over: well and with a *cap* if it has one, or with an *error*.

        If it was cancelled before, an error is that; a good end is one all the same.
        """
        self.look()
        self._unpause()
        self.ended, self.ended_at = self._clock.seconds(), self._now()
        if error is None:
            self.state, self.cap, self.error = State.DONE, cap, None
            self._done = max(self._done, self.progress.size or 0)
        elif self.state is State.CANCELLING:
            self.state = State.CANCELLED
        else:
            self.state, self.error = State.FAILED, error
        self._told(self)
        self._end.open()

    def _unpause(self) -> None:
        if self._pause is not None and self._pause.active():
            self._pause.cancel()
        self._pause = None
        if self.state is State.PAUSED:
            # The pause itself says nothing of the rate.
            self._pace = Pace(self._clock.seconds(), self._done)
            if self.hooks.resume is not None:
                self.hooks.resume()
