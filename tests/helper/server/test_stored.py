"""A file that is on the grid, as a helper knows it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.helper.server.stored import Stored


class LabelTests(SynchronousTestCase):
    def test_alike(self) -> None:
        """Servers whose names are alike can be told apart, and only those have more."""
        shares = {0: ["a", "b"], 1: ["b"], 2: ["c", "c"]}
        seeds = {0: [b"1" * 20, b"2" * 20], 1: [b"2" * 20], 2: [b"3" * 20, b"4" * 20]}
        labels = Stored(b"", shares, 0, seeds).labels()
        self.assertEqual((labels[0], labels[1]), (["a", "b"], ["b"]))
        self.assertEqual(labels[2], ["c (gmztgmzt)", "c (gq2dinbu)"])
