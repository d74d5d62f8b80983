"""Rates and times that are left, from counts that grow in steps."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.status.pace import WINDOW, Pace

MIB = 1 << 20


class PaceTests(SynchronousTestCase):
    def test_before_the_first_step(self) -> None:
        """Nothing is said before something was done."""
        pace = Pace(100.0)
        pace.note(101.0, 0)
        self.assertEqual((pace.rate(105.0), pace.time_left(105.0, 10)), (None, None))

    def test_steady(self) -> None:
        """At a steady rate the time left is within a fifth after the first tenth."""
        for seed in range(6):
            rng = random.Random(seed)
            rate = rng.choice([100_000, MIB, 30 * MIB])
            # Between 40 segments and thousands, and a while before the first one.
            size, step = rng.randrange(40, 3000) * MIB, MIB
            delay = rng.uniform(0, size / rate / 20)
            pace, end = Pace(0.0), delay + size / rate
            now = 0.0
            while now < end * 0.99:
                now += max(0.05, now / 20) if now < 10 else 0.5
                done = max(0, int((now - delay) * rate)) // step * step
                pace.note(now, done)
                left = pace.time_left(now, size)
                if done * 10 >= size and now < end * 0.9:
                    assert left is not None
                    self.assertLess(abs(left / (end - now) - 1), 0.2, (seed, now, end))

    def test_slower(self) -> None:
        """A change of the rate is believed within the window."""
        pace, done = Pace(0.0), 0
        for second in range(100):
            done += 1000 if second < 50 else 100
            pace.note(second + 1.0, done)
        rate = pace.rate(100.0)
        assert rate is not None
        self.assertLess(abs(rate - 100.0), 1.0)

    def test_stall(self) -> None:
        """While nothing more is done the rate falls, and the time left grows."""
        pace = Pace(0.0)
        for second in range(20):
            pace.note(second + 1.0, 1000 * (second + 1))
        rates = [pace.rate(20.0 + wait) or 0.0 for wait in (0, 1, 2, 10, 100, 1000)]
        self.assertEqual(rates, sorted(rates, reverse=True))
        self.assertEqual(rates[0], rates[1])
        self.assertLess(rates[-1], 20.0)
        left = pace.time_left(1020.0, 40_000)
        assert left is not None
        self.assertGreater(left, 500.0)

    def test_after_a_stall(self) -> None:
        """What goes on after a stall is soon as fast as it is."""
        pace, done = Pace(0.0), 0
        times = [*range(1, 20), *range(200, 300)]
        for second in times:
            done += 1000
            pace.note(float(second), done)
        self.assertLess(abs((pace.rate(299.0) or 0.0) - 1000.0), 1.0)

    def test_all_at_once(self) -> None:
        """Steps that come together say nothing of the rate between them."""
        pace = Pace(0.0)
        pace.note(10.0, 1000)
        pace.note(10.001, 2000)
        self.assertLess(pace.rate(10.001) or 0.0, 201.0)

    @given(
        st.lists(
            st.tuples(st.floats(0, 100), st.integers(0, 10**12)), min_size=1, max_size=50
        ),
        st.floats(0, 1e6),
    )
    def test_any(self, steps: list[tuple[float, int]], wait: float) -> None:
        """Whatever comes, rates and times are finite, and no time is negative."""
        pace, now, done = Pace(0.0), 0.0, 0
        for gap, more in steps:
            now, done = now + gap, done + more
            pace.note(now, done)
        rate, left = pace.rate(now + wait), pace.time_left(now + wait, done + 10**12)
        self.assertEqual(rate is None, done == 0)
        if rate is not None and left is not None:
            self.assertGreater(rate, 0.0)
            self.assertTrue(0.0 <= left < float("inf"))

    def test_bounded(self) -> None:
        """What is older than the window is forgotten."""
        pace = Pace(0.0)
        for number in range(100_000):
            pace.note(number * 0.5, number + 1)
        self.assertLessEqual(len(pace._steps), WINDOW / 0.5 + 2)
