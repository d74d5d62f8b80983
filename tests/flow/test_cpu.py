"""Other threads."""

from __future__ import annotations

import gc
import threading
import weakref

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from tests.flow.busy_reactor import BusyReactor
from tests.grids import REACTOR, new_workers, pause, until
from truckee.flow.cpu import Workers
from truckee.flow.together import together


class Thing:
    """Something that can be seen to be gone."""


class WorkersTests(TestCase):
    timeout = 120

    async def test_result(self) -> None:
        """What the work returns in another thread is returned here."""
        workers = new_workers(self)

        def work(a: int, *, b: int) -> tuple[int, bool]:
            return a + b, threading.current_thread() is threading.main_thread()

        self.assertEqual(await workers.run(work, 1, b=2), (3, False))

    async def test_error(self) -> None:
        """What the work raises is raised here."""
        workers = new_workers(self)
        with self.assertRaises(ZeroDivisionError):
            await workers.run(lambda: 1 // 0)
        with self.assertRaises(SystemExit):
            await workers.run(lambda: (_ for _ in ()).throw(SystemExit(1)))
        self.assertEqual(await workers.run(int), 0)

    async def test_exception_as_a_result(self) -> None:
        """An exception that is returned is not raised."""
        workers = new_workers(self)
        error = ValueError()
        self.assertIs(await workers.run(lambda: error), error)

    async def test_side_by_side(self) -> None:
        """As many works run at once as there are threads."""
        workers = new_workers(self, threads=3)
        barrier = threading.Barrier(3)
        places = await together(workers.run(barrier.wait, 5) for _ in range(3))
        self.assertEqual(sorted(places), [0, 1, 2])

    async def test_cancelled_keeps_nothing(self) -> None:
        """What a cancelled work got and returned is free at once, without a collection."""
        workers = new_workers(self)
        started, gate = threading.Event(), threading.Event()
        seen: list[weakref.ref[Thing]] = []

        def work(thing: Thing) -> Thing:
            started.set()
            gate.wait(5)
            result = Thing()
            seen.extend(map(weakref.ref, (thing, result)))
            return result

        gc.disable()
        self.addCleanup(gc.enable)
        running = Deferred.fromCoroutine(workers.run(work, Thing()))
        await until(started.is_set)
        running.cancel()
        gate.set()
        await self.assertFailure(running, CancelledError)
        await workers.run(int)
        del running
        await until(lambda: [each() for each in seen] == [None, None])

    async def test_cancel_waits_for_the_thread(self) -> None:
        """Cancelled once or more often, nothing goes on before the thread has ended."""
        workers = new_workers(self)
        started, gate, ended = threading.Event(), threading.Event(), threading.Event()

        def work() -> None:
            started.set()
            gate.wait(5)
            ended.set()

        for times in (1, 3):
            for event in (started, gate, ended):
                event.clear()
            running = Deferred.fromCoroutine(workers.run(work))
            await until(started.is_set)
            for _ in range(times):
                running.cancel()
                await pause()
            self.assertNoResult(running)
            gate.set()
            await self.assertFailure(running, CancelledError)
            self.assertTrue(ended.is_set())

    async def test_cancelled_and_failed(self) -> None:
        """Work that fails after it was cancelled was cancelled."""
        workers = new_workers(self)
        gate = threading.Event()

        def work() -> None:
            gate.wait(5)
            raise ValueError

        running = Deferred.fromCoroutine(workers.run(work))
        running.cancel()
        gate.set()
        await self.assertFailure(running, CancelledError)

    async def test_nothing_is_kept(self) -> None:
        """When work is done, no thread keeps what it was given."""
        workers = new_workers(self)
        thing = Thing()
        gone = weakref.ref(thing)
        await workers.run(lambda given: None, thing)
        del thing
        await until(lambda: gone() is None)

    async def test_stop_finishes_what_is_queued(self) -> None:
        """A stop returns when all that was queued is done."""
        workers = Workers(REACTOR, 1, "test")
        workers.start()
        done: list[int] = []
        running = [Deferred.fromCoroutine(workers.run(done.append, i)) for i in range(50)]
        workers.stop()
        self.assertEqual(done, list(range(50)))
        for each in running:
            await each

    async def test_woken_once(self) -> None:
        """Works that end while the reactor is busy wake it once, and are told in order."""
        busy = BusyReactor()
        workers = Workers(busy, 1, "test")
        workers.start()
        told: list[int] = []
        running = [Deferred.fromCoroutine(workers.run(int, str(i))) for i in range(20)]
        for each in running:
            each.addCallback(told.append)
        workers.stop()
        self.assertEqual((len(busy.calls), told), (1, []))
        busy.calls.pop()()
        self.assertEqual(told, list(range(20)))
        workers.start()
        last = Deferred.fromCoroutine(workers.run(int))
        workers.stop()
        busy.calls.pop()()
        self.assertEqual(self.successResultOf(last), 0)
