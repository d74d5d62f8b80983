"""How much, and how often, servers are listened to."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.grid.announced import BURST, INTERVAL, MAX_BYTES, MAX_SERVERS, Announced
from truckee.grid.announcements import Announcement, parse_fields

FURL = "pb://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@tcp:127.0.0.1:1/swissnum"


def said(name: str, seqnum: int = 1) -> Announcement:
    """Return an announcement."""
    return parse_fields(name, {"anonymous-storage-FURL": FURL, "seqnum": seqnum})


class AnnouncedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.announced = Announced()

    def test_old(self) -> None:
        """Only what is newer counts."""
        self.assertTrue(self.announced.take(said("a", 5), 100, 0.0))
        for seqnum in (5, 4):
            self.assertFalse(self.announced.take(said("a", seqnum), 100, 0.0))
        self.assertTrue(self.announced.take(said("a", 6), 100, 0.0))
        self.assertEqual(self.announced.known, {"a": said("a", 6)})

    def test_flood(self) -> None:
        """A server that says something new all the time is heard now and then."""
        heard = [self.announced.take(said("a", n), 100, 0.0) for n in range(1000)]
        self.assertEqual(sum(heard), BURST)
        self.assertEqual(self.announced.due(INTERVAL / 2), [])
        self.assertAlmostEqual(self.announced.wait(0.0) or 0, INTERVAL)
        self.assertEqual(self.announced.due(INTERVAL), [said("a", 999)])
        self.assertEqual(self.announced.known["a"].seqnum, 999)
        self.assertIsNone(self.announced.wait(INTERVAL))
        later = INTERVAL * 10
        heard = [self.announced.take(said("a", 2000 + n), 1, later) for n in range(9)]
        self.assertEqual(sum(heard), BURST)

    def test_many(self) -> None:
        """There is room for so many servers, and those that are known stay."""
        for number in range(MAX_SERVERS + 10):
            self.announced.take(said(str(number)), 100, 0.0)
        self.assertEqual(len(self.announced.known), MAX_SERVERS)
        self.assertEqual(self.announced.refused, 10)
        self.assertTrue(self.announced.take(said("0", 2), 100, 0.0))

    def test_large(self) -> None:
        """There is room for so much that they say."""
        size = MAX_BYTES // 4
        heard = [self.announced.take(said(str(n)), size, 0.0) for n in range(6)]
        self.assertEqual(heard, [True] * 4 + [False] * 2)
        self.assertFalse(self.announced.take(said("0", 2), 2 * size, 0.0))
        self.assertTrue(self.announced.take(said("0", 3), 10, 0.0))
        self.assertTrue(self.announced.take(said("9"), size // 2, 0.0))
