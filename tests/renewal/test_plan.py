"""Tests of truckee.renewal.plan."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.renewal.plan import RenewedTree, parse_trees

DAY = 86400.0


class PlanTests(SynchronousTestCase):
    def assertWrong(self, text: str, why: str) -> None:
        """Fail unless *text* is refused, with *why* in the reason."""
        error = self.assertRaises(ValueError, parse_trees, text)
        self.assertIn(why, str(error))

    def test_trees(self) -> None:
        """A line each; without an interval it is a week."""
        text = "tahoe\n photos: , every 30 days\n\nwork,Every  12   hours"
        self.assertEqual(
            parse_trees(text),
            [
                RenewedTree("tahoe", 7 * DAY),
                RenewedTree("photos", 30 * DAY),
                RenewedTree("work", DAY / 2),
            ],
        )
        self.assertEqual(parse_trees(""), [])

    def test_interval(self) -> None:
        for text, why in (
            ("t, weekly", "'weekly' is no interval: write t, every 7 days"),
            ("t, 7 days", "'7 days' is no interval"),
            ("t, every", "'every' is no interval"),
            ("t, every blue moon", "'blue moon' is not a time"),
            ("t, every 7 days, u, every 7 days", "is not a time"),
            ("t, every 59 min", "every 1 hour or more"),
        ):
            self.assertWrong(text, why)

    def test_names(self) -> None:
        for text, why in (
            (", every 7 days", "the name of an alias"),
            ("photos:2026, every 7 days", "the name of an alias"),
            ("t\nu\nt, every 2 days", "t is there twice"),
            ("é" * 40, "too long"),
            ("\n".join(f"a{number}" for number in range(51)), "50 is the most"),
        ):
            self.assertWrong(text, why)

    def test_cap(self) -> None:
        """A cap is refused, with what to do, and without the cap."""
        self.assertWrong("URI:DIR2:abc:def, every 7 days", "truckee alias add NAME -")
        error = self.assertRaises(ValueError, parse_trees, "uri:DIR2:abc:def")
        self.assertNotIn("abc", str(error))

    def test_file_names(self) -> None:
        """Names of files are distinct, and stay in their directory."""
        names = ["t", "T", "a/b", "..", "a%2Fb", "é"]
        files = {RenewedTree(name, DAY).file_name for name in names}
        self.assertEqual(len(files), len(names))
        self.assertFalse(any("/" in each for each in files))
