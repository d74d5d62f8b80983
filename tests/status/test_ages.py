"""Ages that a clock which jumps does not change."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.status.ages import GRACE, LastUse

DAY = 86400.0
NOW = 1_800_000_000.0
seconds = st.floats(0, 30 * DAY)
jumps = st.floats(-(10**9), 10**9)


class OwnTests(SynchronousTestCase):
    def test_only_our_clock_counts(self) -> None:
        """What this process saw used expires by its own clock, not by the time of day."""
        last = LastUse(100.0)
        for now in (0.0, NOW, NOW + 1000 * DAY):
            self.assertEqual(last.time_left(DAY, 100.0, now), DAY)
            self.assertEqual(last.time_left(DAY, 100.0 + DAY, now), 0.0)
            self.assertEqual(last.idle(160.0, now), 60.0)


class FoundTests(SynchronousTestCase):
    def test_age_goes_on(self) -> None:
        """What an earlier process left has the age that was recorded."""
        last = LastUse.found(NOW - DAY / 2, 5.0, NOW)
        self.assertEqual(last.idle(5.0, NOW), DAY / 2)
        self.assertEqual(last.time_left(DAY, 5.0, NOW), DAY / 2)
        later = DAY / 2 + 1
        self.assertEqual(last.time_left(DAY, 5.0 + later, NOW + later), -1.0)

    def test_ahead_at_a_restart(self) -> None:
        """A clock two days ahead lets nothing expire for the time of grace."""
        last = LastUse.found(NOW, 5.0, NOW + 2 * DAY)
        self.assertEqual(last.time_left(DAY, 5.0, NOW + 2 * DAY), GRACE)

    def test_ahead_and_corrected(self) -> None:
        """Corrected in that time, the age is what it always was."""
        last = LastUse.found(NOW, 5.0, NOW + 2 * DAY)
        self.assertEqual(last.time_left(DAY, 65.0, NOW + 60), DAY - 60)
        self.assertEqual(last.time_left(DAY, 5 + GRACE, NOW + GRACE), DAY - GRACE)

    def test_behind_at_a_restart(self) -> None:
        """Set back, nothing is as old as it was; what is seen counts all the same."""
        last = LastUse.found(NOW, 5.0, NOW - 2 * DAY)
        self.assertEqual(last.idle(5.0, NOW - 2 * DAY), 0.0)
        self.assertEqual(last.idle(65.0, NOW - 2 * DAY + 60), 60.0)
        # The clock is right again, and suddenly all is older.
        self.assertEqual(last.idle(65.0, NOW + 3600), 60.0)
        self.assertEqual(last.time_left(DAY, 5.0 + DAY, NOW - DAY), 0.0)

    def test_short_life(self) -> None:
        """What lives shorter than the time of grace is watched for all its life."""
        last = LastUse.found(NOW - DAY, 5.0, NOW)
        self.assertEqual(last.time_left(60.0, 5.0, NOW), 60.0)
        self.assertEqual(last.time_left(60.0, 65.0, NOW + 60), 0.0)

    @given(seconds, jumps, jumps, seconds)
    def test_never_at_once(
        self, age: float, first: float, second: float, observed: float
    ) -> None:
        """Whatever jumps, nothing expires before the grace, nor lives for ever."""
        last = LastUse.found(NOW - age, 0.0, NOW + first)
        left = last.time_left(DAY, observed, NOW + first + second)
        if observed < GRACE:
            self.assertGreater(left, 0.0)
        if observed > DAY:
            self.assertLess(left, 0.0)
