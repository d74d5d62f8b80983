"""Waiting until something is so."""

from __future__ import annotations

import gc

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from truckee.flow.changes import Changes, ending


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

    def test_cancelled_is_forgotten(self) -> None:
        """What is cancelled leaves nothing behind, however long no change comes."""
        waiting = self.wait()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertFalse(self.changes.waited_for)

    def test_cancelled_by_another(self) -> None:
        """One that is woken may cancel those that are woken behind it."""
        waiting = [self.wait() for _ in range(3)]
        waiting[0].addCallback(lambda _: waiting[1].cancel())
        self.so.append(1)
        self.changes.wake()
        self.successResultOf(waiting[0])
        self.failureResultOf(waiting[1], CancelledError)
        self.successResultOf(waiting[2])

    def test_once_within(self) -> None:
        """A change or the end of the time ends the wait; the timer goes with it."""
        clock = Clock()
        for end in (self.changes.wake, lambda: clock.advance(2)):
            waiting = Deferred.fromCoroutine(self.changes.once_within(clock, 2))
            clock.advance(1.5)
            self.assertNoResult(waiting)
            end()
            self.successResultOf(waiting)
            self.assertEqual(clock.getDelayedCalls(), [])
        waiting = Deferred.fromCoroutine(self.changes.once_within(clock, 2))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(clock.getDelayedCalls(), [])


class EndingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ended: list[str] = []

    async def work(self, until: Deferred[None]) -> None:
        with ending(lambda: self.ended.append("ended")):
            await until

    def test_ends(self) -> None:
        """What ends, fails or is cancelled tells so, once."""
        for end in ("callback", "errback", "cancel"):
            self.ended.clear()
            until: Deferred[None] = Deferred()
            working = Deferred.fromCoroutine(self.work(until))
            working.addErrback(lambda failure: failure.trap(KeyError, CancelledError))
            self.assertEqual(self.ended, [])
            {
                "callback": lambda: until.callback(None),  # noqa: B023
                "errback": lambda: until.errback(KeyError()),  # noqa: B023
                "cancel": working.cancel,
            }[end]()
            self.assertEqual(self.ended, ["ended"])

    def test_collected(self) -> None:
        """What is collected tells nobody."""
        Deferred.fromCoroutine(self.work(Deferred()))
        gc.collect()
        self.assertEqual(self.ended, [])
