"""Lengths of time as people write them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.flow.durations import parse_duration


class DurationTests(SynchronousTestCase):
    def test_units(self) -> None:
        """A number and a unit, in the singular or plural, short or long."""
        for text, seconds in (
            ("90 s", 90),
            ("90 seconds", 90),
            ("1 minute", 60),
            ("30min", 1800),
            ("1.5 Hours", 5400),
            ("1 h", 3600),
            ("2 days", 172800),
        ):
            self.assertEqual(parse_duration(text), seconds, text)

    def test_nonsense(self) -> None:
        """Nothing else is a time, nor is none or one without an end."""
        for text in ("", "1", "hour", "-1 hour", "0 s", "1 week", "1 hour 2", "99999 days"):
            self.assertRaises(ValueError, parse_duration, text)
