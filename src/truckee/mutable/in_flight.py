"""Requests that wait for an answer, and which of them are slow.  Pure."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from attrs import define, field

K = TypeVar("K", bound=Hashable)


@define(eq=False)
class InFlight(Generic[K]):
    """
    What was asked and did not answer yet, each with the time it was asked.

    A slow one stays slow: who hedges does so once.
    """

    _began: dict[K, float] = field(factory=dict, init=False)  # seconds
    slow: set[K] = field(factory=set, init=False)

    def __len__(self) -> int:
        return len(self._began)

    def __contains__(self, key: K) -> bool:
        return key in self._began

    @property
    def quick(self) -> list[K]:
        """Those that are not slow, in the order in which they were asked."""
        return [key for key in self._began if key not in self.slow]

    def start(self, key: K, now: float) -> None:
        """*key* was asked."""
        self._began[key] = now

    def end(self, key: K, now: float) -> float:
        """*key* answered or failed; return how many seconds it took."""
        self.slow.discard(key)
        return now - self._began.pop(key)

    def mark_slow(self, now: float, timeout: float) -> None:
        """What was asked *timeout* seconds ago or earlier is slow from now on."""
        self.slow |= {key for key in self.quick if now - self._began[key] >= timeout}

    def next_slow(self, now: float, timeout: float) -> float | None:
        """Return the seconds until the next one is slow; None: all are, or answered."""
        left = [self._began[key] + timeout - now for key in self.quick]
        return max(0.0, min(left)) if left else None
