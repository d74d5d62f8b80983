"""Waiting until something is so."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from truckee.flow.changes import Changes


class ChangesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.changes = Changes()
        self.so: list[int] = []

    def wait(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.changes.until(lambda: self.so))

    def test_until(self) -> None:
        """Whoever waits goes on when what it waits for is so, and not at other changes."""
        waiting = [self.wait(), self.wait()]
        self.assertTrue(self.changes.waited_for)
        self.changes.wake()
        for each in waiting:
            self.assertNoResult(each)
        self.so.append(1)
        for each in waiting:
            self.assertNoResult(each)
        self.changes.wake()
        for each in waiting:
            self.successResultOf(each)
        self.assertFalse(self.changes.waited_for)
        self.successResultOf(self.wait())

    def test_fail(self) -> None:
        """After a failure nobody waits; the first reason is told, to all."""
        waiting = self.wait()
        self.changes.fail(KeyError("first"))
        self.changes.fail(ValueError("second"))
        for each in (waiting, self.wait()):
            self.assertIn("first", str(self.failureResultOf(each, KeyError).value))
        self.so.append(1)
        self.successResultOf(self.wait())

    def test_cancelled(self) -> None:
        """One who waits no more does not keep others from going on."""
        gone, stays = self.wait(), self.wait()
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.so.append(1)
        self.changes.wake()
        self.successResultOf(stays)
