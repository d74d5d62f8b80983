"""Work side by side, ended together."""

from __future__ import annotations

import gc
import sys
import threading
import warnings
from inspect import CORO_CLOSED, getcoroutinestate

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.grids import new_workers, pause, until
from truckee.flow.together import Group, Turns, together


class Oops(Exception):
    """What work fails with."""


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.log: list[str] = []
        self.cleaning: list[Deferred[None]] = []

    def clean_up(self, cleanup: Deferred[None]) -> None:
        """Let the stubborn end."""
        cleanup.callback(None)
        for each in self.cleaning:
            if not each.called:
                each.callback(None)

    async def work(self, name: str, gate: Deferred[None]) -> str:
        """Wait for the gate, and write down how that ended."""
        try:
            await gate
        except CancelledError:
            self.log.append(f"{name} cancelled")
            raise
        self.log.append(f"{name} done")
        return name

    async def quiet(self, name: str, gate: Deferred[None]) -> None:
        await self.work(name, gate)

    async def stubborn(self, name: str, cleanup: Deferred[None]) -> None:
        """Take as long to clean up as the gate."""
        try:
            await Deferred()
        finally:
            while not cleanup.called:
                waiting: Deferred[None] = Deferred()
                self.cleaning.append(waiting)
                try:
                    await waiting
                except CancelledError:
                    continue
            self.log.append(f"{name} cleaned up")


class GroupTests(_Case):
    def test_join(self) -> None:
        """A join waits for all; nothing to wait for is done at once."""
        group = Group()
        self.successResultOf(Deferred.fromCoroutine(group.join()))
        gates: list[Deferred[None]] = [Deferred(), Deferred()]
        for number, gate in enumerate(gates):
            group.start(self.quiet(str(number), gate))
        joined = Deferred.fromCoroutine(group.join())
        for gate in gates:
            self.assertNoResult(joined)
            gate.callback(None)
        self.successResultOf(joined)

    def test_started_while_joined(self) -> None:
        """Work that is started by other work is waited for too."""
        group = Group()
        first: Deferred[None] = Deferred()
        second: Deferred[None] = Deferred()

        async def starts() -> None:
            await first
            group.start(self.quiet("second", second))

        group.start(starts())
        joined = Deferred.fromCoroutine(group.join())
        first.callback(None)
        self.assertNoResult(joined)
        second.callback(None)
        self.successResultOf(joined)

    def test_first_failure(self) -> None:
        """The first failure cancels the others, and is the one that is raised."""
        group = Group()
        gates: list[Deferred[None]] = [Deferred(), Deferred(), Deferred()]
        for number, gate in enumerate(gates):
            group.start(self.quiet(str(number), gate))
        joined = Deferred.fromCoroutine(group.join())
        gates[1].errback(Oops())
        self.failureResultOf(joined, Oops)
        self.assertEqual(sorted(self.log), ["0 cancelled", "2 cancelled"])
        with self.assertRaises(Oops):
            group.check()

    def test_failure_waits_for_all(self) -> None:
        """A join fails when all have ended, not before."""
        group = Group()
        gate: Deferred[None] = Deferred()
        cleanup: Deferred[None] = Deferred()
        group.start(self.stubborn("s", cleanup))
        group.start(self.quiet("q", gate))
        joined = Deferred.fromCoroutine(group.join())
        gate.errback(Oops())
        self.assertNoResult(joined)
        self.clean_up(cleanup)
        self.failureResultOf(joined, Oops)
        self.assertEqual(self.log, ["s cleaned up"])

    def test_failure_from_within(self) -> None:
        """One that ends its own group is cancelled where it waits next."""
        for first_wait in (False, True):
            self.log.clear()
            group = Group()
            gate: Deferred[None] = Deferred()

            async def fail() -> None:
                raise Oops

            async def ends_itself(
                group: Group = group,
                waits: bool = first_wait,
                gate: Deferred[None] = gate,
            ) -> None:
                if waits:
                    await gate
                group.start(fail())
                self.log.append("goes on")
                await self.quiet("itself", Deferred())

            group.start(ends_itself())
            joined = Deferred.fromCoroutine(group.join())
            gate.callback(None)
            self.failureResultOf(joined, Oops)
            self.assertEqual(self.log, ["goes on", "itself cancelled"])
            self.assertEqual(group._running, {})

    def test_cancelled_join(self) -> None:
        """A join that is cancelled cancels all, and ends when they have ended."""
        group = Group()
        cleanup: Deferred[None] = Deferred()
        group.start(self.stubborn("s", cleanup))
        group.start(self.quiet("q", Deferred()))
        joined = Deferred.fromCoroutine(group.join())
        for _ in range(3):
            joined.cancel()
            self.assertNoResult(joined)
        self.assertEqual(self.log, ["q cancelled"])
        self.clean_up(cleanup)
        self.failureResultOf(joined, CancelledError)
        self.assertEqual(group._running, {})

    def test_stop(self) -> None:
        """A stop cancels all, waits for them, and raises none of their errors."""
        group = Group()
        cleanup: Deferred[None] = Deferred()
        group.start(self.stubborn("s", cleanup))
        group.start(self.quiet("q", Deferred()))
        stopped = Deferred.fromCoroutine(group.stop())
        self.assertNoResult(stopped)
        self.clean_up(cleanup)
        self.successResultOf(stopped)
        self.successResultOf(Deferred.fromCoroutine(group.stop()))

    def test_stopped_while_joined(self) -> None:
        """Whoever waits for a group learns of its end, however many do."""
        group = Group()
        cleanup: Deferred[None] = Deferred()
        group.start(self.stubborn("s", cleanup))
        waiting = [Deferred.fromCoroutine(group.join()) for _ in range(2)]
        waiting += [Deferred.fromCoroutine(group.stop()) for _ in range(2)]
        for each in waiting:
            self.assertNoResult(each)
        self.clean_up(cleanup)
        for each in waiting[:2]:
            self.failureResultOf(each, CancelledError)
        for each in waiting[2:]:
            self.successResultOf(each)

    def test_start_after_failure(self) -> None:
        """After a failure work is not begun, and nobody complains about it."""
        group = Group()
        gate: Deferred[None] = Deferred()
        gate.errback(Oops())
        group.start(self.quiet("0", gate))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            group.start(self.quiet("1", Deferred()))
        self.assertEqual(self.log, [])
        self.failureResultOf(Deferred.fromCoroutine(group.join()), Oops)

    def test_collected(self) -> None:
        """Work that nothing will ever wake is closed with its group."""
        told: list[object] = []
        self.patch(sys, "unraisablehook", told.append)
        group = Group()
        work = self.quiet("a", Deferred())
        group.start(work)
        work.close()
        del group, work
        gc.collect()
        self.assertEqual((told, self.log), ([], []))


