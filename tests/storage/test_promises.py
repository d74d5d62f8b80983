"""Space that is promised to shares in progress."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.storage.promises import GRACE, TRUST, Promise, Promises

GIB = 1 << 30


class PromiseTests(SynchronousTestCase):
    def test_grace(self) -> None:
        """At first all of it counts, less what was written."""
        promise = Promise(GIB, 100.0)
        self.assertEqual(promise.owed(100.0), GIB)
        promise.written = 1000
        self.assertEqual(promise.owed(100.0 + GRACE - 1), GIB - 1000)

    def test_trust(self) -> None:
        """After the grace nothing counts for one who wrote nothing, and never too much."""
        promise = Promise(GIB, 100.0)
        self.assertEqual(promise.owed(100.0 + GRACE), 0)
        promise.written = 1000
        self.assertEqual(promise.owed(100.0 + GRACE), TRUST * 1000)
        promise.written = GIB - 10
        self.assertEqual(promise.owed(100.0 + GRACE), 10)
        promise.written = GIB + 10
        self.assertEqual(promise.owed(100.0 + GRACE), 0)

    @settings(max_examples=30)
    @given(st.data())
    def test_sum(self, data: st.DataObject) -> None:
        """The sum is that of all promises, whatever happens to them."""
        promises, there, now = Promises(), list[Promise](), 0.0
        for _ in range(data.draw(st.integers(0, 20))):
            step = data.draw(st.sampled_from(["add", "remove", "write", "wait"]))
            if step == "add":
                there.append(Promise(data.draw(st.integers(0, 1000)), now))
                promises.add(there[-1])
            elif step == "wait":
                now += data.draw(st.sampled_from([2.0, GRACE]))
                promises.owed(now)
            elif there:
                promise = data.draw(st.sampled_from(there))
                if step == "write":
                    promises.wrote(promise, data.draw(st.integers(0, 2000)))
                else:
                    promises.remove(promise)
                    promises.remove(promise)
                    there.remove(promise)
            expected = sum(promise.owed(now) for promise in there)
            self.assertEqual((promises.owed(now), len(promises)), (expected, len(there)))
