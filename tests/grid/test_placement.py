"""Which server gets which share."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.grid.placement import happiness, match, plan, plan_missing

Holders = dict[int, list[str]]

# Read-only servers hold shares and take none.
WRITEABLE = "ABCD"
READ_ONLY = "XYZ"

# A generous bound on a slow machine that others use too; it takes some 0.1 s.
FAST = 2.0  # seconds


def graphs(shares: int, servers: str) -> st.SearchStrategy[Holders]:
    """Return a strategy for shares and who has them, some of them held by nobody."""
    holders = st.lists(st.sampled_from(servers), unique=True, max_size=4)
    return st.dictionaries(st.integers(0, shares - 1), holders, max_size=shares)


def most_pairs(edges: Mapping[int, Collection[str]]) -> int:
    """Return the size of a maximum matching by trying everything."""

    def best(shares: Sequence[int], used: frozenset[str]) -> int:
        if not shares:
            return 0
        first, *rest = shares
        found = best(rest, used)
        for server in edges[first]:
            if server not in used:
                found = max(found, 1 + best(rest, used | {server}))
        return found

    return best(list(edges), frozenset())


def carried_out(existing: Holders, new: Mapping[int, str]) -> dict[int, set[str]]:
    """Return who has each share when a plan was carried out."""
    after = {share: set(servers) for share, servers in existing.items()}
    for share, server in new.items():
        after.setdefault(share, set()).add(server)
    return after


def loads(holders: Mapping[int, Collection[str]], servers: Collection[str]) -> Counter[str]:
    """Return how many shares each of *servers* has."""
    count = Counter(dict.fromkeys(servers, 0))
    count.update(
        server for found in holders.values() for server in found if server in servers
    )
    return count


class MatchTests(SynchronousTestCase):
    @given(graphs(6, "ABCDEF"))
    def test_maximum(self, wishes: Holders) -> None:
        """There are as many pairs as can be, all of them wished, and no server twice."""
        pairs = match(wishes)
        self.assertEqual(len(pairs), most_pairs(wishes))
        self.assertEqual(len(set(pairs.values())), len(pairs))
        for share, server in pairs.items():
            self.assertIn(server, wishes[share])

    def test_wishes(self) -> None:
        """Who need not yield gets the best wish."""
        self.assertEqual(match({0: "ABC", 1: "BAC"}), {0: "A", 1: "B"})
        self.assertEqual(match({0: "AB", 1: "A"}), {0: "B", 1: "A"})

    def test_first_come(self) -> None:
        """A later share moves an earlier one, but never takes its place."""
        self.assertEqual(match({0: "A", 1: "A"}), {0: "A"})
        self.assertEqual(set(match({3: "AB", 2: "A", 1: "B"})), {3, 2})

    def test_nothing(self) -> None:
        """Of nothing there are no pairs."""
        self.assertEqual(match({}), {})
        self.assertEqual(match({0: "", 1: ()}), {})

    def test_long_chain(self) -> None:
        """However many shares must move for one more pair, they move."""
        size = 5000
        wishes: dict[int, list[int]] = {n: [n, n + 1] for n in range(size)}
        wishes[size] = [0]
        self.assertEqual(len(match(wishes)), size + 1)


class HappinessTests(SynchronousTestCase):
    """Source: formats, "Happiness"."""

    def test_examples(self) -> None:
        """The documented examples hold."""
        self.assertEqual(happiness({0: "A", 1: "B", 2: "C"}), 3)
        self.assertEqual(happiness({0: "A", 1: "A", 2: "A"}), 1)
        self.assertEqual(happiness({0: "A", 1: "A", 2: "AB", 3: "B"}), 2)
        self.assertEqual(happiness({0: "ABCD"}), 1)

    @given(graphs(6, "ABCDEF"))
    def test_brute_force(self, holders: Holders) -> None:
        """It is the size of a maximum matching."""
        self.assertEqual(happiness(holders), most_pairs(holders))
        self.assertEqual(
            happiness({n: set(s) for n, s in holders.items()}), most_pairs(holders)
        )


@st.composite
def situations(draw: st.DrawFn, shares: int = 6) -> tuple[int, Holders, list[str]]:
    """Return a strategy for the arguments of ``plan``."""
    total = draw(st.integers(1, shares))
    existing = draw(graphs(total, WRITEABLE + READ_ONLY))
    writeable = draw(st.lists(st.sampled_from(WRITEABLE), unique=True))
    return total, existing, writeable


class PlanTests(SynchronousTestCase):
    @given(situations(shares=4))
    def test_best(self, situation: tuple[int, Holders, list[str]]) -> None:
        """No plan makes the file happier."""
        total, existing, writeable = situation
        best = max(
            most_pairs(
                carried_out(
                    existing,
                    {n: server for n, server in enumerate(choice) if server is not None},
                )
            )
            for choice in product([None, *writeable], repeat=total)
        )
        after = carried_out(existing, plan(total, existing, writeable))
        self.assertEqual(most_pairs(after), best)

    @given(situations())
    def test_sound(self, situation: tuple[int, Holders, list[str]]) -> None:
        """
        Only writeable servers get shares of the file, none gets one that it has, and every
        share that exists nowhere is stored if there is a server at all.
        """
        total, existing, writeable = situation
        new = plan(total, existing, writeable)
        for share, server in new.items():
            self.assertIn(share, range(total))
            self.assertIn(server, writeable)
            self.assertNotIn(server, existing.get(share, ()))
        if writeable:
            after = carried_out(existing, new)
            self.assertEqual([n for n in range(total) if not after.get(n)], [])
        else:
            self.assertEqual(new, {})

    @given(situations())
    def test_no_waste(self, situation: tuple[int, Holders, list[str]]) -> None:
        """A share is stored once more only if the file is happier for it."""
        total, existing, writeable = situation
        new = plan(total, existing, writeable)
        after = most_pairs(carried_out(existing, new))
        for share in new:
            if existing.get(share):
                without = {n: server for n, server in new.items() if n != share}
                self.assertLess(most_pairs(carried_out(existing, without)), after)

    @given(situations())
    def test_even(self, situation: tuple[int, Holders, list[str]]) -> None:
        """
        A server has two shares more than another only if it had them, or if moving one
        would make the file less happy.
        """
        total, existing, writeable = situation
        new = plan(total, existing, writeable)
        after = carried_out(existing, new)
        count = loads(after, writeable)
        for share, server in new.items():
            for other in writeable:
                if count[server] - count[other] >= 2 and other not in after[share]:
                    moved = carried_out(existing, {**new, share: other})
                    self.assertLess(most_pairs(moved), most_pairs(after))

    @given(situations())
    def test_done(self, situation: tuple[int, Holders, list[str]]) -> None:
        """When a plan was carried out, nothing is left to do."""
        total, existing, writeable = situation
        after = carried_out(existing, plan(total, existing, writeable))
        self.assertEqual(plan(total, after, writeable), {})

    @given(st.integers(1, 20), st.integers(1, 20))
    def test_new_file(self, total: int, servers: int) -> None:
        """The shares of a new file go around the servers, the early ones first."""
        self.assertEqual(
            plan(total, {}, range(servers)),
            {share: share % servers for share in range(total)},
        )

    def test_early_servers(self) -> None:
        """What is missing goes to the first servers that have nothing yet."""
        self.assertEqual(plan(3, {1: ["B"]}, "ABCDE"), {0: "A", 2: "C"})
        self.assertEqual(plan(2, {0: ["A", "B"]}, "ABC"), {1: "C"})
        self.assertEqual(plan(2, {0: ["A", "B"]}, "AB"), {1: "A"})

    def test_missing_before_copies(self) -> None:
        """A share that exists nowhere gets the last free server, not a second copy."""
        self.assertEqual(plan(3, {0: ["X"], 1: ["X"]}, "A"), {2: "A"})
        self.assertEqual(plan(3, {0: ["X"], 1: ["X"]}, "AB"), {2: "A", 1: "B"})

    @given(situations(), graphs(6, WRITEABLE))
    def test_refusing(
        self, situation: tuple[int, Holders, list[str]], refusing: Holders
    ) -> None:
        """No server gets what it refuses; a share that somebody takes is stored."""
        total, existing, writeable = situation
        new = plan(total, existing, writeable, refusing)
        for share in range(total):
            able = set(writeable) - set(refusing.get(share, ()))
            if share in new:
                self.assertIn(new[share], able)
            self.assertTrue(share in new or existing.get(share) or not able)
        # All of them have another file's shares in the order in which they are asked.
        taken = {share: [server] for share, server in enumerate("ABC")}
        self.assertEqual(sorted(plan(3, {}, "ABC", taken).values()), ["A", "B", "C"])

    def test_read_only_servers_count(self) -> None:
        """A share that a read-only server has too leaves a writeable one free."""
        for holders in ("AX", "XA"):
            existing = {0: list(holders), 1: ["Y"], 2: ["Y"]}
            new = plan(3, existing, "A")
            self.assertEqual(list(new.values()), ["A"])
            self.assertEqual(happiness(carried_out(existing, new)), 3)

    def test_full_servers_get_no_more(self) -> None:
        """All the shares that a server has count, not only one."""
        self.assertEqual(plan(5, {0: ["A"], 1: ["A"], 2: ["A"]}, "AB"), {3: "B", 4: "B"})

    def test_foreign_shares(self) -> None:
        """A share with a number that the file does not have is no share of it."""
        self.assertEqual(plan(1, {7: ["A"]}, "A"), {0: "A"})
        self.assertEqual(plan(2, {0: ["A"], 7: ["B"]}, "AB"), {1: "B"})

    def test_nothing_to_do(self) -> None:
        """There is no plan without a writeable server, or when all is well."""
        self.assertEqual(plan(3, {}, ""), {})
        self.assertEqual(plan(3, {0: ["X"]}, ""), {})
        self.assertEqual(plan(3, {0: ["A"], 1: ["B"], 2: ["C"]}, "ABCDE"), {})
        self.assertEqual(plan(2, {0: ["X"], 1: ["Y"]}, "AB"), {})


class MissingTests(SynchronousTestCase):
    @given(graphs(4, WRITEABLE + READ_ONLY), graphs(6, WRITEABLE))
    @settings(max_examples=150)
    def test_best(self, existing: Holders, refusing: Holders) -> None:
        """
        Missing shares alone are placed, each that anybody takes, none where it is refused,
        and no other places were happier.
        """
        existing = {share: servers for share, servers in existing.items() if servers}
        missing = [share for share in range(6) if share not in existing]
        takers = {
            share: [each for each in WRITEABLE if each not in refusing.get(share, ())]
            for share in missing
        }
        new = plan_missing(missing, existing, WRITEABLE, refusing)
        self.assertEqual(set(new), {share for share in missing if takers[share]})
        for share, server in new.items():
            self.assertIn(server, takers[share])
        after = {**existing, **{share: [server] for share, server in new.items()}}
        self.assertEqual(happiness(after), most_pairs({**existing, **takers}))

    def test_even(self) -> None:
        """More shares than servers are spread over them."""
        new = plan_missing(range(2, 9), {0: ["A"], 1: ["B"]}, "ABC", {})
        self.assertEqual(sorted(Counter([*new.values(), "A", "B"]).values()), [3, 3, 3])


class LargestTests(SynchronousTestCase):
    """256 shares on 256 servers, as many as there can be."""

    def test_fast(self) -> None:
        """Planning takes no time that anybody notices, whatever exists already."""
        everyone = list(range(256))
        situations: list[dict[int, list[int]]] = [
            {},
            {share: [share] for share in everyone},
            dict.fromkeys(everyone, everyone),
            dict.fromkeys(everyone, everyone[:128]),
            {share: everyone[: share + 1] for share in everyone},
            {share: everyone[share:] for share in everyone},
            {share: [0, share] for share in everyone},
            {share: [1000 + share % 5] for share in everyone},
        ]
        for existing in situations:
            begin = time.monotonic()
            new = plan(256, existing, everyone)
            after = {
                share: {*existing.get(share, ()), *([new[share]] if share in new else ())}
                for share in everyone
            }
            self.assertEqual(happiness(after), 256)
            self.assertLess(time.monotonic() - begin, FAST)
