"""Segments that were read in part, for whoever comes back to them."""

from __future__ import annotations

import random

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.grids import Grid, calm, make_file, put_share, until
from truckee.codec.caps import ChkVerifyCap
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import storage_index_of
from truckee.flow.limits import Budget
from truckee.immutable.download import hedged_reads, read_ahead
from truckee.immutable.download.memory_budget import PATIENCE, Holdings
from truckee.immutable.download.read_ahead import Download
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


class FinishTests(SynchronousTestCase):
    """Segments that were under way when their readers went."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.budget = Budget(16 * MIB)
        self.holdings = Holdings(self.budget, self.clock)
        self.recent = RecentSegments(self.holdings, self.clock)
        self.fetching: Deferred[bytes] = Deferred()
        self.name = (KEY, CAP, 0)

    def assert_cancelled(self) -> None:
        self.failureResultOf(self.fetching, CancelledError)
        self.assertIsNone(self.recent.get(self.name))

    def test_kept(self) -> None:
        """One is kept as if its reader had waited for it."""
        self.recent.finish(self.name, self.fetching)
        self.fetching.callback(bytes(MIB))
        self.assertEqual(self.recent.get(self.name), bytes(MIB))
        self.assertEqual(self.budget.used, MIB)

    def test_fails(self) -> None:
        """One that fails is nobody's trouble but its reader's."""
        self.recent.finish(self.name, self.fetching)
        self.fetching.errback(ValueError())
        self.failureResultOf(self.fetching, ValueError)
        self.assertEqual(self.budget.used, 0)

    def test_no_room(self) -> None:
        """One is cancelled when readers have most of the memory."""
        self.budget.reserve(9 * MIB)
        self.recent.finish(self.name, self.fetching)
        self.assert_cancelled()

    def test_gives_way(self) -> None:
        """One is cancelled when a reader waits for memory."""
        self.recent.finish(self.name, self.fetching)
        self.assertTrue(self.holdings.try_take(16 * MIB))
        waiting = Deferred.fromCoroutine(self.holdings.take(MIB))
        self.clock.advance(PATIENCE)
        self.assert_cancelled()
        self.holdings.give(16 * MIB)
        self.successResultOf(waiting)

    def test_hangs(self) -> None:
        """One that does not come is cancelled in the end."""
        self.recent.finish(self.name, self.fetching)
        self.clock.advance(_KEEP - 1)
        self.assertNoResult(self.fetching)
        self.clock.advance(1)
        self.assert_cancelled()

    def test_stop(self) -> None:
        """At a stop all are cancelled, and none is begun after it."""
        self.recent.finish(self.name, self.fetching)
        self.recent.stop()
        self.assert_cancelled()
        self.fetching = Deferred()
        self.recent.finish(self.name, self.fetching)
        self.assert_cancelled()
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


class PlayerTests(TestCase):
    """Readers that ask for all from some byte on, and go when they have what they need."""

    timeout = 120

    def setUp(self) -> None:
        self.plaintext = random.Random(3).randbytes(4 * SEGMENT)
        self.file = make_file(self.plaintext, KEY, Encoding(2, 3, SEGMENT))
        self.grid = Grid.new(self)
        for number, share in enumerate(self.file.shares):
            put_share(self.grid.servers[number], storage_index_of(KEY), number, share)

    @property
    def reads(self) -> int:
        return sum(server.reads for server in self.grid.servers)

    async def player(self, start: int) -> Download:
        """Return one who took what is left of the segment at *start*."""
        player = (await self.grid.downloader.open(self.file.cap)).read()
        player.go_on(start, self.file.cap.size, open_ended=True)
        end = (start // SEGMENT + 1) * SEGMENT
        self.assertEqual(await player.__anext__(), self.plaintext[start:end])
        return player

    async def leaves(self) -> list[Deferred[None]]:
        """Let a player go before segment 1 has come; return what its reads wait for."""
        player = await self.player(5)
        held: list[Deferred[None]] = []

        async def hold(operation: str, share: int) -> None:
            held.append(Deferred())
            await held[-1]

        for server in self.grid.servers:
            server.mood = hold
        asked = Deferred.fromCoroutine(player.__anext__())
        await until(lambda: len(held) >= 2)
        for server in self.grid.servers:
            server.mood = calm
        asked.cancel()
        player.stop()
        await self.assertFailure(asked, CancelledError)
        return held

    async def test_comes_back(self) -> None:
        """The segment of which a player took a part costs the next request no read."""
        (await self.player(5)).stop()
        before = self.reads
        (await self.player(100)).stop()
        self.assertEqual(self.reads, before)

    async def test_goes_on(self) -> None:
        """One who takes many segments is no such player: they are not kept."""
        self.patch(read_ahead, "_TAKEN_FOR_ONE_AHEAD", 1)
        player = await self.player(5)
        await player.__anext__()
        player.stop()
        before = self.reads
        (await self.player(9)).stop()
        self.assertEqual(self.reads, before)
        (await self.player(SEGMENT)).stop()
        self.assertGreater(self.reads, before)

    async def test_goes_early(self) -> None:
        """What was about to come when a player went is there when it comes back."""
        held = await self.leaves()
        before = self.reads
        for each in held:
            each.callback(None)
        (await self.player(SEGMENT + 7)).stop()
        self.assertEqual(self.reads, before)
        self.grid.downloads.stop()
        await until(lambda: self.grid.downloads.budget.used == 0)

    async def test_far_servers(self) -> None:
        """Where a segment takes longer than a moment, what nobody wants is cancelled."""
        self.patch(hedged_reads, "LEAST", 0.0)
        held = await self.leaves()
        self.assertTrue(all(each.called for each in held))
        before = self.reads
        (await self.player(SEGMENT + 7)).stop()
        self.assertGreater(self.reads, before)

    async def test_node_stops(self) -> None:
        """Nothing goes on for one who went when the node stops."""
        held = await self.leaves()
        self.assertFalse(any(each.called for each in held))
        self.grid.downloads.stop()
        self.assertTrue(all(each.called for each in held))
        await until(lambda: self.grid.downloads.budget.used == 0)
