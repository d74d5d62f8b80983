"""
For how long nothing happened to something, whatever becomes of the clock.

Within a process that is measured by a clock that nobody sets.  Across a restart there is
only the time of day, which may be wrong before, after, or both.  So what it says is
believed with two limits:

* it is asked again when something would expire, since a clock that is wrong at a start is
  often corrected soon;
* nothing expires before this process has seen for a while that nothing happens.
"""

from __future__ import annotations

from attrs import frozen

# How long a clock that is wrong has to be corrected, and a client to come back after a
# restart, before anything expires by the time of day.
GRACE = 6 * 3600.0  # seconds


@frozen
class LastUse:
    """When something was used last; another one is made when it is used again."""

    seen: float  # when that was, or when this process found it, by its own clock
    # Of what an earlier process left: the time of day that was recorded, and how long ago
    # that seemed to be when it was found.
    recorded: float | None = None  # Unix seconds
    before: float = 0.0  # seconds

    @classmethod
    def found(cls, recorded: float, clock: float, now: float) -> LastUse:
        """
        Return the last use of what another process left.

        *clock* is this process's own, *now* the time of day; *recorded* by that.
        """
        return cls(clock, recorded, max(0.0, now - recorded))

    def idle(self, clock: float, now: float) -> float:
        """Return for how many seconds it was not used, the least that can be."""
        observed = max(0.0, clock - self.seen)
        if self.recorded is None:
            return observed
        return min(self.before + observed, max(observed, now - self.recorded))

    def time_left(self, life: float, clock: float, now: float) -> float:
        """Return the seconds until it expires after *life* of them; below 0: it did."""
        left = life - self.idle(clock, now)
        if self.recorded is None:
            return left
        return max(left, min(life, GRACE) - (clock - self.seen))
