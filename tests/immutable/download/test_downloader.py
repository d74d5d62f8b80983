"""Plaintext in order, a bounded piece ahead of its reader."""

from __future__ import annotations

import random

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.grids import Grid, MadeFile, failing, hanging, make_file, pause, put_share
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import storage_index_of
from truckee.immutable.download.fetch import MOST_AT_ONCE
from truckee.immutable.download.read_ahead import MOST_AHEAD, PIECE, Download
from truckee.immutable.download.sources import NotEnoughShares

KEY = b"k" * 16
INDEX = storage_index_of(KEY)
SEGMENT = 64
SEGMENTS = 40


class DownloadTests(TestCase):
    timeout = 120

    def new_grid(self, segments: int = SEGMENTS) -> tuple[Grid, MadeFile]:
        """Return a grid with one file on it, each share on a server of its own."""
        plaintext = random.Random(1).randbytes(SEGMENT * segments - 7)
        file = make_file(plaintext, KEY, Encoding(2, 3, SEGMENT))
        grid = Grid.new(self)
        for number, share in enumerate(file.shares):
            put_share(grid.servers[number], INDEX, number, share)
        return grid, file

    async def open(self, grid: Grid, file: MadeFile) -> Download:
        """Return the whole file."""
        return (await grid.downloader.open(file.cap)).read(0, file.cap.size)

    def reads(self, grid: Grid) -> int:
        """Return how often servers were asked for bytes of a share."""
        return sum(server.reads for server in grid.servers)

    def has_read(self, grid: Grid, count: int) -> bool:
        """Tell whether that many reads were asked for."""
        return self.reads(grid) >= count

    async def test_ranges(self) -> None:
        """Every range is what it is of the file, in pieces that are never empty."""
        grid, file = self.new_grid()
        size = file.cap.size
        rng = random.Random(2)
        ranges = [(0, size), (0, 0), (size, size), (0, 1), (size - 1, size), (64, 128)]
        ranges += [(63, 65), (64, 64), (1, 63), (0, 64)]
        for _ in range(60):
            start = rng.randrange(size)
            ranges.append((start, rng.randint(start, size)))
        opened = await grid.downloader.open(file.cap)
        for start, end in ranges:
            download = opened.read(start, end)
            pieces = [piece async for piece in download]
            download.stop()
            self.assertTrue(all(pieces))
            self.assertEqual(b"".join(pieces), file.plaintext[start:end])

    async def test_next_range(self) -> None:
        """A range costs no new proof, and not the segment in which the one before ended."""
        grid, file = self.new_grid()
        opened = await grid.downloader.open(file.cap)
        download = opened.read(60, 70)
        [piece async for piece in download]
        before = self.reads(grid)
        download.go_on(66, 100)
        pieces = [piece async for piece in download]
        self.assertEqual(pieces, [file.plaintext[66:100]])
        self.assertEqual(self.reads(grid), before)
        download.go_on(100, 130)
        pieces = [piece async for piece in download]
        self.assertEqual(b"".join(pieces), file.plaintext[100:130])
        self.assertEqual(self.reads(grid), before + 2)  # two blocks of the next segment
        download.stop()

    async def test_ranges_at_once(self) -> None:
        """Ranges of one open file can be read side by side."""
        grid, file = self.new_grid()
        opened = await grid.downloader.open(file.cap)
        one, other = opened.read(0, 1024), opened.read(512, 1536)
        got = [b"", b""]
        for _ in range(16):
            got[0] += await one.__anext__()
            got[1] += await other.__anext__()
        self.assertEqual(got, [file.plaintext[:1024], file.plaintext[512:1536]])

    async def test_range_reads_only_its_segments(self) -> None:
        """A range in one segment reads the blocks of no other one."""
        grid, file = self.new_grid()
        await grid.read(file.cap, 5 * SEGMENT + 1, 5 * SEGMENT + 2)
        # Header, proof, block tree, block; the ciphertext tree from one of them.
        self.assertLessEqual(max(server.reads for server in grid.servers), 5 + 2)

    async def ahead(self, grid: Grid, download: Download, pieces: int) -> int:
        """Read *pieces*, and return how many segments are fetched beyond them."""
        before = self.reads(grid)
        for _ in range(pieces):
            await download.__anext__()
        last = -1
        while last != self.reads(grid):
            last = self.reads(grid)
            await pause(0.1)
        return (last - before) // 2 - pieces

    async def test_slow_reader(self) -> None:
        """While the reader is slow, a bounded number of segments is fetched ahead."""
        grid, file = self.new_grid(segments=400)
        download = await self.open(grid, file)
        for _ in range(100):
            await download.__anext__()
        await pause(0.1)
        ahead = self.segments_ahead(download)
        self.assertGreater(ahead, MOST_AHEAD)
        self.assertLessEqual(ahead, 4 * MOST_AT_ONCE)
        self.assertEqual(grid.downloads.budget.used, ahead * SEGMENT + self.rest(download))
        await pause(0.1)
        self.assertEqual(self.segments_ahead(download), ahead)
        download.stop()
        self.assertEqual(grid.downloads.budget.used, 0)

    def segments_ahead(self, download: Download) -> int:
        """Return how many segments are fetched that are not of the current run."""
        return sum(len(run.numbers) for run in download._ahead)

    def rest(self, download: Download) -> int:
        """Return the bytes of the current run, and of the piece that was given last."""
        return len(download._plaintexts) * SEGMENT + download._given

    async def test_at_once(self) -> None:
        """A reader that goes on has adjacent segments fetched at once, if that is quick."""
        grid, file = self.new_grid(segments=400)
        download = await self.open(grid, file)
        pieces = [piece async for piece in download]
        self.assertEqual(b"".join(pieces), file.plaintext)
        self.assertLess(self.reads(grid), 2 * 400 / 4)
        download.stop()
        grid, file = self.new_grid(segments=40)

        async def slow(operation: str, share: int) -> None:
            if operation == "read":
                await pause(1.1)

        opened = await grid.downloader.open(file.cap)
        await grid.read(file.cap, 0, 10)
        for server in grid.servers:
            server.mood = slow
        download = opened.read(64, 64 * 20)
        while await download.__anext__():
            self.assertEqual({len(run.numbers) for run in download._ahead} - {1}, set())
            if download._position >= 64 * 12:
                break
        download.stop()

    async def test_fast_reader(self) -> None:
        """A reader that goes on has the next segments ready."""
        grid, file = self.new_grid()
        download = await self.open(grid, file)
        await self.ahead(grid, download, 4)
        for server in grid.servers:
            server.mood = hanging("read")
        for number in range(4, 7):
            piece = Deferred.fromCoroutine(download.__anext__())
            self.assertEqual(
                self.successResultOf(piece),
                file.plaintext[number * SEGMENT : (number + 1) * SEGMENT],
            )
        download.stop()

    async def test_scattered_reader(self) -> None:
        """A range of one segment fetches that one; a player gets few more than it takes."""
        grid, file = self.new_grid()
        opened = await grid.downloader.open(file.cap)
        await self.ahead(grid, opened.read(0, SEGMENT), 1)  # reads the trees too
        for number in (7, 3, 30):
            one = opened.read(number * SEGMENT, (number + 1) * SEGMENT)
            self.assertEqual(await self.ahead(grid, one, 1), 0)
            one.stop()
        player = opened.read()
        player.go_on(5 * SEGMENT + 1, file.cap.size, open_ended=True)
        self.assertEqual(await self.ahead(grid, player, 3), 0)
        self.assertEqual(await self.ahead(grid, player, 14), 2)
        player.stop()

    async def pieces(self, grid: Grid, file: MadeFile) -> list[bytes]:
        """Return what a download of all gives."""
        download = await self.open(grid, file)
        try:
            return [piece async for piece in download]
        finally:
            download.stop()

    async def test_pieces(self) -> None:
        """Of many readers, none has a whole segment in the buffer of its connection."""
        size = 3 * PIECE + 5
        file = make_file(random.Random(3).randbytes(size), KEY, Encoding(1, 1, 1 << 21))
        grid = Grid.new(self)
        put_share(grid.servers[0], INDEX, 0, file.shares[0])
        self.assertEqual([len(each) for each in await self.pieces(grid, file)], [size])
        others = grid.downloads.budget.limit * 3 // 4
        grid.downloads.budget.reserve(others)
        pieces = await self.pieces(grid, file)
        grid.downloads.budget.release(others)
        self.assertEqual([len(piece) for piece in pieces], [PIECE] * 3 + [5])
        self.assertTrue(b"".join(pieces) == file.plaintext)
        self.assertEqual(grid.downloads.budget.used, 0)

    async def test_stop(self) -> None:
        """After a stop nothing is read any more, and nothing is left to complain of."""
        grid, file = self.new_grid()
        download = await self.open(grid, file)
        await download.__anext__()
        download.stop()
        await pause(0.05)
        reads = [server.reads for server in grid.servers]
        await pause(0.1)
        self.assertEqual([server.reads for server in grid.servers], reads)
        download.stop()

    async def test_stop_ends_what_hangs(self) -> None:
        """A stop ends the reads that servers do not answer."""
        grid, file = self.new_grid()
        download = await self.open(grid, file)
        ended = []

        async def mood(operation: str, share: int) -> None:
            try:
                await Deferred()
            finally:
                ended.append(share)

        for server in grid.servers:
            server.mood = mood
        waiting = Deferred.fromCoroutine(download.__anext__())
        await pause(0.05)
        self.assertNoResult(waiting)
        waiting.addErrback(lambda _: None)
        begun = sum(server.reads for server in grid.servers)
        download.stop()
        await pause(0.05)
        self.assertGreater(len(ended), 0)
        self.assertEqual(sum(server.reads for server in grid.servers), begun)

    async def test_segment_fails(self) -> None:
        """When the shares are gone halfway, what came was right; the rest is an error."""
        grid, file = self.new_grid()
        download = await self.open(grid, file)
        got = b""
        with self.assertRaises(NotEnoughShares):
            async for piece in download:
                got += piece
                if len(got) == 4 * SEGMENT:
                    for server in grid.servers:
                        server.mood = failing("read")
        download.stop()
        self.assertTrue(file.plaintext.startswith(got))
        self.assertGreaterEqual(len(got), 4 * SEGMENT)

    async def test_nothing_there(self) -> None:
        """A file without shares cannot be opened, and the error says what is missing."""
        grid = Grid.new(self)
        file = make_file(b"x" * 100, KEY, Encoding(2, 3, SEGMENT))
        with self.assertRaises(NotEnoughShares):
            await self.open(grid, file)
