"""Tests of truckee.renewal.yielding."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from truckee.renewal.yielding import Yielding


class YieldingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.busy = False
        self.yielding = Yielding(lambda: self.busy, self.clock)
        self.through = 0

    def come(self, count: int) -> list[Deferred[None]]:
        """Let so many come."""

        async def one() -> None:
            await self.yielding.turn()
            self.through += 1

        return [Deferred.fromCoroutine(one()) for _ in range(count)]

    def test_alone(self) -> None:
        """Nobody waits while nobody else works."""
        self.come(10)
        self.assertEqual(self.through, 10)

    def test_busy(self) -> None:
        """While others work, one after the other goes on, two a second."""
        self.busy = True
        self.come(4)
        self.assertEqual(self.through, 0)
        self.clock.pump([0.1] * 11)
        self.assertEqual(self.through, 2)
        self.clock.pump([0.1] * 15)
        self.assertEqual(self.through, 4)

    def test_over(self) -> None:
        """When the others are done, all go on at once."""
        self.busy = True
        self.come(4)
        self.clock.advance(0.1)
        self.busy = False
        self.clock.advance(0.1)
        self.assertEqual(self.through, 4)

    def test_cancelled(self) -> None:
        """One that is cancelled makes room for the next one."""
        self.busy = True
        first, second = self.come(2)
        for each in (first, second):
            each.addErrback(lambda _: None)
        first.cancel()
        self.clock.pump([0.1] * 7)
        self.assertEqual(self.through, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
