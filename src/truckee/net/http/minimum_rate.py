"""The least that a sender has to send."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from truckee.flow.timer import CallLater, Timer


@define(eq=False)
class RateWatch:
    """
    Call *too_slow* once a whole window brought less than *minimum* bytes.

    Only time in which we listen counts.  Pausing costs no timer: it can happen
    thousands of times each second.
    """

    _call_later: CallLater
    _now: Callable[[], float]
    _window: float
    _minimum: int
    _too_slow: Callable[[], None]
    _timer: Timer = field(factory=Timer, init=False)
    _since: float | None = field(default=None, init=False)  # None while paused
    _got: int = field(default=0, init=False)

    def start(self) -> None:
        """Watch from now on."""
        self.resume()
        self._timer.start(self._call_later, self._window, self._look)

    def got(self, count: int) -> None:
        """Count *count* bytes that came."""
        self._got += count

    def pause(self) -> None:
        """Expect nothing."""
        self._since = None

    def resume(self) -> None:
        """Expect bytes again: a new window begins."""
        self._since = self._now()
        self._got = 0

    def stop(self) -> None:
        """Watch no more."""
        self._timer.cancel()

    def _look(self) -> None:
        wait = self._window
        if self._since is not None:
            left = self._since + self._window - self._now()
            if left > 0:
                wait = left
            elif self._got < self._minimum:
                self._too_slow()
                return
            else:
                self.resume()
        self._timer.start(self._call_later, wait, self._look)
