"""Tests of truckee.renewal.tree_renewal."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.renewal.renewed_forest import DAY, RenewedForest
from tests.tree.forest import directory, file
from truckee.immutable.repair import NotTheSame
from truckee.renewal.one_pass import MAX_MISSING
from truckee.renewal.plan import RenewedTree
from truckee.renewal.renewals import Renewals
from truckee.renewal.state import Pass
from truckee.renewal.tree_renewal import RenewalStatus

TREE = RenewedTree("t", 7 * DAY)


class RenewalTests(SynchronousTestCase):
    """Passes over one tree."""

    repair = False

    def setUp(self) -> None:
        self.grid = RenewedForest.new(self, repair=self.repair)
        self.checker = self.grid.checker
        self.objects = self.grid.plant("t", 100)

    def begin(self) -> Renewals:
        """Start a node, and a pass."""
        renewals = self.grid.start(TREE)
        renewals.run_now()
        self.grid.clock.advance(0)
        return renewals

    def status(self, renewals: Renewals) -> RenewalStatus:
        [status] = renewals.status()
        return status

    def last(self, renewals: Renewals) -> Pass:
        """Return the last pass, which came to its end."""
        last = self.status(renewals).last
        assert last is not None
        return last

    def saved(self) -> Any:
        """Return what is on disk."""
        return json.loads((self.grid.place / "renewal" / "t.json").read_bytes())

    def problems(self) -> str:
        """Return the problems of the node."""
        return " ".join(problem.text for problem in self.grid.problems)


class ReportTests(RenewalTests):
    """What a pass says of what it found."""

    def test_healthy(self) -> None:
        last = self.last(self.begin())
        self.assertEqual(len(self.checker.renewed), 101)
        counts = last.counts
        self.assertEqual((counts.objects, counts.checked, counts.unhealthy), (101, 101, 0))
        self.assertEqual(self.problems(), "")

    def test_unhealthy(self) -> None:
        """It is listed with its path, and a problem of the node until it is healthy."""
        self.checker.shares[self.objects[3]] = 7
        self.checker.shares[self.objects[5]] = 2
        renewals = self.begin()
        last = self.last(renewals)
        self.assertEqual((last.counts.unhealthy, last.counts.lost), (2, 1))
        self.assertEqual([each.path for each in last.unhealthy], [("f002",), ("f004",)])
        self.assertIn("7 of 10 shares are good", last.unhealthy[0].reason)
        self.assertIn("cannot be read", last.unhealthy[1].reason)
        self.assertIn("2 of 101 objects below the alias t", self.problems())
        self.assertNotIn("f002", self.problems())
        self.checker.shares.clear()
        renewals.run_now()
        self.grid.clock.advance(0)
        self.assertEqual(self.problems(), "")
        self.assertEqual(self.last(renewals).unhealthy, [])

    def test_known_after_a_restart(self) -> None:
        self.checker.shares[self.objects[3]] = 7
        self.grid.stop(self.begin())
        self.grid.problems.resolve("renewal of t")
        self.grid.start(TREE)
        self.assertIn("1 of 101 objects", self.problems())

    def test_lost(self) -> None:
        """An object that no server has is lost, since of others they have something."""
        self.checker.shares[self.objects[3]] = 0
        counts = self.last(self.begin()).counts
        self.assertEqual((counts.objects, counts.unhealthy, counts.lost), (101, 1, 1))

    def test_unreadable_directory(self) -> None:
        """It is listed, and the rest of the tree is renewed."""
        self.grid.forest.plant("gone", {"x": file("x")})
        self.grid.forest.plant("t", {"d": directory("gone"), "e": file("e")})
        self.grid.forest.uproot("gone")
        last = self.last(self.begin())
        self.assertEqual((last.counts.unreadable, last.counts.objects), (1, 3))
        self.assertEqual([each.path for each in last.unhealthy], [("d",)])

    def test_not_confirmed(self) -> None:
        """Servers that do not renew are counted, and make nothing unhealthy."""
        self.checker.unwilling.add(self.objects[4])
        counts = self.last(self.begin()).counts
        self.assertEqual((counts.unrenewed, counts.unhealthy), (1, 0))

    def test_what_has_no_shares(self) -> None:
        """What is in its cap, or unknown, is counted and not checked."""
        children = {"lit": "URI:LIT:nbuq", "new": "x-future:1", "d": "URI:DIR2-LIT:"}
        self.grid.forest.plant("t", children)
        counts = self.last(self.begin()).counts
        self.assertEqual((counts.objects, counts.checked), (4, 1))

    def test_private(self) -> None:
        """What is on disk has no cap in it."""
        self.checker.shares[self.objects[3]] = 7
        self.begin()
        self.assertNotIn("URI:", json.dumps(self.saved()))


class RepairTests(RenewalTests):
    """Passes that repair."""

    repair = True

    def test_repaired(self) -> None:
        """It is mended and counted, and not listed."""
        self.checker.shares[self.objects[3]] = 7
        last = self.last(self.begin())
        self.assertEqual((last.counts.repaired, last.counts.unhealthy), (1, 0))
        self.assertEqual(last.unhealthy, [])

    def test_server_away(self) -> None:
        """While a server is away that was there, its shares are not made again."""
        renewals = self.begin()
        self.grid.servers = 9
        self.checker.shares[self.objects[3]] = 9
        self.grid.advance(60)
        renewals.run_now()
        self.grid.clock.advance(0)
        last = self.last(renewals)
        self.assertEqual((last.counts.repaired, last.counts.unhealthy), (0, 1))
        self.assertIn("not repaired, since a server went away", last.unhealthy[0].reason)
        self.grid.advance(DAY + 1200)
        renewals.run_now()
        self.grid.clock.advance(0)
        counts = self.last(renewals).counts
        self.assertEqual((counts.repaired, counts.unhealthy), (1, 0))

    def test_failed(self) -> None:
        """A repair that cannot be is listed with the reason, and the leases are renewed."""
        self.checker.shares[self.objects[3]] = 7
        self.checker.errors[self.objects[3]] = NotTheSame()
        last = self.last(self.begin())
        self.assertEqual((last.counts.repaired, last.counts.unhealthy), (0, 1))
        self.assertIn("another program made them", last.unhealthy[0].reason)


class OutageTests(RenewalTests):
    """Passes that do not come to their end."""

    def test_no_servers(self) -> None:
        """Without servers nothing is looked at; with them it goes on, soon."""
        self.grid.servers = 0
        renewals = self.begin()
        self.assertEqual(self.checker.renewed, [])
        self.assertEqual(self.status(renewals).failures, 1)
        self.grid.servers = 10
        self.grid.advance(61)
        self.assertEqual(self.last(renewals).counts.objects, 101)
        self.assertEqual(self.status(renewals).failures, 0)

    def test_backoff(self) -> None:
        """It waits longer each time, at most about an hour, and is a problem."""
        self.grid.servers = 0
        renewals = self.begin()
        self.assertEqual(self.problems(), "")
        self.grid.advance(DAY)
        self.assertLess(self.status(renewals).failures, 32)
        self.assertGreater(self.status(renewals).failures, 20)
        self.assertIn("No storage server can be reached", self.problems())
        self.grid.servers = 10
        self.grid.advance(3700)
        self.assertEqual(self.problems(), "")
        self.assertEqual(self.last(renewals).counts.objects, 101)

    def test_outage_in_the_middle(self) -> None:
        """What was not found meanwhile is not taken for lost, and is looked at again."""
        self.checker.holds = True
        renewals = self.begin()
        self.checker.away = True
        self.checker.release()
        self.assertIn("nothing of", self.status(renewals).error)
        self.checker.away = False
        self.grid.advance(61)
        counts = self.last(renewals).counts
        self.assertEqual((counts.objects, counts.unhealthy), (101, 0))

    def test_outage_at_the_end(self) -> None:
        """So it is when the grid goes away in front of the last few objects."""
        self.grid.plant("t", 5)
        self.checker.holds = True
        renewals = self.begin()
        self.checker.away = True
        self.checker.release()
        self.assertIn("nothing of 6 objects", self.status(renewals).error)
        self.checker.away = False
        self.grid.advance(61)
        self.assertEqual(self.last(renewals).counts.unhealthy, 0)

    def test_servers_go(self) -> None:
        """Nothing is lost because the last server went away while it was looked at."""
        self.checker.holds = True
        renewals = self.begin()
        self.checker.away, self.grid.servers = True, 0
        self.checker.release()
        self.checker.away, self.grid.servers = False, 10
        self.grid.advance(61)
        self.assertEqual(self.last(renewals).counts.unhealthy, 0)

    def test_really_lost(self) -> None:
        """What stays away while servers are there is lost, and the rest is renewed."""
        for each in self.objects[10 : 20 + MAX_MISSING]:
            self.checker.shares[each] = 0
        renewals = self.begin()
        self.assertEqual(self.status(renewals).failures, 1)
        self.grid.advance(3600)
        counts = self.last(renewals).counts
        self.assertEqual((counts.objects, counts.lost), (101, 10 + MAX_MISSING))

    def test_root(self) -> None:
        """A root that cannot be read is no empty tree."""
        self.grid.forest.uproot("t")
        renewals = self.begin()
        self.grid.advance(600)
        self.assertIsNone(self.status(renewals).last)
        self.assertIn("are not renewed", self.problems())
        self.grid.plant("t", 5)
        self.grid.advance(3600)
        self.assertEqual(self.last(renewals).counts.objects, 6)


class ContinueTests(RenewalTests):
    """Passes of more than one process."""

    def interrupt(self, count: int) -> None:
        """Stop a node when it is behind so many objects."""
        self.grid.busy = True  # two objects a second
        renewals = self.begin()
        while len(self.checker.renewed) < count:
            self.grid.clock.advance(0.1)
        self.grid.stop(renewals)
        self.grid.busy = False

    def test_continues(self) -> None:
        """A pass goes on where it was, and counts each object once."""
        self.interrupt(30)
        self.assertTrue(self.saved()["cursor"])
        before = len(self.checker.renewed)
        renewals = self.begin()
        counts = self.last(renewals).counts
        self.assertEqual((counts.objects, counts.checked), (101, 101))
        self.assertLessEqual(len(self.checker.renewed), 101 + 8)
        self.assertGreater(len(self.checker.renewed) - before, 60)

    def test_killed(self) -> None:
        """The same when the last thing that it wrote is some seconds old."""
        self.grid.busy = True
        renewals = self.begin()
        while len(self.checker.renewed) < 30:
            self.grid.clock.advance(0.1)
        saved = (self.grid.place / "renewal" / "t.json").read_bytes()
        self.grid.stop(renewals)
        self.grid.busy = False
        (self.grid.place / "renewal" / "t.json").write_bytes(saved)
        self.assertEqual(self.last(self.begin()).counts.objects, 101)
        self.assertLessEqual(len(self.checker.renewed), 101 + 12)

    def test_damaged(self) -> None:
        """With a damaged file it begins anew."""
        self.interrupt(30)
        (self.grid.place / "renewal" / "t.json").write_bytes(b"{")
        self.assertEqual(self.last(self.begin()).counts.objects, 101)

    def test_another_directory(self) -> None:
        """When the alias is another directory, its pass begins at its root."""
        self.interrupt(30)
        self.grid.plant("u", 7)
        self.grid.caps["t"] = self.grid.caps["u"]
        self.assertEqual(self.last(self.begin()).counts.objects, 8)

    def test_lost_way(self) -> None:
        """When what is in front of the cursor cannot be read any more, it begins anew."""
        forest = self.grid.forest
        inner = {f"f{number}": file(f"d{number}") for number in range(20)}
        forest.plant("d", inner)
        forest.plant("t", {"a": directory("d"), "b": directory("e")})
        forest.plant("e", {f"f{number}": file(f"e{number}") for number in range(20)})
        self.interrupt(30)
        forest.uproot("d")
        renewals = self.begin()
        self.assertEqual(self.status(renewals).failures, 1)
        self.grid.advance(2 * 3600)
        last = self.last(renewals)
        self.assertEqual((last.counts.objects, last.counts.unreadable), (23, 1))

    def test_cancelled(self) -> None:
        """A pass that is cancelled is not continued; the next one comes when it is due."""
        self.grid.busy = True
        renewals = self.begin()
        self.grid.advance(5, 0.1)
        [task] = self.grid.tasks.active()
        self.assertEqual((task.kind, task.progress.phase), ("renewal", "renewing"))
        self.assertGreater(task.progress.objects, 3)
        task.cancel()
        self.grid.busy = False
        self.grid.advance(60)
        status = self.status(renewals)
        self.assertEqual((status.now, status.last, status.failures), (None, None, 0))
        self.grid.advance(6 * DAY, 600)
        self.assertIsNone(self.status(renewals).last)
        self.grid.advance(DAY, 600)
        self.assertEqual(self.last(renewals).counts.objects, 101)

    def test_full_disk(self) -> None:
        """Where nothing can be written, leases are renewed all the same."""
        (self.grid.place / "renewal").write_bytes(b"in the way")
        renewals = self.begin()
        self.assertEqual(self.last(renewals).counts.objects, 101)
        [problem] = self.grid.problems
        self.assertEqual(problem.name, "private/renewal/t.json")
        (self.grid.place / "renewal").unlink()
        renewals.run_now()
        self.grid.clock.advance(0)
        self.assertEqual(self.problems(), "")
