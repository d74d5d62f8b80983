"""How fast something grows, and when it will be done.  Pure: time is an argument."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

from attrs import define, field

# What was so long ago says little of now.
WINDOW = 30.0  # seconds


@define(eq=False)
class Pace:
    """
    The rate of a count that grows in steps, as segments do.

    It is measured from step to step: before the first one servers are looked for and
    buffers fill, and behind the last one the next is on its way already.
    """

    _began: float  # seconds, of any clock; later, of the last step that was forgotten
    _before: int = 0  # bytes there were then
    _steps: deque[tuple[float, int]] = field(factory=deque, init=False)

    def note(self, now: float, done: int) -> None:
        """There are *done* bytes *now*, no fewer than before."""
        if done <= (self._steps[-1][1] if self._steps else self._before):
            return
        self._steps.append((now, done))
        while len(self._steps) > 2 and self._steps[1][0] < now - WINDOW:
            self._began, self._before = self._steps.popleft()

    def rate(self, now: float) -> float | None:
        """Return the bytes each second, None before the first step."""
        if not self._steps:
            return None
        first, last = self._base(), self._steps[-1]
        overdue = max(0.0, now - last[0] - self._usual_gap())
        taken = last[0] - first[0] + overdue
        return (last[1] - first[1]) / max(taken, 1e-3)

    def time_left(self, now: float, size: int) -> float | None:
        """Return the seconds until there are *size* bytes, None before the first step."""
        rate = self.rate(now)
        if rate is None:
            return None
        at, done = self._steps[-1]
        # The next step has been under way since the last one.
        under_way = min(now - at, self._usual_gap())
        return max(0.0, (size - done) / rate - under_way)

    def _base(self) -> tuple[float, int]:
        """Return where to measure from."""
        (at, _), last = self._steps[0], self._steps[-1]
        # Steps that come all at once say nothing of the time between.
        if (last[0] - at) * 2 > last[0] - self._began:
            return self._steps[0]
        return (self._began, self._before)

    def _usual_gap(self) -> float:
        """Return the longest time that a step took."""
        times = [self._base()[0], *(at for at, _ in self._steps)]
        return max((b - a for a, b in pairwise(times)), default=0.0)
