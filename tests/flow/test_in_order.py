"""Tests of truckee.flow.in_order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from truckee.flow.in_order import InOrder


class InOrderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.running: dict[int, Deferred[str]] = {}
        self.results: list[str] = []

    async def count(self, end: int) -> AsyncIterator[int]:
        """Give numbers."""
        for number in range(end):
            yield number

    async def work(self, number: int) -> str:
        """Do it when the test says so."""
        self.running[number] = Deferred()
        try:
            return await self.running[number]
        finally:
            del self.running[number]

    def begin(self, end: int, most: int, ahead: int = 0) -> Deferred[None]:
        """Take all results as they come."""

        async def take() -> None:
            ordered = InOrder(self.count(end), self.work, most, ahead)
            async with aclosing(ordered.results()) as batches:
                async for batch in batches:
                    self.results += batch

        return Deferred.fromCoroutine(take())

    def test_order(self) -> None:
        """What is done first waits for what came before it."""
        done = self.begin(5, 3)
        running = self.running
        self.assertEqual(sorted(running), [0, 1, 2])
        running[2].callback("c")
        running[1].callback("b")
        self.assertEqual((self.results, sorted(running)), ([], [0]))
        running[0].callback("a")
        self.assertEqual((self.results, sorted(running)), (["a", "b", "c"], [3, 4]))
        running[4].callback("e")
        self.assertNoResult(done)
        running[3].callback("d")
        self.assertEqual(self.results, ["a", "b", "c", "d", "e"])
        self.assertIsNone(self.successResultOf(done))

    def test_ahead(self) -> None:
        """Behind one that takes long others are done, a bounded number of them."""
        done = self.begin(9, 2, 3)
        for number in range(1, 5):
            self.assertEqual(sorted(self.running), [0, number])
            self.running[number].callback(str(number))
        self.assertEqual((self.results, sorted(self.running)), ([], [0]))
        self.running[0].callback("0")
        self.assertEqual(self.results, list("01234"))
        for number in range(5, 9):
            self.running[number].callback(str(number))
        self.assertEqual(self.results, list("012345678"))
        self.assertIsNone(self.successResultOf(done))

    def test_failure(self) -> None:
        """The first failure ends the others."""
        done = self.begin(5, 3)
        self.running[1].errback(ZeroDivisionError())
        self.failureResultOf(done, ZeroDivisionError)
        self.assertEqual(self.running, {})

    def test_failing_source(self) -> None:
        async def source() -> AsyncIterator[int]:
            yield 0
            raise ZeroDivisionError

        async def take() -> None:
            ordered = InOrder(source(), self.work, 3)
            async with aclosing(ordered.results()) as batches:
                async for _ in batches:
                    pass

        self.failureResultOf(Deferred.fromCoroutine(take()), ZeroDivisionError)

    def test_cancel(self) -> None:
        done = self.begin(5, 3)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(self.running, {})

    def test_nothing(self) -> None:
        self.assertIsNone(self.successResultOf(self.begin(0, 3)))
