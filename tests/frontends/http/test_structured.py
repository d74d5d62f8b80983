"""Header values that are one item."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.http.structured import boolean_item, count_item, show_boolean


class BooleanTests(SynchronousTestCase):
    def test_values(self) -> None:
        """?0 and ?1 are booleans, with or without parameters, and nothing else is."""
        for value in (False, True):
            self.assertIs(boolean_item(show_boolean(value)), value)
        self.assertIs(boolean_item(" ?1;a=b"), True)
        for text in (None, "", "1", "?2", "?", "true", "?1?1", "?1, ?0", "?1 x"):
            self.assertIsNone(boolean_item(text))


class CountTests(SynchronousTestCase):
    @given(st.integers(0, 10**15 - 1))
    def test_law(self, count: int) -> None:
        """A number is its digits."""
        self.assertEqual(count_item(str(count)), count)

    def test_malformed(self) -> None:
        """What is negative, too long, or no integer counts as missing."""
        self.assertEqual(count_item("-0"), 0)
        self.assertEqual(count_item("7; x"), 7)
        for text in (None, "", "-1", "1.0", "1e3", "0x1", "٣", "1" * 16, "1, 2", '"1"'):
            self.assertIsNone(count_item(text))
