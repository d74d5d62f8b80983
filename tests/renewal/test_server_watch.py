"""Tests of truckee.renewal.server_watch."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from truckee.renewal.server_watch import ServerWatch


class WatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.count = 0
        self.watch = ServerWatch(lambda: self.count, self.clock)

    def after(self, hours: float, count: int) -> bool:
        """Return whether it is complete so much later, with *count* servers."""
        self.clock.advance(hours * 3600)
        self.count = count
        self.assertEqual(self.watch.reachable(), count)
        return self.watch.complete()

    def test_start(self) -> None:
        """Servers that connect one after the other are missed by nobody."""
        self.assertTrue(self.after(0, 0))
        self.assertTrue(self.after(0, 3))
        self.assertTrue(self.after(0, 10))

    def test_away(self) -> None:
        """One that goes away is expected back for a day, and not longer."""
        self.after(0, 10)
        self.assertFalse(self.after(1, 9))
        self.assertFalse(self.after(23, 9))
        self.assertTrue(self.after(1, 9))
        self.assertTrue(self.after(1, 9))
        self.assertFalse(self.after(1, 8))

    def test_back(self) -> None:
        """One that comes back may go away for a day again."""
        self.after(0, 10)
        self.assertFalse(self.after(1, 9))
        self.assertTrue(self.after(20, 10))
        self.assertFalse(self.after(1, 9))
        self.assertFalse(self.after(23, 9))
