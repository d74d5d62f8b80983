"""Work that is done once for all who want it."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from truckee.flow.shared import Shared


class Works:
    """Work that is begun, and goes on when told."""

    def __init__(self) -> None:
        self.begun: list[Deferred[str]] = []
        self.cancelled = 0

    async def work(self) -> str:
        self.begun.append(Deferred())
        try:
            return await self.begun[-1]
        except CancelledError:
            self.cancelled += 1
            raise


class SharedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.works = Works()
        self.shared: Shared[str, str] = Shared()

    def ask(self, key: str = "a") -> Deferred[str]:
        return Deferred.fromCoroutine(self.shared.run(key, self.works.work))

    def test_once(self) -> None:
        """Those who ask while it is under way get the one result; the next asks anew."""
        asking = [self.ask() for _ in range(3)]
        self.assertEqual(len(self.works.begun), 1)
        self.works.begun[0].callback("done")
        self.assertEqual([self.successResultOf(each) for each in asking], ["done"] * 3)
        again = self.ask()
        self.assertEqual(len(self.works.begun), 2)
        self.works.begun[1].callback("again")
        self.assertEqual(self.successResultOf(again), "again")

    def test_keys(self) -> None:
        """Different keys are different work."""
        one, other = self.ask("a"), self.ask("b")
        self.works.begun[1].callback("b")
        self.works.begun[0].callback("a")
        self.assertEqual(self.successResultOf(one), "a")
        self.assertEqual(self.successResultOf(other), "b")

    def test_at_once(self) -> None:
        """Work that waits for nothing is done when it is asked for."""

        async def quick() -> str:
            return "quick"

        for _ in range(2):
            asking = Deferred.fromCoroutine(self.shared.run("a", quick))
            self.assertEqual(self.successResultOf(asking), "quick")

    def test_failure(self) -> None:
        """All who wait get its error; who comes then tries again."""
        asking = [self.ask(), self.ask()]
        self.works.begun[0].errback(OSError("no"))
        for each in asking:
            self.failureResultOf(each, OSError)
        self.ask()
        self.assertEqual(len(self.works.begun), 2)

    def test_leaving(self) -> None:
        """One who leaves takes nothing from the others; the last one ends the work."""
        first, second = self.ask(), self.ask()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(self.works.cancelled, 0)
        third = self.ask()
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertNoResult(third)
        third.cancel()
        self.failureResultOf(third, CancelledError)
        self.assertEqual((self.works.cancelled, len(self.works.begun)), (1, 1))
        fourth = self.ask()
        self.works.begun[1].callback("new")
        self.assertEqual(self.successResultOf(fourth), "new")

    def test_leaving_in_the_middle(self) -> None:
        """One who is served can make the next one leave."""
        first, second = self.ask(), self.ask()
        first.addCallback(lambda _: second.cancel())
        self.works.begun[0].callback("done")
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
