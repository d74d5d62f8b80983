"""Whether servers are missing that were there a while ago."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

# A server that is away for longer is not expected back.
_ABSENCE = 86400.0  # seconds


@define(eq=False)
class ServerWatch:
    """Counts the servers that can be reached, each time it is asked."""

    _count: Callable[[], int]
    _clock: IReactorTime
    _expected: int = field(default=0, init=False)
    _missing_since: float | None = field(default=None, init=False)  # by the clock

    def reachable(self) -> int:
        """Return how many can be reached now."""
        count, now = self._count(), self._clock.seconds()
        if self._missing_since is not None and now - self._missing_since >= _ABSENCE:
            self._expected = count
        if count >= self._expected:
            self._expected, self._missing_since = count, None
        elif self._missing_since is None:
            self._missing_since = now
        return count

    def complete(self) -> bool:
        """Return whether all can be reached that could be within the last day."""
        self.reachable()
        return self._missing_since is None
