"""Tests of truckee.mutable.last_written."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.caps import MutableWriteCap
from truckee.codec.mutable_geometry import MutableGeometry
from truckee.codec.mutable_prefix import Prefix
from truckee.mutable.last_written import Written, last_written
from truckee.mutable.versions import Versions

PREFIX = Prefix(1, bytes(32), MutableGeometry.mdmf(1, 3, 10))


def cap(number: int) -> MutableWriteCap:
    """Return one of many write caps."""
    return MutableWriteCap("SSK", b"%016d" % number, bytes(32))


class BoundTests(SynchronousTestCase):
    def test_bound(self) -> None:
        """The newest ones are kept; one that is too large is not, nor what it replaced."""
        last = last_written(1 << 20)
        for number in range(5):
            last.put(cap(number), Written(PREFIX, bytes(300_000), Versions()))
        kept = [number for number in range(5) if last.get(cap(number)) is not None]
        self.assertEqual(kept, [2, 3, 4])
        last.put(cap(2), Written(PREFIX, bytes(2 << 20), Versions()))
        self.assertIsNone(last.get(cap(2)))
        last.drop(cap(3))
        last.drop(cap(4))
        self.assertEqual(last.used, 0)
