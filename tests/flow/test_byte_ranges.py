"""Ranges of bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.flow.byte_ranges import ByteRanges

SIZE = 40
PLACES = st.integers(0, SIZE)
STEPS = st.lists(st.tuples(st.booleans(), PLACES, PLACES), max_size=30)


class ByteRangesTests(SynchronousTestCase):
    @given(STEPS, PLACES, PLACES)
    def test_as_a_set(self, steps: list[tuple[bool, int, int]], a: int, b: int) -> None:
        """They are what a set of bytes would be, in as few ranges as there can be."""
        ranges, there = ByteRanges(), set[int]()
        for is_cut, first, second in steps:
            if is_cut:
                ranges.cut(first)
                there &= set(range(first))
            else:
                ranges.add(first, second)
                there |= set(range(first, second))
        self.assertEqual({byte for s, e in ranges for byte in range(s, e)}, there)
        flat = [place for pair in ranges for place in pair]
        self.assertEqual(flat, sorted(set(flat)))
        self.assertEqual(ranges.lowest, min(there, default=None))
        end = a
        while end in there:
            end += 1
        self.assertEqual(ranges.end_from(a), end)
        runs = list(ranges.runs(a, b))
        self.assertEqual([x for s, e, _ in runs for x in range(s, e)], list(range(a, b)))
        for start, stop, is_there in runs:
            self.assertEqual({x in there for x in range(start, stop)}, {is_there})
