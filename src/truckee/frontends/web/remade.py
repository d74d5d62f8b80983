"""Pages that take time to make, made once for all who ask at about the same time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from attrs import define, field

T = TypeVar("T")

# The part of the time that goes into one page at most, however often it is asked for.
_PART = 1 / 20
# A page is never older than this because of what it costs, in seconds.
_OLDEST = 1.0
# Clients may have a say in what kinds there are.
_MOST_KINDS = 16


@define(eq=False)
class Remade(Generic[T]):
    """
    The latest page of each kind.

    One that took long is shown for a while: twenty times as long as it took, up to a
    second, and *least* seconds in any case.
    """

    _now: Callable[[], float]
    _least: float = 0.0
    _pages: dict[str, tuple[T, float]] = field(factory=dict, init=False, repr=False)

    def known(self, kind: str) -> T | None:
        """Return the page of a *kind* if it is new enough."""
        found = self._pages.get(kind)
        return None if found is None or self._now() >= found[1] else found[0]

    def keep(self, kind: str, page: T, began: float) -> T:
        """Show *page*, whose making *began* at that time, for as long as it is worth."""
        if len(self._pages) >= _MOST_KINDS:
            self._pages.clear()
        now = self._now()
        life = max(self._least, min(_OLDEST, (now - began) / _PART))
        self._pages[kind] = (page, now + life)
        return page

    def get(self, kind: str, make: Callable[[], T]) -> T:
        """Return the page of a *kind*, made now unless it is new enough."""
        found = self.known(kind)
        if found is not None:
            return found
        began = self._now()
        return self.keep(kind, make(), began)
