"""Where the shares of a new version go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.mutable.test_versions import NamedServer, shares_of
from truckee.mutable.placement import another, plan, plan_beside
from truckee.mutable.versions import Place, Versions, numbers_of

SERVERS: list[Any] = [NamedServer(f"s{number}") for number in range(6)]


def places(*pairs: tuple[int, int]) -> list[Place]:
    """Return places from numbers of servers and shares."""
    return [Place(SERVERS[server], number) for server, number in pairs]


class PlanTests(SynchronousTestCase):
    def test_new_file(self) -> None:
        """Each share of a new file goes to the next server; then the first has its turn."""
        found = plan([], 5, SERVERS[:3])
        expected = places((0, 0), (1, 1), (2, 2), (0, 3), (1, 4))
        self.assertEqual(found.places, expected)
        self.assertEqual(found.surplus, [])

    def test_existing(self) -> None:
        """What is there is replaced where it is, twice if it is there twice."""
        there = places((4, 0), (5, 0), (5, 1))
        self.assertEqual(plan(there, 2, SERVERS).places, there)

    def test_fewest_first(self) -> None:
        """Shares without a home go first to servers that have the fewest."""
        there = places((0, 0), (0, 1), (1, 2))
        found = plan(there, 6, SERVERS[:3]).places
        self.assertEqual(found, [*there, *places((2, 3), (1, 4), (0, 5))])

    def test_not_takers(self) -> None:
        """A server that takes nothing new keeps what it has up to date."""
        there = places((5, 0))
        self.assertEqual(plan(there, 2, SERVERS[:1]).places, [*there, *places((0, 1))])

    def test_surplus(self) -> None:
        """Shares with numbers that the new version has not are named."""
        there = places((0, 0), (1, 1), (2, 2))
        found = plan(there, 2, SERVERS)
        self.assertEqual((found.places, found.surplus), (there[:2], there[2:]))

    def test_nobody(self) -> None:
        """Without takers only what is there is replaced."""
        self.assertEqual(plan([], 3, []).places, [])
        self.assertEqual(plan(places((0, 1)), 3, []).places, places((0, 1)))

    @given(
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), max_size=30),
        st.integers(1, 20),
        st.integers(1, 6),
    )
    def test_complete(self, there: list[tuple[int, int]], total: int, takers: int) -> None:
        """All numbers have a place, no place is named twice, and all that is there is."""
        found = plan(places(*there), total, SERVERS[:takers])
        self.assertEqual(numbers_of(found.places), set(range(total)))
        named = [*found.places, *found.surplus]
        self.assertEqual(len(named), len(set(named)))
        self.assertLessEqual(set(places(*there)), set(named))
        new = set(found.places) - set(places(*there))
        counts = [sum(each.server is server for each in new) for server in SERVERS[:takers]]
        self.assertLessEqual(max(counts) - min(counts), 1)


def known_of(*pairs: tuple[int, int], stale: Iterable[tuple[int, int]] = ()) -> Versions:
    """Return what is known of a 3-of-10 file with these shares, and of an older version."""
    found = {place: shares_of(7)[place.number] for place in places(*pairs)}
    found |= {place: shares_of(6)[place.number] for place in places(*stale)}
    return Versions(shares=found)


class BesideTests(SynchronousTestCase):
    def test_one_each(self) -> None:
        """Each server gets one share, and none that it keeps."""
        for count in range(3, 7):
            known = known_of(*((number, number) for number in range(count)))
            found = plan_beside(known, count, SERVERS[:count])
            self.assertEqual([place.number for place in found.places], list(range(count)))
            self.assertEqual(len({place.server.name for place in found.places}), count)
            self.assertEqual(found.kept, known.shares.keys())
            self.assertEqual(set(found.surplus), known.shares.keys())
            self.assertEqual(set(found.places) & found.kept, set())

    def test_many(self) -> None:
        """More shares than servers are spread evenly."""
        found = plan_beside(Versions(), 10, SERVERS[:3]).places
        counts = [sum(place.server is server for place in found) for server in SERVERS[:3]]
        self.assertEqual(sorted(counts), [3, 3, 4])

    def test_nowhere(self) -> None:
        """A number that nobody can take is left out."""
        known = known_of((0, 0), (1, 0), (0, 1), (0, 2))
        found = plan_beside(known, 2, SERVERS[:2])
        self.assertEqual(found.places, places((1, 1)))
        self.assertEqual(plan_beside(Versions(), 2, []).places, [])

    def test_stale(self) -> None:
        """Shares of another version are replaced, or deleted."""
        known = known_of((0, 0), (0, 1), (0, 2), stale=[(1, 0), (2, 2)])
        found = plan_beside(known, 3, SERVERS[:2])
        self.assertEqual(found.places, places((1, 0), (1, 1), (1, 2)))
        self.assertEqual(set(found.surplus), {*found.kept, *places((2, 2))})


class AnotherTests(SynchronousTestCase):
    def test_fewest(self) -> None:
        """The server with the fewest shares is next."""
        used = places((0, 0), (1, 1), (1, 2), (2, 3))
        self.assertEqual(another(1, SERVERS[:3], used), *places((0, 1)))

    def test_not_twice(self) -> None:
        """A server is not asked for the same share again."""
        used = places((0, 0), (1, 0))
        self.assertIsNone(another(0, SERVERS[:2], used))
        self.assertIsNone(another(0, [], used))
