"""How many walks there are at once."""

from __future__ import annotations

from attrs import define, field

from truckee.errors import Unavailable

MOST = 32  # of all clients


@define
class TooManyWalks(Unavailable):
    """{most} trees are walked already. Try again when one of them is done."""

    most: int = MOST


@define(eq=False)
class Walks:
    """Counts them."""

    _running: int = field(default=0, init=False)

    def take(self) -> None:
        """Begin one; ``give`` follows.  :raises TooManyWalks:"""
        if self._running >= MOST:
            raise TooManyWalks
        self._running += 1

    def give(self) -> None:
        """One is over."""
        self._running -= 1
