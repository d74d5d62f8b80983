"""
Which server gets which share of a new version of a mutable file.  Pure.

Source: ``docs/mutable-files.md``, "How a version is written".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import cycle

from attrs import frozen

from truckee.grid.placement import match
from truckee.mutable.versions import Place, Versions, numbers_of
from truckee.storage.interfaces import IStorageServer


@frozen
class Plan:
    """Where the shares of a version go."""

    places: Sequence[Place]  # to be written
    surplus: Sequence[Place]  # shares that are deleted when these are written
    kept: frozenset[Place] = frozenset()  # of these, what nobody may touch before


def plan(existing: Iterable[Place], total: int, takers: Sequence[IStorageServer]) -> Plan:
    """
    Return the places for *total* shares.

    Every *existing* share, of whatever version, is replaced where it is: what is left of
    an old version could be taken for the file.  Numbers that are nowhere go to *takers*,
    which come in the file's order, in turns: first to those that have the fewest shares.
    Without takers they go nowhere.
    """
    found = list(dict.fromkeys(existing))
    kept = [place for place in found if place.number < total]
    surplus = [place for place in found if place.number >= total]
    homeless = sorted(set(range(total)) - numbers_of(kept))
    load = Counter(place.server for place in found)
    turns = cycle(sorted(takers, key=lambda server: load[server]))
    # Without takers the turns have ended before they begin, and nothing is added.
    new = [Place(server, number) for number, server in zip(homeless, turns, strict=False)]
    return Plan([*kept, *new], surplus)


def plan_beside(known: Versions, total: int, takers: Sequence[IStorageServer]) -> Plan:
    """
    Return places for *total* shares where there is none of the version that readers get.

    As many servers as there can be get one, then those with the fewest get more.  A number
    that nobody can take is left out.
    """
    kept = frozenset(() if known.best is None else known.of(known.best))
    able = {
        number: [server for server in takers if Place(server, number) not in kept]
        for number in range(total)
    }
    found = match(able)
    load = Counter(found.values())
    for number, servers in able.items():
        if number not in found and servers:
            found[number] = min(servers, key=lambda server: load[server])
            load[found[number]] += 1
    places = [Place(server, number) for number, server in sorted(found.items())]
    existing = {*known.shares, *known.damaged}
    return Plan(places, [place for place in existing if place not in places], kept)


def another(
    number: int, takers: Sequence[IStorageServer], used: Collection[Place]
) -> Place | None:
    """
    Return a place for share *number* beside those *used*, some of which failed.

    It is on the server with the fewest shares.  None: each of *takers* was tried for it.
    """
    load = Counter(place.server for place in used)
    able = [server for server in takers if Place(server, number) not in used]
    if not able:
        return None
    return Place(min(able, key=lambda server: load[server]), number)
