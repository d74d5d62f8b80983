"""Tests of truckee.tree.merged_changes."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from truckee.tree.merged_changes import Asked, MergedChanges


class MergeTests(SynchronousTestCase):
    """Writes that end when the test lets them."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.merged: MergedChanges[str, int] = MergedChanges(self.write, self.clock)
        self.written: list[tuple[str, list[int]]] = []
        self.ends: list[Deferred[None]] = []

    async def write(self, key: str, asked: list[Asked[int]]) -> None:
        self.written.append((key, [each.change for each in asked]))
        for each in asked:
            each.error = KeyError(each.change) if each.change < 0 else None
        end: Deferred[None] = Deferred()
        self.ends.append(end)
        await end

    def make(self, change: int, key: str = "a") -> Deferred[None]:
        return Deferred.fromCoroutine(self.merged.make(key, change))

    def end(self, error: Exception | None = None) -> None:
        """End the write under way, and let the next one begin."""
        end = self.ends.pop(0)
        end.callback(None) if error is None else end.errback(error)
        self.clock.advance(0.05)

    def test_together(self) -> None:
        """Those that come while one is written are written together."""
        done = [self.make(number) for number in range(4)]
        self.assertEqual(self.written, [("a", [0])])
        self.end()
        self.assertEqual(self.written[1:], [("a", [1, 2, 3])])
        self.assertEqual([each.called for each in done], [True, False, False, False])
        self.end()
        for each in done:
            self.successResultOf(each)

    def test_own_errors(self) -> None:
        """What is wrong with one is raised for that one."""
        first, good, bad = self.make(0), self.make(1), self.make(-2)
        self.end()
        self.end()
        self.successResultOf(first)
        self.successResultOf(good)
        self.failureResultOf(bad, KeyError)

    def test_common_error(self) -> None:
        """A write that fails has failed for all in it, and for nobody else."""
        done = [self.make(number) for number in range(3)]
        self.end()
        self.end(OSError())
        self.successResultOf(done[0])
        self.failureResultOf(done[1], OSError)
        self.failureResultOf(done[2], OSError)
        again = self.make(4)
        self.end()
        self.successResultOf(again)

    def test_interval(self) -> None:
        """A write begins 50 ms after the one before, of the same thing, at the earliest."""
        self.make(1)
        self.ends.pop().callback(None)
        self.make(2)
        self.make(3, "b")
        self.assertEqual(self.written, [("a", [1]), ("b", [3])])
        self.clock.advance(0.04)
        self.assertEqual(len(self.written), 2)
        self.clock.advance(0.011)
        self.assertEqual(self.written[2:], [("a", [2])])

    def test_leaving(self) -> None:
        """Who leaves before its turn has changed nothing; others are not disturbed."""
        first, second, third = (self.make(number) for number in (1, 2, 3))
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.end()
        self.assertEqual(self.written[1:], [("a", [3])])
        self.end()
        self.successResultOf(first)
        self.successResultOf(third)

    def test_all_leave(self) -> None:
        """What nobody waits for any more is not written, and the next one begins anew."""
        first, second = self.make(1), self.make(2)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        third = self.make(3)
        self.end()
        self.assertEqual(self.written[1:], [("a", [3])])
        self.end()
        self.successResultOf(first)
        self.successResultOf(third)
        self.assertEqual(self.merged._waiting, {})
