"""One delayed call."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from truckee.flow.timer import Timer


class TimerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.timer = Clock(), Timer()
        self.called: list[str] = []

    def start(self, name: str, seconds: float = 2.0) -> None:
        self.timer.start(self.clock.callLater, seconds, lambda: self.called.append(name))

    def test_fires_once(self) -> None:
        """It calls once, and can be started again from within."""

        def again() -> None:
            self.assertFalse(self.timer.running)
            self.start("again")

        self.timer.start(self.clock.callLater, 2, again)
        self.clock.advance(2)
        self.assertTrue(self.timer.running)
        self.clock.advance(2)
        self.assertEqual((self.called, self.timer.running), (["again"], False))

    def test_start_replaces(self) -> None:
        """What was pending is dropped."""
        self.start("first")
        self.start("second")
        self.clock.advance(2)
        self.assertEqual(self.called, ["second"])

    def test_extend(self) -> None:
        """What is pending is moved; where nothing is, nothing happens."""
        self.start("it")
        self.clock.advance(1.5)
        self.timer.extend(2)
        self.clock.advance(1.5)
        self.assertEqual(self.called, [])
        self.clock.advance(0.5)
        self.assertEqual(self.called, ["it"])
        self.timer.extend(2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancel(self) -> None:
        """Nothing is called; before, after and twice are all the same."""
        self.timer.cancel()
        self.start("it")
        self.timer.cancel()
        self.timer.cancel()
        self.clock.advance(3)
        self.assertEqual((self.called, self.timer.running), ([], False))
        self.start("late")
        self.clock.advance(2)
        self.timer.cancel()
        self.assertEqual(self.called, ["late"])
