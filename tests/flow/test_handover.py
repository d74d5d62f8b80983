"""From threads to the event loop."""

from __future__ import annotations

import threading
from functools import partial

from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.flow.busy_reactor import BusyReactor
from tests.grids import REACTOR, until
from truckee.flow.handover import Handover


class HandoverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.busy = BusyReactor()
        self.handover = Handover(self.busy)
        self.done: list[int] = []

    def give(self, *numbers: int) -> None:
        """Hand over work that notes a number."""
        for number in numbers:
            self.handover.give(partial(self.done.append, number))

    def look(self) -> None:
        """Let the reactor do what it was woken for; it was woken once."""
        [call] = self.busy.calls
        self.busy.calls.clear()
        call()

    def test_woken_once(self) -> None:
        """What is given while the reactor is busy wakes it once, and is done in order."""
        self.give(*range(20))
        self.assertEqual((len(self.busy.calls), self.done), (1, []))
        self.look()
        self.assertEqual(self.done, list(range(20)))
        self.give(20)
        self.look()
        self.assertEqual(self.done, list(range(21)))

    def test_given_meanwhile(self) -> None:
        """What is given while the reactor looks wakes it again, and comes last."""
        self.handover.give(partial(self.give, 2))
        self.give(1)
        self.look()
        self.assertEqual(self.done, [1])
        self.look()
        self.assertEqual(self.done, [1, 2])

    def test_error(self) -> None:
        """Work that fails is logged, and does not keep the rest from being done."""
        self.give(1)
        for error in (ValueError("no"), SystemExit(1)):
            self.handover.give(partial(_fail, error))
        self.give(2)
        self.look()
        self.assertEqual(self.done, [1, 2])
        self.assertEqual(len(self.flushLoggedErrors(ValueError, SystemExit)), 2)
        self.give(3)
        self.look()
        self.assertEqual(self.done, [1, 2, 3])


class ThreadTests(TestCase):
    timeout = 120

    async def test_threads(self) -> None:
        """Work of many threads is all done where the reactor runs, in the order of each."""
        handover = Handover(REACTOR)
        done: list[tuple[int, int, threading.Thread]] = []
        threads, each = 4, 5000

        def note(thread: int, number: int) -> None:
            done.append((thread, number, threading.current_thread()))

        def give(thread: int) -> None:
            for number in range(each):
                handover.give(partial(note, thread, number))

        for thread in range(threads):
            threading.Thread(target=give, args=(thread,)).start()
        await until(lambda: len(done) == threads * each)
        for thread in range(threads):
            numbers = [number for giver, number, _ in done if giver == thread]
            self.assertEqual(numbers, list(range(each)))
        self.assertEqual({where for *_, where in done}, {threading.main_thread()})


def _fail(error: BaseException) -> None:
    raise error
