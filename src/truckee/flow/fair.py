"""
Who has to go when everything is taken.

A share of what there is is a fraction of it, and counts only when all is taken: one program
alone may have everything, and many behind one address may have what one would.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from typing import Generic, Protocol, TypeVar

from attrs import define, field

# Bytes a second that pay for a place: below any line on which files are sent today.
FAIR_RATE = 8 * 1024
# Seconds that one who was fast may be slow then: a gap in a stream is no reason to lose it.
MOST_CREDIT = 30.0
# One in so many of all holders is found at once.
PART = 20


@define(eq=False)
class Debt:
    """
    Seconds for which a client was waited for, beyond what its bytes are worth.

    Time counts only while it is waited for.
    """

    _now: Callable[[], float]
    _owed: float = field(default=0.0, init=False)
    _since: float | None = field(default=None, init=False)  # None: nobody waits for it

    @property
    def seconds(self) -> float:
        """What it owes now; below 0 what it has in credit."""
        return self._owed + (0.0 if self._since is None else self._now() - self._since)

    def wait(self) -> None:
        """It is waited for from now on."""
        if self._since is None:
            self._since = self._now()

    def rest(self) -> None:
        """It is not waited for: what happens now is not up to it."""
        self._owed, self._since = self.seconds, None

    def pay(self, count: int) -> None:
        """Count *count* bytes that it moved."""
        now = self._now()
        waited = 0.0 if self._since is None else now - self._since
        self._owed = max(-MOST_CREDIT, self._owed + waited - count / FAIR_RATE)
        if self._since is not None:
            self._since = now

    def clear(self) -> None:
        """It owes nothing: it has done all that it had to."""
        self._owed, self._since = 0.0, None


class Holder(Protocol):
    """Somebody who has one of the places."""

    @property
    def client(self) -> str:
        """Who that is: holders of one client share what it may have."""

    @property
    def owed(self) -> float:
        """Its debt, in seconds."""


H = TypeVar("H", bound=Holder)


@define(eq=False)
class Yielding(Generic[H]):
    """
    Names one holder after the other that gives way, as ``slowest`` does.

    To find the slowest means to look at all, so it is done for a part of them at once; who
    moved since then, or went away, is passed over.
    """

    _found: list[tuple[H, float]] = field(factory=list, init=False)  # and what it owed

    def next(self, holders: AbstractSet[H]) -> H | None:
        """Return the next one of *holders* that owes something, if any does."""
        for _ in range(2):
            while self._found:
                holder, owed = self._found.pop()
                if holder in holders and holder.owed >= owed:
                    return holder
            some = slowest(holders, 1 + len(holders) // PART)
            self._found = [(each, each.owed) for each in reversed(some)]
        return None


def slowest(holders: Collection[H], count: int = 1, least: float = 0.0) -> list[H]:
    """
    Return who gives way when somebody new comes: at most *count*, the slowest first.

    They are of the clients that have the most places, and each owes more than *least*.
    """
    places = Counter(each.client for each in holders)
    most = max(places.values(), default=0)
    late = [h for h in holders if places[h.client] == most and h.owed > least]
    late.sort(key=lambda each: each.owed, reverse=True)
    return late[:count]
