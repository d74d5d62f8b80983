"""
Which server gets which share.  Source: formats, "Happiness".

Pure: servers are any hashable things, shares are numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TypeVar

S = TypeVar("S", bound=Hashable)


def match(wishes: Mapping[int, Sequence[S]]) -> dict[int, S]:
    """
    Return a largest set of pairs (share, server) in which no server stands twice.

    *wishes* are the servers that each share could be paired with, the best first.
    """
    holder: dict[S, int] = {}

    def place(share: int, tried: set[S]) -> bool:
        for server in wishes[share]:
            if server not in tried:
                tried.add(server)
                if server not in holder or place(holder[server], tried):
                    holder[server] = share
                    return True
        return False

    for share in wishes:
        place(share, set())
    return {share: server for server, share in holder.items()}


def happiness(holders: Mapping[int, Collection[S]]) -> int:
    """Return how many servers can each be paired with a share of its own."""
    return len(match({share: list(servers) for share, servers in holders.items()}))


def plan(
    total: int, existing: Mapping[int, Collection[S]], writeable: Sequence[S]
) -> dict[int, S]:
    """
    Return where to store shares, as (share: server), for the most happiness.

    *existing* shares are counted where they are and moved nowhere, but one of them may be
    stored once more where that makes the file happier.  *writeable* servers come in
    permuted order; the first are used first.  With no writeable server, or nothing to
    do, the plan is empty.
    """
    paired = match({share: list(servers) for share, servers in existing.items()})
    taken = set(paired.values())
    free = [server for server in writeable if server not in taken]
    # A share that exists nowhere is worth storing before a second copy of another.
    lonely = [share for share in range(total) if not existing.get(share)]
    copies = [
        share for share in range(total) if existing.get(share) and share not in paired
    ]
    new = dict(zip([*lonely, *copies], free, strict=False))
    load = dict.fromkeys(writeable, 0)
    for server in [*paired.values(), *new.values()]:
        if server in load:
            load[server] += 1
    for share in lonely:
        if share not in new and load:
            server = min(load, key=lambda each: load[each])
            new[share] = server
            load[server] += 1
    return new