class TogetherTests(_Case):
    def test_results(self) -> None:
        """The results come in the order of the work, whichever ended first."""
        gates: list[Deferred[None]] = [Deferred(), Deferred(), Deferred()]
        all_of = Deferred.fromCoroutine(
            together(self.work(str(number), gate) for number, gate in enumerate(gates))
        )
        for number in (2, 0, 1):
            self.assertNoResult(all_of)
            gates[number].callback(None)
        self.assertEqual(self.successResultOf(all_of), ["0", "1", "2"])
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(together([]))), [])

    def test_failure(self) -> None:
        """The first failure is raised when the others were cancelled."""
        gates: list[Deferred[None]] = [Deferred(), Deferred(), Deferred()]
        all_of = Deferred.fromCoroutine(
            together(self.work(str(number), gate) for number, gate in enumerate(gates))
        )
        gates[0].callback(None)
        gates[2].errback(Oops())
        self.failureResultOf(all_of, Oops)
        self.assertEqual(self.log, ["0 done", "1 cancelled"])

    def test_failure_at_once(self) -> None:
        """Work behind one that fails at once is closed and not forgotten."""
        gate: Deferred[None] = Deferred()
        gate.errback(Oops())
        behind = [self.work(name, Deferred()) for name in "abc"]
        all_of = Deferred.fromCoroutine(together([self.work("0", gate), *behind]))
        self.failureResultOf(all_of, Oops)
        for each in behind:
            self.assertEqual(getcoroutinestate(each), CORO_CLOSED)
        self.assertEqual(self.log, [])

    def test_cancel(self) -> None:
        """Cancelled, it cancels all of them."""
        all_of = Deferred.fromCoroutine(
            together(self.work(name, Deferred()) for name in "ab")
        )
        all_of.cancel()
        self.failureResultOf(all_of, CancelledError)
        self.assertEqual(self.log, ["a cancelled", "b cancelled"])


class ThreadTests(TestCase):
    timeout = 120

    async def test_cancellation_waits_for_threads(self) -> None:
        """Nothing runs any more, in no thread, when a cancelled group has ended."""
        workers = new_workers(self)
        gate = threading.Event()
        running: list[int] = []

        def work(number: int) -> None:
            running.append(number)
            gate.wait(5)
            running.remove(number)

        all_of = Deferred.fromCoroutine(together(workers.run(work, i) for i in range(3)))
        await until(lambda: len(running) == 3)
        all_of.cancel()
        await pause(0.02)
        self.assertNoResult(all_of)
        gate.set()
        await self.assertFailure(all_of, CancelledError)
        self.assertEqual(running, [])

    async def test_failure_waits_for_threads(self) -> None:
        """Nor when one of them failed."""
        workers = new_workers(self)
        gate = threading.Event()
        running: list[int] = []

        def work() -> None:
            running.append(0)
            gate.wait(5)
            running.clear()

        async def fail() -> None:
            await until(lambda: running)
            raise Oops

        all_of = Deferred.fromCoroutine(together([workers.run(work), fail()]))
        await until(lambda: running)
        await pause(0.05)
        self.assertNoResult(all_of)
        gate.set()
        await self.assertFailure(all_of, Oops)
        self.assertEqual(running, [])


class TurnsTests(_Case):
    def test_order(self) -> None:
        """Whoever comes first, they pass in the order of their numbers."""
        turns = Turns()
        passed: list[int] = []

        async def go(number: int) -> None:
            await turns.wait(number)
            passed.append(number)
            turns.done()

        for number in (3, 1, 4, 0, 2):
            Deferred.fromCoroutine(go(number))
        self.assertEqual(passed, [0, 1, 2, 3, 4])

    def test_cancelled(self) -> None:
        """One who is cancelled while waiting does not pass, and nobody behind does."""
        turns = Turns()
        second = Deferred.fromCoroutine(turns.wait(1))
        third = Deferred.fromCoroutine(turns.wait(2))
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.successResultOf(Deferred.fromCoroutine(turns.wait(0)))
        turns.done()
        self.assertNoResult(third)
