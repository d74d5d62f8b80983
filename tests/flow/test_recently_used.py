"""Tests of truckee.flow.recently_used."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.flow.recently_used import RecentlyUsed


class BoundTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.recent: RecentlyUsed[int, bytes] = RecentlyUsed(100, len)

    def kept(self) -> list[int]:
        """Return the keys that are there, without using any."""
        return sorted(self.recent._values)

    def test_used_last(self) -> None:
        """What was not used for longest goes first; a look is a use."""
        for key in range(10):
            self.recent.put(key, bytes(30))
            self.recent.get(0)
        self.assertEqual(self.kept(), [0, 8, 9])
        self.assertEqual(self.recent.used, 90)

    def test_replaced(self) -> None:
        """A new value takes the place of the old one, which counts no more."""
        for size in (90, 10, 100):
            self.recent.put(1, bytes(size))
            self.assertEqual(self.recent.used, size)

    def test_too_large(self) -> None:
        """What has no room is not kept, and nor is what it replaces; others are."""
        self.recent.put(1, bytes(40))
        self.recent.put(2, bytes(40))
        self.recent.put(1, bytes(101))
        self.assertEqual(self.kept(), [2])
        self.assertEqual(self.recent.used, 40)

    def test_drop(self) -> None:
        """It does not matter whether it is there."""
        self.recent.put(1, bytes(40))
        self.recent.drop(1)
        self.recent.drop(1)
        self.assertIsNone(self.recent.get(1))
        self.assertEqual(self.recent.used, 0)
