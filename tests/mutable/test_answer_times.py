"""Tests of truckee.mutable.answer_times."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from truckee.mutable.answer_times import AnswerTimes
from truckee.storage.interfaces import NotConnected
from truckee.storage.limited import TooSlow


class AnswerTimesTests(SynchronousTestCase):
    """Which servers are not waited for."""

    def setUp(self) -> None:
        self.times = AnswerTimes()
        self.server: Any = object()

    def test_nobody_is_silent_at_first(self) -> None:
        self.assertFalse(self.times.is_silent(self.server, 0.0))

    def test_timeout(self) -> None:
        """It counts for five minutes."""
        self.times.failed(self.server, TooSlow("s", 30), 100.0)
        self.assertTrue(self.times.is_silent(self.server, 399.0))
        self.times.forget(399.0)
        self.assertTrue(self.times.is_silent(self.server, 399.0))
        self.times.forget(400.0)
        self.assertFalse(self.times.is_silent(self.server, 100.0))

    def test_answer(self) -> None:
        self.times.failed(self.server, TooSlow("s", 30), 100.0)
        self.times.answered(self.server, 0.1)
        self.assertFalse(self.times.is_silent(self.server, 101.0))

    def test_other_failures(self) -> None:
        """One that is away says so at once, and nobody waits for it."""
        self.times.failed(self.server, TooSlow("s", 30), 100.0)
        self.times.failed(self.server, NotConnected("s"), 101.0)
        self.assertFalse(self.times.is_silent(self.server, 101.0))

    def test_late(self) -> None:
        """What is late depends on how soon answers come."""
        self.assertEqual(self.times.late, 1.0)
        self.times.answered(self.server, 0.5)
        self.assertEqual(self.times.late, 2.0)
