"""
Space that is promised to shares in progress.  Pure.

A promise keeps others from filling the disk in the middle of an upload.  It must not let a
client that writes nothing keep others away: after ``GRACE`` seconds it counts only in
proportion to what was written.  What is beyond that is still written while there is room.
"""

from __future__ import annotations

from attrs import define, field

# In which a client has to begin.  Stock uploaders allocate on all servers first, which
# have 15 seconds each to answer.
GRACE = 60.0  # seconds
# Afterwards a share that has so many bytes is trusted to bring so many times as many.
TRUST = 4

# How old a sum may be.  Only the end of the grace changes it by itself, and thousands of
# shares are not looked at for each question.
_FRESH = 1.0  # seconds


@define(eq=False)
class Promise:
    """The space of one share in progress."""

    size: int  # bytes
    made: float  # seconds, of any clock
    written: int = field(default=0, init=False)  # bytes; those written twice count twice

    def owed(self, now: float) -> int:
        """Return the bytes that are still to be kept free."""
        left = max(0, self.size - self.written)
        return left if now - self.made < GRACE else min(left, TRUST * self.written)


@define(eq=False)
class Promises:
    """The promises that count together, on one disk or to one peer."""

    _all: set[Promise] = field(factory=set, init=False, repr=False)
    _sum: int = field(default=0, init=False)  # bytes, as of ``_at``
    _at: float = field(default=0.0, init=False)

    def __len__(self) -> int:
        return len(self._all)

    def owed(self, now: float) -> int:
        """Return the bytes of all together, a second old at the most."""
        if not 0 <= now - self._at < _FRESH:
            self._at = now
            self._sum = sum(promise.owed(now) for promise in self._all)
        return self._sum

    def add(self, promise: Promise) -> None:
        """Count *promise* in."""
        self._all.add(promise)
        self._sum += promise.owed(self._at)

    def remove(self, promise: Promise) -> None:
        """Count *promise* out, if it is in."""
        if promise in self._all:
            self._all.remove(promise)
            self._sum -= promise.owed(self._at)

    def wrote(self, promise: Promise, written: int) -> None:
        """The share of *promise* has *written* bytes by now."""
        before = promise.owed(self._at)
        promise.written = written
        if promise in self._all:
            self._sum += promise.owed(self._at) - before
