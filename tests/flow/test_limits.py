"""Budgets and single holders."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from truckee.flow.limits import Budget, Exclusive


def take(budget: Budget, amount: int) -> Deferred[None]:
    """Ask for bytes."""
    return Deferred.fromCoroutine(budget.take(amount))


class BudgetTests(SynchronousTestCase):
    def test_take_and_give(self) -> None:
        """What fits is taken at once; what does not waits until it does."""
        budget = Budget(10)
        self.successResultOf(take(budget, 6))
        waiting = take(budget, 5)
        self.assertNoResult(waiting)
        budget.give(6)
        self.successResultOf(waiting)
        self.assertEqual((budget.used, budget.peak), (5, 6))

    def test_hold(self) -> None:
        """What is held is given back, however that ends."""
        budget = Budget(10)

        async def work(gate: Deferred[None]) -> None:
            async with budget.hold(6):
                await gate

        gates = [Deferred[None]() for _ in range(3)]
        first, second, third = (Deferred.fromCoroutine(work(gate)) for gate in gates)
        self.assertEqual(budget.used, 6)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(budget.used, 6)
        gates[0].errback(ValueError())
        self.failureResultOf(first, ValueError)
        self.assertEqual(budget.used, 6)
        gates[2].callback(None)
        self.successResultOf(third)
        self.assertEqual((budget.used, budget.peak), (0, 6))

    def test_order(self) -> None:
        """Those who wait are served in order; a small one passes nobody."""
        budget = Budget(10)
        self.successResultOf(take(budget, 8))
        first, second = take(budget, 5), take(budget, 1)
        self.assertNoResult(first)
        self.assertNoResult(second)
        self.assertFalse(budget.try_take(1))
        budget.give(8)
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(budget.used, 6)

    def test_soon(self) -> None:
        """Those who come soon are served in turns with the others, each in their order."""
        budget, order = Budget(1), list[str]()
        self.successResultOf(take(budget, 1))

        async def work(name: str, soon: bool) -> None:
            await budget.take(1, soon)
            order.append(name)

        for number in range(3):
            Deferred.fromCoroutine(work(f"late {number}", False))
        for number in range(4):
            Deferred.fromCoroutine(work(f"soon {number}", True))
        self.assertFalse(budget.try_take(0))
        for _ in range(7):
            budget.give(1)
        turns = ["soon 0", "late 0", "soon 1", "late 1", "soon 2", "late 2", "soon 3"]
        self.assertEqual(order, turns)
        budget.give(1)
        self.assertEqual(budget.used, 0)

    def test_soon_leaves(self) -> None:
        """One who came soon and leaves has taken nothing either."""
        budget = Budget(10)
        self.successResultOf(take(budget, 8))
        first = Deferred.fromCoroutine(budget.take(5, soon=True))
        second = take(budget, 2)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.successResultOf(second)

    def test_more_than_all(self) -> None:
        """One who asks for more than there is gets it when nobody else has taken any."""
        budget = Budget(10)
        self.successResultOf(take(budget, 1))
        large = take(budget, 100)
        self.assertNoResult(large)
        budget.give(1)
        self.successResultOf(large)
        other = take(budget, 1)
        self.assertNoResult(other)
        budget.give(100)
        self.successResultOf(other)
        budget.give(1)
        self.assertEqual(budget.used, 0)

    def test_reserved(self) -> None:
        """What is reserved counts, and nobody waits for it for ever."""
        budget = Budget(10)
        budget.reserve(25)
        self.assertEqual(budget.used, 25)
        self.successResultOf(take(budget, 3))
        other = take(budget, 1)
        self.assertNoResult(other)
        budget.release(25)
        self.successResultOf(other)
        budget.give(3)
        budget.give(1)
        self.assertEqual(budget.used, 0)

    def test_cancel(self) -> None:
        """One who leaves the queue lets those behind go on, and has taken nothing."""
        budget = Budget(10)
        self.successResultOf(take(budget, 8))
        first, second = take(budget, 5), take(budget, 2)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.successResultOf(second)
        self.assertEqual(budget.used, 10)

    def test_given_back_at_once(self) -> None:
        """However many wait, each may give back at once what it was given."""
        budget = Budget(1)
        self.successResultOf(take(budget, 1))

        async def work() -> None:
            await budget.take(1)
            budget.give(1)

        waiting = [Deferred.fromCoroutine(work()) for _ in range(1000)]
        budget.give(1)
        for each in waiting:
            self.successResultOf(each)
        self.assertEqual((budget.used, budget.peak), (0, 1))

    @given(st.integers(1, 20), st.lists(st.tuples(st.integers(0, 30), st.booleans())))
    def test_everybody_is_served(self, limit: int, wishes: list[tuple[int, bool]]) -> None:
        """All who stay get theirs, within the limit or alone, and all comes back."""
        budget = Budget(limit)
        holding: list[int] = []

        async def wish(amount: int) -> None:
            await budget.take(amount)
            holding.append(amount)

        turns = [
            (Deferred.fromCoroutine(wish(amount)), leaves) for amount, leaves in wishes
        ]
        staying = sum(amount for amount, leaves in wishes if not leaves)
        leavers = [turn for turn, leaves in turns if leaves and not turn.called]
        leaving = sum(amount for amount, leaves in wishes if leaves)
        for turn in leavers:
            turn.cancel()
            turn.addErrback(lambda failure: failure.trap(CancelledError))
        given_back = 0
        while holding:
            self.assertTrue(budget.used <= limit or len([h for h in holding if h]) == 1)
            amount = holding.pop(0)
            given_back += amount
            budget.give(amount)
        self.assertTrue(all(turn.called for turn, _ in turns))
        self.assertTrue(staying <= given_back <= staying + leaving)
        self.assertEqual(budget.used, 0)


class ExclusiveTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.exclusive = Exclusive()
        self.log: list[str] = []

    async def work(self, key: str, name: str, gate: Deferred[None]) -> None:
        async with self.exclusive.hold(key):
            self.log.append(name)
            await gate

    def start(self, key: str, name: str) -> tuple[Deferred[None], Deferred[None]]:
        """Return the work, and the gate that ends it."""
        gate: Deferred[None] = Deferred()
        return Deferred.fromCoroutine(self.work(key, name, gate)), gate

    def test_one_at_a_time(self) -> None:
        """A key has one holder at a time, in the order of asking."""
        works = [self.start("k", name) for name in "abc"]
        for number, (work, gate) in enumerate(works):
            self.assertEqual(self.log, list("abc"[: number + 1]))
            gate.callback(None)
            self.successResultOf(work)
        self.assertEqual(self.exclusive._queues, {})

    def test_keys(self) -> None:
        """Other keys know nothing of it."""
        self.start("k", "a")
        self.start("l", "b")
        self.assertEqual(self.log, ["a", "b"])

    def test_failure(self) -> None:
        """A holder that fails or is cancelled lets the next one go on."""
        first, gate = self.start("k", "a")
        second, _ = self.start("k", "b")
        third, last = self.start("k", "c")
        gate.errback(ValueError())
        self.failureResultOf(first, ValueError)
        self.assertEqual(self.log, ["a", "b"])
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.log, ["a", "b", "c"])
        last.callback(None)
        self.successResultOf(third)
        self.assertEqual(self.exclusive._queues, {})

    def test_leaving_the_queue(self) -> None:
        """One who is cancelled while waiting never holds it, and blocks nobody."""
        first, gate = self.start("k", "a")
        second, _ = self.start("k", "b")
        third, _ = self.start("k", "c")
        second.cancel()
        self.failureResultOf(second, CancelledError)
        gate.callback(None)
        self.successResultOf(first)
        self.assertEqual(self.log, ["a", "c"])
        self.assertNoResult(third)


class ManyTests(SynchronousTestCase):
    def test_thousands_who_end_at_once(self) -> None:
        """However many wait for a key and end at once, they do so one after the other."""
        exclusive, order = Exclusive(), list[int]()
        gate: Deferred[None] = Deferred()

        async def work(number: int) -> None:
            async with exclusive.hold("key"):
                if not number:
                    await gate
                order.append(number)

        all_work = [Deferred.fromCoroutine(work(number)) for number in range(5000)]
        gate.callback(None)
        for each in all_work:
            self.successResultOf(each)
        self.assertEqual(order, list(range(5000)))
        self.successResultOf(Deferred.fromCoroutine(work(1)))
