"""What a peer may have of a storage server while it uploads."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from truckee.storage.promises import GRACE
from truckee.storage.quotas import QuotaLimits, ShareQuotas

GIB = 1 << 30


class QuotaTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        limits = QuotaLimits(shares=100, share_part=4, space_part=2)
        self.quotas = ShareQuotas(self.clock.seconds, limits)

    def claim(self, peer: str, count: int, size: int = 1, space: int = GIB) -> int:
        """Return how many of *count* shares a peer got."""
        return len(self.quotas.claim(peer, range(count), size, space))

    def test_shares(self) -> None:
        """Each peer gets a part of what others leave; there is always something left."""
        self.assertEqual(self.claim("greedy", 10), 10)
        self.assertEqual(self.claim("greedy", 80), 15)
        self.assertEqual(self.claim("greedy", 80), 0)
        self.assertEqual(self.claim("second", 80), 18)
        others = [self.claim(f"peer {number}", 80) for number in range(40)]
        self.assertEqual(sorted(others, reverse=True), others)
        self.assertEqual(min(others[:9]), 1)
        self.assertEqual(self.quotas.total, 25 + 18 + sum(others))
        self.assertLessEqual(self.quotas.total, 100)

    def test_end(self) -> None:
        """What ends is free at once; ending it again changes nothing."""
        claims = self.quotas.claim("peer", range(80), 1, GIB)
        self.assertEqual(sorted(claims), list(range(25)))
        for _ in range(2):
            claims[3].end()
        self.assertEqual(self.quotas.total, 24)
        self.assertEqual(self.claim("peer", 80), 1)
        for claim in claims.values():
            claim.end()
        self.assertEqual(self.quotas.total, 1)

    def test_space(self) -> None:
        """A peer is promised no more than half of what is free, all its shares together."""
        self.assertEqual(self.claim("greedy", 1, GIB), 0)
        self.assertEqual(self.claim("greedy", 1, GIB // 2), 1)
        # The server tells what is left when that is taken off.
        self.assertEqual(self.claim("greedy", 1, 1000, GIB // 2), 0)
        self.assertEqual(self.claim("honest", 10, GIB // 40, GIB // 2), 10)

    def test_written(self) -> None:
        """What is written is promised no more; what never comes neither."""
        claims = self.quotas.claim("peer", range(2), GIB // 4, GIB)
        self.assertEqual(len(claims), 2)
        self.assertEqual(self.claim("peer", 1, GIB // 8, GIB // 2), 0)
        claims[0].wrote(GIB // 4)
        self.assertEqual(self.claim("peer", 1, GIB // 8, GIB // 2), 1)
        self.clock.advance(GRACE)
        self.assertEqual(self.claim("peer", 1, GIB // 4, GIB // 2), 1)

    def test_empty(self) -> None:
        """Shares without bytes need no space, and are counted."""
        self.assertEqual(self.claim("peer", 80, 0, 0), 25)
