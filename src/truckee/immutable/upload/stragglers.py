"""
Which servers an upload leaves behind as stragglers.  Pure.

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
    def idle(self) -> float | None:
        """Seconds since its last call, None while there is one."""

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

    There are none unless two thirds of them have nothing to do.  What counts is for how
    long that is so: when a line was down for all, those that come back first have not
    waited yet for the others.
    """
    idle = [server for server in servers if server.waited is None]
    most = -(-2 * len(servers) // 3)
    if len(idle) < most or not idle:
        return []
    held_up = sorted((server.idle or 0.0 for server in idle), reverse=True)[most - 1]
    patience = max(LEAST, FACTOR * median(server.slowest for server in idle))
    late = [
        each
        for each in servers
        if min(each.waited or 0.0, held_up)
        > (max(patience, RETURN) if each.away else patience)
    ]
    return sorted(late, key=lambda each: each.waited or 0.0, reverse=True)
