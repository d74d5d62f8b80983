"""
Which servers an upload goes on without.  Pure.

A slow line is no server's fault, and a slow client neither: what counts is that a server is
slow while the others wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Protocol, TypeVar

# A server that takes no longer than this for a call holds nobody up.
LEAST = 0.5  # seconds
# As many times what calls usually take.
FACTOR = 4.0
# One that is cut off has at least so long to come back: a node that is started again is
# there by then.
RETURN = 15.0  # seconds


class Progress(Protocol):
    """What a server has been doing."""

    @property
    def waited(self) -> float | None:
        """Seconds that its call under way has taken, None when it has nothing to do."""

    @property
    def slowest(self) -> float:
        """Seconds that its long calls took recently."""

    @property
    def away(self) -> bool:
        """Whether it is cut off and may come back."""


P = TypeVar("P", bound=Progress)


def laggards(servers: Sequence[P]) -> list[P]:
    """
    Return those of *servers* that the others wait for, the slowest first.

    There are none unless two thirds of them have nothing to do.
    """
    idle = [server for server in servers if server.waited is None]
    if 3 * len(idle) < 2 * len(servers) or not idle:
        return []
    patience = max(LEAST, FACTOR * median(server.slowest for server in idle))
    late = [
        each
        for each in servers
        if (each.waited or 0.0) > (max(patience, RETURN) if each.away else patience)
    ]
    return sorted(late, key=lambda each: each.waited or 0.0, reverse=True)
