"""Tasks and their ids."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from truckee.errors import Misuse
from truckee.status.gate import Gate
from truckee.status.metered import Metered
from truckee.status.progress import Progress
from truckee.status.run import TaskCancelled, run_task
from truckee.status.task import MOST_PAUSE, CannotPause, Hooks, State, Task
from truckee.status.tasks import BadTaskId, TaskIdInUse, TaskLimits, Tasks, UnknownTask

ID = "0123456789abcdef"
DAY = 86400.0


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.limits = TaskLimits(kept=5)
        self.tasks = Tasks(
            self.clock, lambda: 1e9 + self.clock.seconds(), os.urandom, self.limits
        )
        self.calls: list[str] = []

    def begin(self, kind: str = "upload", wanted: str | None = None, **more: Any) -> Task:
        """Return a new task whose hooks are noted."""
        hooks = Hooks(
            lambda: self.calls.append("cancel"),
            lambda: self.calls.append("pause"),
            lambda: self.calls.append("resume"),
        )
        return self.tasks.begin(kind, Progress(**more), hooks, wanted)

    def knows(self, task: Task) -> bool:
        """Tell whether *task* can be found."""
        try:
            return self.tasks.find(task.id) is task
        except UnknownTask:
            return False


class IdTests(_Case):
    def test_made(self) -> None:
        """An id that is made here has 128 bits or more, is URL-safe and in no repr."""
        tasks = [self.begin() for _ in range(100)]
        self.assertEqual(len({task.id for task in tasks}), 100)
        for task in tasks:
            self.assertRegex(task.id, "^[A-Za-z0-9_-]{22,}$")
            self.assertNotIn(task.id, repr(task) + repr(self.tasks))
            self.assertIs(self.tasks.find(task.id), task)
        self.assertEqual([task.number for task in tasks], list(range(1, 101)))

    def test_given(self) -> None:
        """One that the client gives is in use while its task runs, and free then."""
        first = self.begin(wanted=ID)
        with self.assertRaises(TaskIdInUse):
            self.begin(wanted=ID)
        first.end()
        second = self.begin(wanted=ID)
        self.assertIs(self.tasks.find(ID), second)
        self.assertEqual([task.number for task in self.tasks], [2])

    def test_bad(self) -> None:
        """What could be guessed, or is no part of an address, is no id."""
        for wrong in ("", "short", "a" * 15, "a" * 129, "a" * 16 + "/", "é" * 20, " " * 20):
            with self.assertRaises(BadTaskId):
                self.begin(wanted=wrong)
        for right in ("a" * 16, "a" * 128, "A1-_.~" * 4):
            self.begin(wanted=right)

    def test_forgotten(self) -> None:
        """What is over is kept four days if the client chose the id, else an hour."""
        mine, ours = self.begin(wanted=ID), self.begin()
        self.clock.advance(30 * DAY)
        self.assertTrue(self.knows(mine) and self.knows(ours))
        short = self.begin()
        for task in (mine, ours, short):
            task.end()
        self.clock.advance(3601)
        self.assertFalse(self.knows(short))
        # As long as it ran, if that is longer.
        self.assertTrue(self.knows(mine) and self.knows(ours))
        self.clock.advance(30 * DAY)
        self.assertFalse(self.knows(mine) or self.knows(ours))

    def test_collected(self) -> None:
        """Once its holder was told that it is over it is kept a day, once."""
        task = self.begin(wanted=ID)
        task.end()
        self.tasks.told_end(task)
        self.clock.advance(DAY - 1)
        self.tasks.told_end(task)
        self.assertTrue(self.knows(task))
        self.clock.advance(2)
        self.assertFalse(self.knows(task))

    def test_retained(self) -> None:
        """It is kept as long as its holder asks, up to a bound."""
        task, other = self.begin(wanted=ID), self.begin()
        self.tasks.retain(task, 10)
        self.clock.advance(1000)
        task.end()
        self.tasks.told_end(task)
        self.assertTrue(self.knows(task))
        self.clock.advance(11)
        self.assertFalse(self.knows(task))
        other.end()
        self.tasks.retain(other, 1e12)
        self.clock.advance(30 * DAY + 1)
        self.assertFalse(self.knows(other))

    def test_bounded(self) -> None:
        """Of each kind so many are kept, and others do not push them out."""
        upload = self.begin()
        upload.end()
        for _ in range(100):
            self.begin("download").end()
        self.assertTrue(self.knows(upload))
        self.assertEqual(len(list(self.tasks)), 1 + self.limits.kept)
        self.assertEqual([task.number for task in self.tasks.recent(2)], [101, 100, 1])

    def test_forget(self) -> None:
        """Only what is over can be forgotten."""
        task = self.begin()
        self.tasks.forget(task)
        self.assertTrue(self.knows(task))
        task.end()
        self.tasks.forget(task)
        self.assertFalse(self.knows(task))


class ProgressTests(_Case):
    def test_never_falls(self) -> None:
        """An attempt that begins anew does not take back what was told."""
        task = self.begin(size=1000)
        told = []
        for stored in (0, 100, 500, 0, 200, 600, 1000, 1000):
            task.progress.stored = stored
            self.clock.advance(1)
            task.look()
            told.append(task.fraction)
        self.assertEqual(told, [0.0, 0.1, 0.5, 0.5, 0.5, 0.6, 0.999, 0.999])
        task.end("URI:x")
        self.assertEqual((task.fraction, task.time_left, task.cap), (1.0, None, "URI:x"))

    def test_failed(self) -> None:
        """What failed is never whole, however much was stored."""
        task = self.begin(size=1000, stored=1000)
        task.end(error="The disk is full.")
        self.assertEqual((task.fraction, task.state), (0.999, State.FAILED))

    def test_unknown(self) -> None:
        """While the size is not known nobody says how much is left."""
        task = self.begin(stored=100)
        self.clock.advance(1)
        task.look()
        self.assertEqual((task.fraction, task.time_left, task.rate), (None, None, 100.0))
        empty = self.begin(size=0)
        self.assertEqual(empty.fraction, 0.0)
        check = self.begin("check", size=5)
        self.assertEqual(check.fraction, None)

    def test_looked_at_by_itself(self) -> None:
        """The rate is known though nobody asked before."""
        task = self.begin(size=10_000)
        for second in range(5):
            task.progress.stored = (second + 1) * 1000
            self.clock.pump([0.01] * 100)
        self.assertLess(abs((task.rate or 0) - 1000.0), 100)
        self.assertLess(abs((task.time_left or 0) - 5.0), 1.0)
        task.end()
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ActTests(_Case):
    def test_cancel(self) -> None:
        """The hook is called once, and the task is over when its owner says so."""
        task = self.begin()
        over = Deferred.fromCoroutine(task.over())
        task.cancel()
        task.cancel("another reason")
        self.assertEqual(self.calls, ["cancel"])
        self.assertNoResult(over)
        self.assertIs(task.state, State.CANCELLING)
        task.end(error="CancelledError")
        self.successResultOf(over)
        self.assertEqual(
            (task.state, task.error), (State.CANCELLED, "cancelled by request")
        )
        task.cancel()
        self.successResultOf(Deferred.fromCoroutine(task.over()))
        self.assertEqual(self.calls, ["cancel"])

    def test_too_late(self) -> None:
        """What ends well though it was cancelled is done."""
        task = self.begin()
        task.cancel()
        task.end("URI:x")
        self.assertEqual((task.state, task.error, task.cap), (State.DONE, None, "URI:x"))

    def test_waiter_gone(self) -> None:
        """One who waits for the end may go away."""
        task = self.begin()
        over = Deferred.fromCoroutine(task.over())
        over.cancel()
        self.failureResultOf(over, CancelledError)
        task.end()

    def test_pause(self) -> None:
        """A pause ends by itself, and is counted in no rate."""
        task = self.begin(size=100_000)
        for second in range(10):
            task.progress.stored = (second + 1) * 1000
            self.clock.pump([0.1] * 10)
        task.pause()
        task.pause()
        self.assertEqual((task.state, task.phase), (State.PAUSED, "paused"))
        self.assertIsNone(task.time_left)
        self.clock.advance(MOST_PAUSE)
        self.assertIs(task.state, State.RUNNING)
        self.assertEqual(self.calls, ["pause", "resume"])
        for second in range(10):
            task.progress.stored = (second + 11) * 1000
            self.clock.pump([0.1] * 10)
        self.assertLess(abs((task.rate or 0) - 1000.0), 100)
        task.pause()
        task.cancel()
        self.assertEqual(self.calls[2:], ["pause", "resume", "cancel"])
        task.end(error="x")
        with self.assertRaises(CannotPause):
            task.pause()
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class RunTests(_Case):
    """One coroutine as a task."""

    def setUp(self) -> None:
        super().setUp()
        self.steps: list[str] = []
        self.cleaning: Deferred[None] = Deferred()
        self.forever: Deferred[str] = Deferred()
        self.task: Any = None

    def run_it(self, **more: Any) -> Deferred[str]:
        """Return the result of a coroutine that takes its time to clean up."""

        async def work(task: Task) -> str:
            self.task = task
            try:
                return await self.forever
            except Exception:
                self.steps.append("cleaning")
                await self.cleaning
                self.steps.append("clean")
                raise

        progress = Progress()
        return Deferred.fromCoroutine(
            run_task(self.tasks, "upload", None, progress, work, lambda r: r)
        )

    def test_result(self) -> None:
        """Its result is the task's."""
        done = self.run_it()
        self.forever.callback("URI:x")
        self.assertEqual(self.successResultOf(done), "URI:x")
        self.assertEqual((self.task.state, self.task.cap), (State.DONE, "URI:x"))

    def test_error(self) -> None:
        """Our own errors are told in their words, and others not."""
        for error, text in ((Misuse(), "before trying again"), (OSError("/a"), "its log")):
            self.setUp()
            self.cleaning.callback(None)
            done = self.run_it()
            self.forever.errback(error)
            self.failureResultOf(done, type(error))
            self.assertIs(self.task.state, State.FAILED)
            self.assertIn(text, self.task.error.lower())

    def test_cancelled_by_request(self) -> None:
        """Nothing cuts its cleaning short: no second request, and not the client's end."""
        done = self.run_it()
        self.task.cancel()
        self.task.cancel()
        done.cancel()
        done.cancel()
        self.assertNoResult(done)
        self.assertEqual(self.steps, ["cleaning"])
        self.cleaning.callback(None)
        self.assertEqual(self.steps, ["cleaning", "clean"])
        self.failureResultOf(done, TaskCancelled)
        self.assertIs(self.task.state, State.CANCELLED)

    def test_client_gone(self) -> None:
        """It ends with its client, and cleans up too."""
        done = self.run_it()
        done.cancel()
        self.task.cancel()
        self.cleaning.callback(None)
        self.failureResultOf(done, CancelledError)
        self.assertEqual(self.task.error, "the client went away")
        self.assertEqual(self.steps, ["cleaning", "clean"])


