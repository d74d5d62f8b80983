"""Waiting until nothing is under way."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from truckee.flow.under_way import UnderWay


class UnderWayTests(SynchronousTestCase):
    def test_none(self) -> None:
        """Who waits is woken when the last has ended, well, badly or cancelled."""
        under_way = UnderWay()
        self.successResultOf(Deferred.fromCoroutine(under_way.none()))
        works = [Deferred[None]() for _ in range(3)]

        async def work(until: Deferred[None]) -> None:
            with under_way.one():
                await until

        done = [Deferred.fromCoroutine(work(each)) for each in works]
        waiting = [Deferred.fromCoroutine(under_way.none()) for _ in range(2)]
        works[0].callback(None)
        works[1].errback(ValueError())
        self.failureResultOf(done[1], ValueError)
        for each in waiting:
            self.assertNoResult(each)
        done[2].cancel()
        self.failureResultOf(done[2])
        for each in waiting:
            self.successResultOf(each)
