"""How often a log-in may fail."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.accounts import failures
from truckee.accounts.errors import TooManyFailures
from truckee.accounts.failures import MOST, OF_ADDRESS, OF_NAME, Failures, network_of


class FailuresTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.failures = Failures()
        self.now = 1000.0

    def attempt(self, name: str, where: str) -> int:
        """Fail to log in; return for how many seconds that was refused, 0: it was not."""
        try:
            self.failures.begin(name, where, self.now)
        except TooManyFailures as error:
            return error.seconds
        return 0

    def test_name(self) -> None:
        """A name has ten failures at once, then one in 30 s; and as many first ones."""
        found = [self.attempt("alice", "10.0.0.1") for _ in range(13)]
        self.assertEqual(found, [0] * (1 + OF_NAME.burst) + [30, 30])
        self.now += 29.5
        self.assertEqual(self.attempt("alice", "10.0.0.1"), 1)
        self.assertEqual(self.attempt("bob", "10.0.0.1"), 0)
        self.now += 0.5
        self.assertEqual(self.attempt("alice", "10.0.0.1"), 0)
        self.assertEqual(self.attempt("alice", "10.0.0.1"), 30)
        self.now += 10000
        found = [self.attempt("alice", f"10.0.1.{n}") for n in range(12)]
        self.assertEqual(found, [0] * OF_NAME.burst + [30, 30])
        found = [self.attempt("alice", "10.0.1.0") for _ in range(11)]
        self.assertEqual(found, [0] * OF_NAME.burst + [30])

    def test_new_address(self) -> None:
        """Who guesses all the time from a few addresses locks nobody out elsewhere."""
        for second in range(3600):
            for number in range(3):
                self.attempt("alice", f"10.0.0.{number}")
            self.now += 1
            if second % 600 == 0:
                attempt = self.failures.begin("alice", f"10.0.1.{second}", self.now)
                self.failures.undo(attempt)

    def test_address(self) -> None:
        """An address has thirty at once, for whatever names, then one in 10 s."""
        found = [self.attempt(f"name{n}", "10.0.0.1") for n in range(32)]
        self.assertEqual(found, [0] * OF_ADDRESS.burst + [10, 10])
        self.assertEqual(self.attempt("name", "10.0.0.2"), 0)
        self.now += 300
        found = [self.attempt(f"name{n}", "10.0.0.1") for n in range(32)]
        self.assertEqual(found, [0] * OF_ADDRESS.burst + [10, 10])

    def test_success_counts_for_nothing(self) -> None:
        """Who logs in rightly may do so as often as they like, and resets nothing."""
        for _ in range(100):
            self.failures.succeeded(self.failures.begin("alice", "10.0.0.1", self.now))
        self.assertEqual(
            [self.attempt("alice", "10.0.0.2") for _ in range(12)][-2:], [0, 30]
        )
        for _ in range(100):
            self.failures.undo(self.failures.begin("bob", "10.0.0.1", self.now))
        found = [self.attempt("bob", "10.0.0.3") for _ in range(12)]
        self.assertEqual(found[-2:], [0, 30])

    def test_known_address(self) -> None:
        """Who logged in from an address before is not kept out by others who guess."""
        self.failures.succeeded(self.failures.begin("alice", "10.0.0.1", self.now))
        for n in range(100):
            self.attempt("alice", f"10.0.1.{n}")
            self.attempt("alice", "10.0.1.1")
            self.attempt(f"name{n}", "10.0.0.1")
        self.assertEqual(self.attempt("alice", "10.0.2.1"), 30)
        self.assertEqual(self.attempt("bob", "10.0.0.1"), 10)
        self.assertEqual(self.attempt("alice", "10.0.0.1"), 0)
        # But guesses from there are bounded, too.
        found = [self.attempt("alice", "10.0.0.1") for _ in range(10)]
        self.assertEqual(found, [0] * 9 + [30])

    def test_bounded(self) -> None:
        """The tables are bounded, and forget what has expired."""
        self.patch(failures, "OF_ADDRESS", failures.Allowance(10**9, 1e-9))
        for n in range(MOST + 10):
            self.attempt(f"name{n}", f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
            attempt = self.failures.begin(f"known{n}", "::1", self.now)
            self.failures.succeeded(attempt)
        self.assertLessEqual(len(self.failures), MOST)
        self.assertLessEqual(len(self.failures._known), MOST)
        self.now += 10000
        self.attempt("alice", "10.0.0.1")
        self.assertEqual(len(self.failures), 3)

    def test_clock_set_back(self) -> None:
        """After the clock was set back by a day, nobody waits for a day."""
        for _ in range(11):
            self.attempt("alice", "10.0.0.1")
        self.failures.succeeded(self.failures.begin("bob", "10.0.0.2", self.now))
        self.now -= 86400
        self.assertEqual(self.attempt("bob", "10.0.0.2"), 0)
        self.assertLessEqual(self.attempt("alice", "10.0.0.1"), 60)
        self.now += 60
        self.assertEqual(self.attempt("alice", "10.0.0.1"), 0)

    def test_networks(self) -> None:
        """An address of IPv6 counts as the half that one household has."""
        same = {
            "2001:db8:1:2::1": "2001:db8:1:2::",
            "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::",
        }
        other = {"::ffff:10.0.0.1": "10.0.0.1", "fe80::1%eth0": "fe80::", "": "", "x": "x"}
        for text, network in (same | other).items():
            self.assertEqual(network_of(text), network)
