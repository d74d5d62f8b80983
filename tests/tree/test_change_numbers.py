"""Which directories were changed here since some moment."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.caps import MutableReadCap
from truckee.tree.change_numbers import ChangeNumbers


def _cap(number: int) -> MutableReadCap:
    return MutableReadCap("SDMF", bytes([number]) * 16, b"f" * 32)


class ChangeNumbersTests(SynchronousTestCase):
    def test_each_for_itself(self) -> None:
        """A change is seen by who looked before, and only of its directory."""
        numbers = ChangeNumbers()
        before = numbers.latest
        numbers.changed(_cap(1))
        self.assertTrue(numbers.since(_cap(1), before))
        self.assertFalse(numbers.since(_cap(2), before))
        self.assertFalse(numbers.since(_cap(1), numbers.latest))

    def test_forgotten(self) -> None:
        """Of a change that is not remembered, any directory may be the one."""
        numbers = ChangeNumbers(2)
        for number in range(3):
            numbers.changed(_cap(number))
        self.assertTrue(numbers.since(_cap(0), 0))
        self.assertTrue(numbers.since(_cap(9), 0))
        self.assertFalse(numbers.since(_cap(9), 1))
        self.assertTrue(numbers.since(_cap(1), 1))
