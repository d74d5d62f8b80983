"""Which leases have expired, and how stock servers' settings say so."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.container import LEASE_DURATION
from truckee.codec.lease_expiry import (
    ExpiryPolicy,
    ShareKind,
    parse_cutoff_date,
    parse_lease_duration,
)

DAY = 86400
NOW = 1_700_000_000.0


def renewed(days_ago: float) -> int:
    """When a lease expires, by its own word, that was renewed so many days ago."""
    return int(NOW - days_ago * DAY) + LEASE_DURATION


class PolicyTests(SynchronousTestCase):
    def test_age(self) -> None:
        """A lease is over 31 days after it was renewed, or after another time."""
        for policy, days in (
            (ExpiryPolicy(), 31),
            (ExpiryPolicy(duration=5 * DAY), 5),
            (ExpiryPolicy(duration=60 * DAY), 60),
        ):
            self.assertFalse(policy.expired(renewed(days - 0.01), NOW))
            self.assertTrue(policy.expired(renewed(days + 0.01), NOW))

    def test_cutoff(self) -> None:
        """With a cutoff date only the time of the last renewal counts."""
        policy = ExpiryPolicy(cutoff=int(NOW) - 100 * DAY)
        self.assertFalse(policy.expired(renewed(99.9), NOW))
        self.assertTrue(policy.expired(renewed(100.1), NOW))

    def test_shares(self) -> None:
        """A share goes when all of its leases are over, it has some, and its kind goes."""
        policy = ExpiryPolicy(kinds=frozenset([ShareKind.IMMUTABLE]))
        old, new = renewed(40), renewed(1)
        for kind, leases, expected in (
            (ShareKind.IMMUTABLE, [old, old], True),
            (ShareKind.IMMUTABLE, [old, new], False),
            (ShareKind.IMMUTABLE, [], False),
            (ShareKind.MUTABLE, [old], False),
        ):
            self.assertEqual(policy.all_expired(kind, leases, NOW), expected)


class SettingTests(SynchronousTestCase):
    def test_duration(self) -> None:
        """Days, months of 31 days and years of 365 are read as stock servers do."""
        for text, days in (
            ("5 days", 5),
            ("1day", 1),
            ("2mo", 62),
            ("1 month", 31),
            ("3 MONTHS", 93),
            ("1 year", 365),
            ("2years", 730),
        ):
            self.assertEqual(parse_lease_duration(text), days * DAY)
        for text in ("", "5", "1.5 days", "-1 days", "0 days", "1 s", "1 week", "days"):
            self.assertRaises(ValueError, parse_lease_duration, text)

    def test_cutoff_date(self) -> None:
        """A day begins at midnight UTC."""
        self.assertEqual(parse_cutoff_date("2009-01-16"), 1_232_064_000)
        self.assertEqual(parse_cutoff_date("1970-01-01"), 0)
        for text in ("", "2009-13-01", "2009-02-30", "09-01-16", "2009-01-16T00:00:00"):
            self.assertRaises(ValueError, parse_cutoff_date, text)
