"""Segments that were read in part, for whoever comes back to them."""

from __future__ import annotations

import random

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.grids import Grid, make_file, put_share
from truckee.codec.caps import ChkVerifyCap
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import storage_index_of
from truckee.flow.limits import Budget
from truckee.immutable.download.memory_budget import PATIENCE, Holdings
from truckee.immutable.download.recent_segments import _KEEP, _LEAST, RecentSegments

CAP = ChkVerifyCap(bytes(16), bytes(32), 1, 1, 1 << 30)
KEY = b"k" * 16
SEGMENT = 128 << 10
MIB = 1 << 20


class RecentSegmentsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.budget = Budget(16 * MIB)
        self.holdings = Holdings(self.budget, self.clock)
        self.recent = RecentSegments(self.holdings, self.clock)

    def put(self, number: int, length: int = MIB // 2) -> None:
        self.recent.put((KEY, CAP, number), bytes(length))

    def has(self, number: int) -> bool:
        return self.recent.get((KEY, CAP, number)) is not None

    def test_bound(self) -> None:
        """Those used last are kept: an eighth of what readers may have, and of it."""
        for number in range(4):
            self.put(number)
        self.assertEqual(self.budget.used, 2 * MIB)
        self.assertTrue(self.has(0))
        self.put(4)
        self.assertEqual(
            [self.has(each) for each in range(5)], [True, False, True, True, True]
        )
        self.assertEqual(self.budget.used, 2 * MIB)
        self.put(0)
        self.assertEqual(self.budget.used, 2 * MIB)

    def test_what_is_not_kept(self) -> None:
        """Short ones are soon made again, and readers come first."""
        self.put(0, _LEAST - 1)
        self.assertFalse(self.has(0))
        self.budget.reserve(16 * MIB - 1)
        self.put(0)
        self.assertFalse(self.has(0))

    def test_only_with_the_key(self) -> None:
        """Who has another key of the same file gets nothing."""
        self.put(0)
        self.assertIsNone(self.recent.get((b"x" * 16, CAP, 0)))
        self.assertNotIn("kkk", repr(self.recent))

    def test_gives_way(self) -> None:
        """When a reader waits for memory, all is given back."""
        self.put(0)
        self.assertTrue(self.holdings.try_take(15 * MIB))
        waiting = Deferred.fromCoroutine(self.holdings.take(MIB))
        self.assertNoResult(waiting)
        self.clock.advance(PATIENCE)
        self.successResultOf(waiting)
        self.assertFalse(self.has(0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_forgotten(self) -> None:
        """What nobody read for a while is forgotten, and all of it in the end."""
        self.put(0)
        self.clock.advance(_KEEP - 1)
        self.assertTrue(self.has(0))
        self.clock.advance(_KEEP - 1)
        self.assertTrue(self.has(0))
        self.clock.advance(_KEEP)
        self.assertFalse(self.has(0))
        self.assertEqual(self.budget.used, 0)
        self.put(0)
        self.recent.stop()
        self.put(1)
        self.assertEqual(self.budget.used, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ReaderTests(TestCase):
    timeout = 120

    async def test_here_and_there(self) -> None:
        """Who comes back to a segment costs no server a read, whoever read it before."""
        plaintext = random.Random(1).randbytes(4 * SEGMENT)
        file = make_file(plaintext, KEY, Encoding(2, 3, SEGMENT))
        grid = Grid.new(self)
        for number, share in enumerate(file.shares):
            put_share(grid.servers[number], storage_index_of(KEY), number, share)
        one, other = [(await grid.downloader.open(file.cap)).read() for _ in range(2)]
        reads = list[int]()
        for start in (10, SEGMENT + 10, 500, 3 * SEGMENT, SEGMENT):
            one.go_on(start, start + 100)
            self.assertEqual(await one.__anext__(), plaintext[start : start + 100])
            reads.append(sum(server.reads for server in grid.servers))
        self.assertEqual(reads[1], reads[2])
        self.assertEqual(reads[3], reads[4])
        self.assertLess(reads[2], reads[3])
        one.stop()
        other.go_on(2 * SEGMENT - 1, 2 * SEGMENT)
        self.assertEqual(await other.__anext__(), plaintext[2 * SEGMENT - 1 : 2 * SEGMENT])
        self.assertEqual(sum(server.reads for server in grid.servers), reads[4])
        other.stop()
        grid.downloads.stop()
        self.assertEqual(grid.downloads.budget.used, 0)

    async def test_in_order(self) -> None:
        """Who reads all keeps nothing: nobody comes back to it."""
        plaintext = random.Random(2).randbytes(4 * SEGMENT)
        file = make_file(plaintext, KEY, Encoding(2, 3, SEGMENT))
        grid = Grid.new(self)
        for number, share in enumerate(file.shares):
            put_share(grid.servers[number], storage_index_of(KEY), number, share)
        self.assertEqual(await grid.read(file.cap), plaintext)
        self.assertEqual(grid.downloads.budget.used, 0)
