"""Tests of truckee.tree.directory_cache."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.caps import MutableReadCap
from truckee.codec.directory_entry import Entry
from truckee.codec.directory_table import DirectoryTable, parse_table
from truckee.codec.mutable_geometry import MutableGeometry
from truckee.codec.mutable_prefix import Prefix
from truckee.codec.new_table import pack_table
from truckee.tree.directory_cache import JUST_WRITTEN, DirectoryCache


def table(size: int) -> DirectoryTable:
    """Return one of about *size* bytes."""
    return parse_table(pack_table([Entry("name", b"r" * size, b"", b"{}")]))


def cap(number: int) -> MutableReadCap:
    """Return one of many read caps."""
    return MutableReadCap("SSK", b"%016d" % number, bytes(32))


VERSION = Prefix(1, bytes(32), MutableGeometry.mdmf(1, 3, 10))


class CacheTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.cache = DirectoryCache(self.clock, limit=100_000)

    def test_just_written(self) -> None:
        """For a moment it is enough for a writer, never for a reader."""
        self.cache.wrote(cap(1), table(10), VERSION)
        known = self.cache.get(cap(1))
        assert known is not None
        self.assertTrue(self.cache.is_current(known, recent=True))
        self.assertFalse(self.cache.is_current(known))
        self.clock.advance(JUST_WRITTEN)
        self.assertFalse(self.cache.is_current(known, recent=True))
        self.assertEqual(known.version, VERSION)

    def test_late_read(self) -> None:
        """What was read before a write ended does not take its place."""
        new, old = table(10), table(20)
        self.cache.wrote(cap(1), new, VERSION)
        self.cache.found(cap(1), old, VERSION)
        known = self.cache.get(cap(1))
        assert known is not None
        self.assertIs(known.table, new)

    def test_immutable(self) -> None:
        self.cache.found(cap(1), table(10), None)
        known = self.cache.get(cap(1))
        assert known is not None
        self.clock.advance(1e6)
        self.assertTrue(self.cache.is_current(known))

    def test_bound(self) -> None:
        """The tables used last are kept; one that is too large is not."""
        for number in range(9):
            self.cache.found(cap(number), table(19_000), VERSION)
            self.cache.get(cap(0))
        kept = [number for number in range(9) if self.cache.get(cap(number)) is not None]
        self.assertEqual(kept, [0, 6, 7, 8])
        self.cache.found(cap(0), table(200_000), VERSION)
        self.assertIsNone(self.cache.get(cap(0)))
        for number in kept[1:]:
            self.cache.drop(cap(number))
            self.cache.drop(cap(number))
        self.assertEqual(self.cache._known.used, 0)
