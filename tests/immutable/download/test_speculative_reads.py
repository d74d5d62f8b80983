"""The first byte of a file costs few round trips."""

from __future__ import annotations

import gc
import random

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from tests.grids import Grid, MadeFile, calm, make_file, pause, put_share
from truckee.codec.geometry import DEFAULT_SEGMENT_SIZE, Encoding
from truckee.codec.hashes import storage_index_of
from truckee.immutable.download.speculative_reads import HeadStart
from truckee.storage.interfaces import IShareReader

KEY = b"k" * 16
INDEX = storage_index_of(KEY)


class Waves:
    """The mood of servers that are far away: answers come together, when they are let."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[None]] = []
        self.count = 0

    async def mood(self, operation: str, share: int) -> None:
        self.waiting.append(Deferred())
        await self.waiting[-1]

    async def until(self, done: Deferred[bytes]) -> int:
        """Return how many round trips *done* takes."""
        while not done.called:
            await pause(0.05)
            if self.waiting and not done.called:
                self.count += 1
                waiting, self.waiting = self.waiting, []
                for each in waiting:
                    if not each.called:
                        each.callback(None)
        return self.count


class FirstByteTests(TestCase):
    timeout = 120

    def new_file(self, size: int, segment: int, streamed: bool = False) -> MadeFile:
        plaintext = random.Random(size).randbytes(size)
        return make_file(plaintext, KEY, Encoding(3, 10, segment), streamed)

    async def waves(
        self, grid: Grid, file: MadeFile, start: int = 0, end: int | None = None
    ) -> int:
        """Return the round trips to the first byte of a range of a file that is new."""
        for server in grid.servers:
            server.mood = calm
        for number, share in enumerate(file.shares):
            put_share(grid.servers[number], INDEX, number, share)
        grid.downloads.files.stop()
        gc.collect()
        waves = Waves()
        for server in grid.servers:
            server.mood = waves.mood
        end = file.cap.size if end is None else end

        async def first() -> bytes:
            opened = await grid.downloader.open(file.cap, start)
            download = opened.read(start, end)
            try:
                return await download.__anext__()
            finally:
                download.stop()

        done = Deferred.fromCoroutine(first())
        count = await waves.until(done)
        got = await done
        self.assertEqual(got, file.plaintext[start : start + len(got)])
        return count

    async def test_stock_file(self) -> None:
        """One round trip finds the shares, and one brings the first byte, or a last one."""
        grid = Grid.new(self, servers=10)
        size = 3 * DEFAULT_SEGMENT_SIZE
        for start in (0, size - 65536, DEFAULT_SEGMENT_SIZE + 5):
            file = self.new_file(size, DEFAULT_SEGMENT_SIZE)
            end = min(size, start + 65536)
            self.assertEqual(await self.waves(grid, file, start, end), 2)

    async def test_short_file(self) -> None:
        """A file of one segment as well."""
        for size in (56, 5000, 300_000):
            file = self.new_file(size, DEFAULT_SEGMENT_SIZE)
            self.assertEqual(await self.waves(Grid.new(self, servers=10), file), 2)

    async def test_other_kinds(self) -> None:
        """Where files are cut otherwise, or streamed, that is learnt from the first one."""
        for segment, streamed in ((131072, False), (DEFAULT_SEGMENT_SIZE, True)):
            grid = Grid.new(self, servers=10)
            file = self.new_file(3 * segment, segment, streamed)
            self.assertLessEqual(await self.waves(grid, file), 4)
            self.assertEqual(await self.waves(grid, file, 2 * segment), 2)

    async def test_next_segment(self) -> None:
        """In a file that is open, a segment costs one round trip."""
        grid = Grid.new(self, servers=10)
        file = self.new_file(200 * 3000, 3000)
        await self.waves(grid, file, 0, 10)
        waves = Waves()
        for server in grid.servers:
            server.mood = waves.mood
        # In another page of the hash trees.
        done = Deferred.fromCoroutine(grid.read(file.cap, 150 * 3000, 150 * 3000 + 10))
        self.assertEqual(await waves.until(done), 1)
        await done


@implementer(IShareReader)
class FakeShare:
    """A share whose reads are answered by hand."""

    def __init__(self) -> None:
        self.reads: list[tuple[int, int, Deferred[bytes]]] = []

    async def read(self, offset: int, length: int) -> bytes:
        answer: Deferred[bytes] = Deferred()
        self.reads.append((offset, length, answer))
        return await answer


class HeadStartTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.share = FakeShare()
        self.reader = HeadStart(self.share)

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self.reader.read(offset, length))

    def test_inside(self) -> None:
        """Reads inside an early one are parts of it, before it came and after."""
        self.reader.begin([(100, 10)])
        before = [self.read(100, 10), self.read(105, 2)]
        self.share.reads[0][2].callback(b"0123456789")
        self.assertEqual(list(map(self.successResultOf, before)), [b"0123456789", b"56"])
        self.assertEqual(self.successResultOf(self.read(108, 2)), b"89")
        self.assertEqual(len(self.share.reads), 1)

    def test_outside(self) -> None:
        """Others are reads of their own, as are all after it was settled."""
        self.reader.begin([(100, 10)])
        self.share.reads[0][2].callback(b"0123456789")
        self.read(99, 2)
        self.read(105, 6)
        self.reader.settle()
        self.read(100, 10)
        asked = [each[:2] for each in self.share.reads[1:]]
        self.assertEqual(asked, [(99, 2), (105, 6), (100, 10)])

    def test_end_of_the_share(self) -> None:
        """What came short is short for all who read there."""
        self.reader.begin([(100, 10)])
        self.share.reads[0][2].callback(b"0123")
        self.assertEqual(self.successResultOf(self.read(102, 8)), b"23")
        self.assertEqual(self.successResultOf(self.read(106, 2)), b"")

    def test_failure(self) -> None:
        """An error is that of all who want a part, now or later."""
        self.reader.begin([(100, 10)])
        now = self.read(100, 1)
        self.share.reads[0][2].errback(OSError("no"))
        self.failureResultOf(now, OSError)
        self.failureResultOf(self.read(101, 1), OSError)

    def test_settle(self) -> None:
        """What nobody waits for is cancelled; what somebody waits for goes on."""
        self.reader.begin([(100, 10), (200, 10)])
        waiting = self.read(200, 1)
        self.reader.settle()
        self.assertTrue(self.share.reads[0][2].called)
        self.assertNoResult(waiting)
        self.share.reads[1][2].callback(b"0123456789")
        self.assertEqual(self.successResultOf(waiting), b"0")

    def test_one_leaves(self) -> None:
        """Who waits and goes away takes nothing from the next one."""
        self.reader.begin([(100, 10)])
        gone = self.read(100, 1)
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.share.reads[0][2].callback(b"0123456789")
        self.assertEqual(self.successResultOf(self.read(100, 1)), b"0")
