"""Tests of truckee.renewal.renewals."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.renewal.renewed_forest import DAY, NOW, RenewedForest
from truckee.renewal.plan import RenewedTree
from truckee.renewal.renewals import NotRenewed, Renewals

WEEK = 7 * DAY
TREE = RenewedTree("t", WEEK)


class ScheduleTests(SynchronousTestCase):
    """When passes begin."""

    def setUp(self) -> None:
        self.grid = RenewedForest.new(self)
        self.objects = self.grid.plant("t", 3)
        self.renewed = self.grid.checker.renewed

    def passes(self) -> float:
        """Return how many passes there were."""
        return len(self.renewed) / len(self.objects)

    def test_first(self) -> None:
        """The first pass begins some minutes after the start, and renews all leases."""
        self.grid.start(TREE)
        self.grid.advance(299)
        self.assertEqual(self.renewed, [])
        self.grid.advance(2)
        self.assertEqual(sorted(self.renewed), sorted(self.objects))

    def test_regularly(self) -> None:
        self.grid.start(TREE)
        self.grid.advance(29 * DAY, 600)
        self.assertEqual(self.passes(), 5)

    def test_restarts(self) -> None:
        """A node that starts every day renews once a week, too."""
        for _ in range(29):
            renewals = self.grid.start(TREE)
            self.grid.advance(DAY, 600)
            self.grid.stop(renewals)
        self.assertEqual(self.passes(), 5)

    def test_clock_forward(self) -> None:
        """A jump of the clock forward begins one pass too early, and back none."""
        self.grid.start(TREE)
        self.grid.advance(DAY, 600)
        self.grid.skew = 3650 * DAY
        self.grid.advance(6 * DAY, 600)
        self.assertEqual(self.passes(), 2)
        self.grid.skew = 0
        self.grid.advance(29 * DAY, 600)
        self.assertEqual(self.passes(), 6)

    def test_clock_backward(self) -> None:
        """A clock that was set back by years delays a pass by one interval at most."""
        self.grid.start(TREE)
        self.grid.advance(6 * DAY, 600)
        self.grid.skew = -3650 * DAY
        self.grid.advance(8 * DAY, 600)
        self.assertEqual(self.passes(), 2)

    def test_future_and_restarts(self) -> None:
        """A pass of the future does not silence a node that runs an hour a day."""
        self.grid.skew = 3650 * DAY
        renewals = self.grid.start(TREE)
        self.grid.advance(600)
        self.grid.stop(renewals)
        self.grid.skew = 0
        for _ in range(30):
            renewals = self.grid.start(TREE)
            self.grid.advance(3600)
            self.grid.stop(renewals)
            self.grid.clock.advance(23 * 3600)
        self.assertEqual(self.passes(), 5)

    def test_wrong_until_it_is_set(self) -> None:
        """A machine whose clock begins in 1970 at each start renews no more often."""
        for _ in range(14):
            self.grid.skew = -NOW
            renewals = self.grid.start(TREE)
            self.grid.advance(1200)
            self.grid.skew = 0
            self.grid.advance(DAY - 1200, 600)
            self.grid.stop(renewals)
        self.assertLessEqual(self.passes(), 3)
        self.assertGreaterEqual(self.passes(), 2)

    def test_short_interval(self) -> None:
        """A pass that takes longer than its interval is followed by a rest."""
        self.grid.start(RenewedTree("t", 3600.0))
        self.grid.checker.holds = True
        self.grid.advance(2 * 3600)
        self.grid.checker.release()
        self.assertEqual(self.passes(), 1)
        self.grid.advance(300)
        self.assertEqual(self.passes(), 1)
        self.grid.advance(120)
        self.assertEqual(self.passes(), 2)

    def test_several(self) -> None:
        """Trees have their own intervals, and one is renewed after the other."""
        self.grid.plant("u", 2)
        self.grid.start(TREE, RenewedTree("u", DAY))
        self.grid.advance(8 * DAY + 3600, 600)
        self.assertEqual(len(self.renewed), 2 * 4 + 9 * 3)

    def test_no_trees(self) -> None:
        """Without trees there is nothing to wait for."""
        renewals = self.grid.start()
        self.grid.advance(DAY, 600)
        self.assertEqual(renewals.status(), [])
        self.assertRaises(NotRenewed, renewals.run_now)


class NowTests(SynchronousTestCase):
    """What is wanted at once."""

    def setUp(self) -> None:
        self.grid = RenewedForest.new(self)
        self.objects = self.grid.plant("t", 3)
        self.grid.plant("u", 0)
        self.renewals: Renewals = self.grid.start(TREE, RenewedTree("u", WEEK))
        self.renewed = self.grid.checker.renewed

    def test_all(self) -> None:
        self.renewals.run_now()
        self.grid.clock.advance(0)
        self.assertEqual(len(self.renewed), 5)

    def test_one(self) -> None:
        """One alone; the others come when they are due, and it a week later."""
        self.renewals.run_now("t")
        self.grid.clock.advance(0)
        self.assertEqual(len(self.renewed), 4)
        self.grid.advance(DAY, 600)
        self.assertEqual(len(self.renewed), 5)
        self.grid.advance(7 * DAY, 600)
        self.assertEqual(len(self.renewed), 10)

    def test_unknown(self) -> None:
        error = self.assertRaises(NotRenewed, self.renewals.run_now, "v")
        self.assertIn("t, u", str(error))

    def test_twice(self) -> None:
        """While a pass is under way, none is begun after it."""
        self.grid.checker.holds = True
        self.renewals.run_now("t")
        self.grid.clock.advance(0)
        self.renewals.run_now("t")
        self.grid.checker.release()
        self.grid.advance(60)
        self.assertEqual(self.renewed.count(self.objects[1]), 1)

    def test_cancel(self) -> None:
        """One that is cancelled is not continued; where none runs, nothing happens."""
        self.renewals.cancel()
        self.grid.checker.holds = True
        self.renewals.run_now("t")
        self.grid.clock.advance(0)
        self.renewals.cancel("u")
        self.assertTrue(self.renewals.status()[0].running)
        self.renewals.cancel("t")
        self.grid.checker.release()
        first, _ = self.renewals.status()
        self.assertEqual((first.running, first.now, first.last), (False, None, None))
        self.assertEqual(first.next_at, NOW + WEEK)
        self.assertRaises(NotRenewed, self.renewals.cancel, "v")

    def test_status(self) -> None:
        """It is known when a tree comes next, and what became of it."""
        first, _ = self.renewals.status()
        self.assertEqual((first.alias, first.running, first.last), ("t", False, None))
        self.assertEqual(first.next_at, NOW + 300)
        self.renewals.run_now("t")
        self.grid.clock.advance(0)
        first, _ = self.renewals.status()
        assert first.last is not None
        self.assertEqual(first.last.counts.objects, 4)
        self.assertEqual(first.next_at, NOW + WEEK)

    def test_stop(self) -> None:
        """A node that stops in a pass leaves no call behind, and goes on after it."""
        self.grid.checker.holds = True
        self.renewals.run_now("t")
        self.grid.clock.advance(0)
        self.assertTrue(self.renewals.status()[0].running)
        self.grid.stop(self.renewals)
        self.grid.checker.release()
        self.grid.tasks.stop()
        self.assertEqual(self.grid.clock.getDelayedCalls(), [])
        self.assertEqual([task.state.value for task in self.grid.tasks], ["cancelled"])
        again = self.grid.start(TREE)
        self.assertIsNotNone(again.status()[0].now)
        self.grid.advance(301)
        self.assertEqual(len(self.renewed), 4)