class GateTests(SynchronousTestCase):
    def test_gate(self) -> None:
        """Whoever comes while it is shut waits; one who goes away is forgotten."""
        gate = Gate()
        self.successResultOf(Deferred.fromCoroutine(gate.passing()))
        gate.shut()
        one, two = (Deferred.fromCoroutine(gate.passing()) for _ in range(2))
        one.cancel()
        self.failureResultOf(one, CancelledError)
        self.assertNoResult(two)
        gate.open()
        self.successResultOf(two)

    def test_metered(self) -> None:
        """Chunks are counted when they come, and none is asked for while it is shut."""

        class Chunks:
            asked = 0

            def __aiter__(self) -> Chunks:
                return self

            async def __anext__(self) -> bytes:
                self.asked += 1
                return b"12345"

        chunks, progress = Chunks(), Progress()
        metered = Metered(chunks, progress)
        self.successResultOf(Deferred.fromCoroutine(metered.__anext__()))
        self.assertEqual((progress.received, chunks.asked), (5, 1))
        progress.gate.shut()
        waiting = Deferred.fromCoroutine(metered.__anext__())
        self.assertEqual(chunks.asked, 1)
        progress.gate.open()
        self.successResultOf(waiting)
        self.assertEqual((progress.received, chunks.asked), (10, 2))
