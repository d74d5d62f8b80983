"""How far a command is, in one line."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.cli.counter import Counter


class CounterTests(SynchronousTestCase):
    def test_lines(self) -> None:
        """How many, how fast, which part and for how long still, of this run alone."""
        now = [100.0]
        counter = Counter(1000, now=lambda: now[0])
        counter.begin(0.25)
        now[0] += 10
        self.assertEqual(counter.line(3000), "3,000 objects, 200 a second")
        self.assertEqual(
            counter.line(3000, 0.5), "3,000 objects, 200 a second, 50%, 0:20 left"
        )
        self.assertEqual(counter.line(3000, 0.25), "3,000 objects, 200 a second, 25%")
        now[0] += 10_000
        self.assertEqual(
            counter.line(21_020, 0.5), "21,020 objects, 2 a second, 50%, 5:33:40 left"
        )
