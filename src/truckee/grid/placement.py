"""
Which server gets which share.  Source: formats, "Happiness".

Pure: servers are any hashable things, shares are numbers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

S = TypeVar("S", bound=Hashable)
T = TypeVar("T", bound=Hashable)


def match(wishes: Mapping[T, Sequence[S]]) -> dict[T, S]:
    """
    Return a largest set of pairs (key, value) in which no value stands twice.

    *wishes* are the values that each key could be paired with, the best first.  Keys come
    in the order of their importance: a later one never takes the place of an earlier one.
    """
    pairs: dict[T, S] = {}
    holder: dict[S, T] = {}
    hopeless: set[S] = set()  # where a search ended in vain, every later one does too
    for key in wishes:
        # Who would have to yield what, from this key on, until something is free.
        asked_by: dict[S, T] = {}
        asking = deque([key])
        free: S | None = None
        while asking and free is None:
            asks = asking.popleft()
            new = [v for v in wishes[asks] if v not in asked_by and v not in hopeless]
            asked_by.update(dict.fromkeys(new, asks))
            free = next((value for value in new if value not in holder), None)
            asking.extend(holder[value] for value in new if value in holder)
        if free is None:
            hopeless.update(asked_by)
        while free is not None:
            asks = asked_by[free]
            holder[free] = asks
            yielded = pairs.get(asks)
            pairs[asks] = free
            free = yielded
    return pairs


def happiness(holders: Mapping[int, Collection[S]]) -> int:
    """Return how many servers can each be paired with a share of its own."""
    return len(match({share: list(servers) for share, servers in holders.items()}))


def plan(
    total: int,
    existing: Mapping[int, Collection[S]],
    writeable: Sequence[S],
    refusing: Mapping[int, Collection[S]] = MappingProxyType({}),
) -> dict[int, S]:
    """
    Return where to store shares, as (share: server), for the most happiness.

    *existing* shares are counted where they are and moved nowhere, but one of them may be
    stored once more where that makes the file happier.  *writeable* servers come in
    permuted order; of those with equally few shares the first are used first.  No share
    goes to a server that is *refusing* it.  With no writeable server, or nothing to do,
    the plan is empty.
    """
    held: dict[S, list[int]] = {}
    for share in range(total):
        for server in existing.get(share, ()):
            held.setdefault(server, []).append(share)
    load = {server: len(held.get(server, ())) for server in writeable}
    by_load = sorted(writeable, key=lambda server: load[server])
    # Each server is counted once.  Those that take nothing are counted for what they have,
    # then the fullest, so that the servers left for new shares are many and empty.
    others = [server for server in held if server not in load]
    having = [*others, *(server for server in reversed(by_load) if server in held)]
    paired = match({server: held[server] for server in having})
    free = [server for server in by_load if server not in paired]
    # A share that exists nowhere is worth storing before a second copy of another.
    lonely = [share for share in range(total) if not existing.get(share)]
    counted = set(paired.values())
    copies = [
        share for share in range(total) if existing.get(share) and share not in counted
    ]
    if refusing:
        new = match(
            {share: _without(free, refusing, share) for share in [*lonely, *copies]}
        )
    else:
        new = dict(zip([*lonely, *copies], free, strict=False))
    for server in new.values():
        load[server] += 1
    for share in lonely:
        able = _without(load, refusing, share) if share not in new else []
        if able:
            server = min(able, key=lambda each: load[each])
            new[share] = server
            load[server] += 1
    return new


def _without(
    servers: Iterable[S], refusing: Mapping[int, Collection[S]], share: int
) -> list[S]:
    """Return those of *servers* that may be asked to take *share*."""
    refuse = refusing.get(share, ())
    return [server for server in servers if server not in refuse]


def plan_missing(
    missing: Collection[int],
    existing: Mapping[int, Collection[S]],
    writeable: Sequence[S],
    refusing: Mapping[int, Collection[S]],
) -> dict[int, S]:
    """
    Return where to store the *missing* shares alone, for the most happiness.

    None goes to a server that is *refusing* it; those that nobody takes are left out.
    """
    load = dict.fromkeys(writeable, 0)
    for servers in existing.values():
        for server in servers:
            if server in load:
                load[server] += 1

    def takers(share: int) -> list[S]:
        refuse = refusing.get(share, ())
        able = [server for server in writeable if server not in refuse]
        return sorted(able, key=lambda server: load[server])

    # What is there comes first: it is counted where it is, on whom it may be.
    wishes = {share: list(servers) for share, servers in existing.items()}
    wishes.update({share: takers(share) for share in sorted(missing)})
    pairs = match(wishes)
    new = {share: pairs[share] for share in sorted(missing) if share in pairs}
    for server in new.values():
        load[server] += 1
    for share in sorted(missing):
        best = next(iter(takers(share)), None)
        if share not in new and best is not None:
            new[share] = best
            load[best] += 1
    return new
