"""Waiting for servers that are expected."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from truckee.grid.arrivals import PATIENCE, Arrivals


class ArrivalsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.arrivals = Arrivals(self.clock)

    def wait(self) -> Deferred[None]:
        """Begin to wait for all."""
        return Deferred.fromCoroutine(self.arrivals.all())

    def test_nobody(self) -> None:
        """Where nobody is expected, nobody is waited for."""
        self.successResultOf(self.wait())

    def test_come(self) -> None:
        """All are waited for, by each who waits, and not longer."""
        self.arrivals.expect("one")
        self.arrivals.expect("two")
        waits = [self.wait(), self.wait()]
        self.arrivals.settled("one")
        for each in waits:
            self.assertNoResult(each)
        self.arrivals.settled("two")
        for each in waits:
            self.successResultOf(each)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_never(self) -> None:
        """One that does not come is waited for once, until its own time is over."""
        self.arrivals.expect("one")
        self.clock.advance(PATIENCE / 2)
        self.arrivals.expect("two")
        wait = self.wait()
        self.clock.advance(PATIENCE / 2)
        self.assertNoResult(wait)
        self.clock.advance(PATIENCE / 2)
        self.successResultOf(wait)
        self.successResultOf(self.wait())

    def test_cancelled(self) -> None:
        """Whoever is cancelled leaves no timer."""
        self.arrivals.expect("one")
        wait = self.wait()
        wait.cancel()
        self.failureResultOf(wait)
        self.assertEqual(self.clock.getDelayedCalls(), [])
