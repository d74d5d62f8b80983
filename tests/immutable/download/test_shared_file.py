"""Files in use share what they fetch and what they know."""

from __future__ import annotations

import gc
import random

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.grids import (
    Grid,
    MadeFile,
    failing,
    hanging,
    in_chunks,
    make_file,
    pause,
    put_share,
    until,
)
from truckee.codec.caps import ChkReadCap, ChkVerifyCap
from truckee.codec.cipher import crypt
from truckee.codec.geometry import Encoding
from truckee.codec.guess import Guess
from truckee.codec.hashes import storage_index_of
from truckee.flow.together import together
from truckee.immutable.download.cache import CacheLimits
from truckee.immutable.download.open_files import OpenFiles
from truckee.immutable.download.shared_file import SharedFile
from truckee.immutable.download.sources import NotEnoughShares
from truckee.immutable.upload.keys import GivenKey
from truckee.immutable.upload.options import UploadOptions
from truckee.storage.interfaces import NotConnected

KEY = b"k" * 16
INDEX = storage_index_of(KEY)
SEGMENT = 64
SEGMENTS = 40


class _Case(TestCase):
    timeout = 120

    def new_grid(self, shares: int = 3, **options: object) -> tuple[Grid, MadeFile]:
        """Return a grid with one file, each share on a server of its own."""
        plaintext = random.Random(1).randbytes(SEGMENT * SEGMENTS - 7)
        file = make_file(plaintext, KEY, Encoding(2, shares, SEGMENT))
        grid = Grid.new(self, servers=shares, **options)  # type: ignore[arg-type]
        for number, share in enumerate(file.shares):
            put_share(grid.servers[number], INDEX, number, share)
        self.ciphertext = crypt(KEY, 0, plaintext)
        return grid, file

    def get(self, grid: Grid, file: MadeFile) -> SharedFile:
        return grid.downloads.files.get(file.cap.verify_cap())

    def right(self, number: int) -> bytes:
        """Return the ciphertext of a segment."""
        return self.ciphertext[number * SEGMENT : (number + 1) * SEGMENT]

    async def segment(self, shared: SharedFile, number: int) -> bytes:
        """Return the ciphertext of one segment."""
        [found] = await shared.segments(range(number, number + 1))
        return found

    def reads(self, grid: Grid) -> int:
        return sum(server.reads for server in grid.servers)


class SharedFileTests(_Case):
    async def test_second_range_costs_its_blocks(self) -> None:
        """Shares, proofs and trees are known from another reader's range."""
        grid, file = self.new_grid()
        await grid.read(file.cap, 0, 10)
        before = self.reads(grid)
        for server in grid.servers:
            server.mood = failing("buckets")
        self.assertEqual(
            await grid.read(file.cap, 5 * SEGMENT, 6 * SEGMENT),
            file.plaintext[5 * SEGMENT : 6 * SEGMENT],
        )
        self.assertEqual(self.reads(grid), before + 2)

    async def test_readers_share(self) -> None:
        """Readers who want the same segment at once fetch it once."""
        grid, file = self.new_grid()
        await grid.read(file.cap, 0, 10)
        before = self.reads(grid)
        shared = self.get(grid, file)
        found = await together(self.segment(shared, 7) for _ in range(20))
        self.assertEqual(found, [self.right(7)] * 20)
        self.assertEqual(self.reads(grid), before + 2)

    async def test_replaced(self) -> None:
        """Shares that were stored anew, with their parts elsewhere, are not called bad."""
        data = random.Random(3).randbytes(200 * SEGMENT)
        for again in ((0, 10), (len(data) - 10, len(data))):
            grid = Grid.new(self, Encoding(2, 3, SEGMENT))
            for size in (len(data), None):
                cap = await grid.uploader.upload(
                    in_chunks(data, 4096), UploadOptions(GivenKey(KEY), size)
                )
                assert isinstance(cap, ChkReadCap)
                for start, end in ((0, 10), again):
                    found = await grid.read(cap, start, end)
                    self.assertEqual(found, data[start:end])
                for server in grid.servers:
                    for share in server.directory.shares(INDEX).values():
                        share.path.unlink()
            await pause(0.1)
            self.assertEqual(grid.files, [])

    async def test_one_reader_leaves(self) -> None:
        """Who goes away takes nothing from the others; with the last one the fetch ends."""
        grid, file = self.new_grid()
        await grid.read(file.cap, 0, 10)
        shared = self.get(grid, file)
        go_on: list[Deferred[None]] = []
        ended: list[int] = []

        async def mood(operation: str, share: int) -> None:
            go_on.append(Deferred())
            try:
                await go_on[-1]
            except CancelledError:
                ended.append(share)
                raise

        for server in grid.servers:
            server.mood = mood
        one, other = (Deferred.fromCoroutine(self.segment(shared, 7)) for _ in range(2))
        await until(lambda: len(go_on) == 2)
        one.cancel()
        self.failureResultOf(one, CancelledError)
        await pause(0.05)
        self.assertEqual(ended, [])
        for each in go_on:
            each.callback(None)
        self.assertEqual(await other, self.right(7))
        last = Deferred.fromCoroutine(self.segment(shared, 8))
        await until(lambda: len(go_on) == 4)
        last.cancel()
        self.failureResultOf(last, CancelledError)
        await until(lambda: len(ended) == 2)

    async def test_located_again(self) -> None:
        """When too few known sources are left, they are looked for again."""
        grid, file = self.new_grid()
        await grid.read(file.cap, 0, 10)
        for number in (0, 1):
            grid.servers[number].mood = failing("read", error=NotConnected("x"))
        with self.assertRaises(NotEnoughShares):
            await grid.read(file.cap, 70, 80)
        for server in grid.servers:
            server.mood = failing()
        self.assertEqual(await grid.read(file.cap, 70, 80), file.plaintext[70:80])
        # They are given up for one look only.
        self.assertEqual(await grid.read(file.cap, 200, 210), file.plaintext[200:210])

    async def test_moved(self) -> None:
        """A share that went to another server is found there, by one who reads on."""
        grid, file = self.new_grid()
        download = (await grid.downloader.open(file.cap)).read(0, file.cap.size)
        got = await download.__anext__()
        for number in (0, 1):
            grid.servers[number].mood = failing("read", "buckets")
            put_share(grid.servers[2], INDEX, number, file.shares[number])
        got += b"".join([piece async for piece in download])
        download.stop()
        self.assertEqual(got, file.plaintext)

    async def test_liars_are_remembered(self) -> None:
        """A share that was corrupt is not asked again after another look for shares."""
        grid, file = self.new_grid(4)
        put_share(grid.servers[0], INDEX, 0, bytes(len(file.shares[0])))
        await grid.read(file.cap, 0, 10)
        reads = grid.servers[0].reads
        lost = {1, 2, 3}

        async def mood(operation: str, share: int) -> None:
            if operation == "read" and share in lost:
                lost.remove(share)
                raise NotConnected("x")

        for server in grid.servers:
            server.mood = mood
        self.assertEqual(await grid.read(file.cap, 70, 80), file.plaintext[70:80])
        self.assertLess(len(lost), 3)
        self.assertEqual(grid.servers[0].reads, reads)
        self.assertEqual(len(grid.servers[0].advice), 1)

    async def test_mended(self) -> None:
        """A file that could not be read can be, as soon as its shares are mended."""
        grid, file = self.new_grid()
        await grid.read(file.cap, 0, 10)
        for number, share in enumerate(file.shares):
            put_share(grid.servers[number], INDEX, number, bytes(len(share)))
        with self.assertRaises(NotEnoughShares):
            await grid.read(file.cap, 70, 80)
        for number, share in enumerate(file.shares):
            put_share(grid.servers[number], INDEX, number, share)
        self.assertEqual(await grid.read(file.cap, 70, 80), file.plaintext[70:80])

    async def test_nothing_is_left_running(self) -> None:
        """A reader who goes away while shares are looked for ends that."""
        grid, file = self.new_grid()
        for server in grid.servers:
            server.mood = hanging("buckets")
        opening = Deferred.fromCoroutine(grid.downloader.open(file.cap))
        await pause(0.05)
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        for server in grid.servers:
            server.mood = failing()
        self.assertEqual(await grid.read(file.cap, 0, 10), file.plaintext[:10])


class CachedTests(_Case):
    """What is in the cache is not fetched."""

    async def new_cached(self) -> tuple[Grid, MadeFile]:
        grid, file = self.new_grid(cache=CacheLimits(1 << 24))
        await grid.downloads.cache.start()
        return grid, file

    async def test_no_server(self) -> None:
        """A file that is in the cache needs no server, in the next process either."""
        grid, file = await self.new_cached()
        self.assertEqual(await grid.read(file.cap), file.plaintext)
        await until(lambda: not grid.downloads.cache._writing)
        grid.downloads.stop()
        for server in grid.servers:
            server.mood = failing("buckets", "read")
        grid.__attrs_post_init__()
        await grid.downloads.cache.start()
        self.assertEqual(await grid.read(file.cap), file.plaintext)
        self.assertEqual(grid.downloads.cache.status.misses, 0)
        grid.downloads.stop()

    async def test_damaged(self) -> None:
        """Every entry of a file is flipped: it is fetched again, and right."""
        grid, file = await self.new_cached()
        await grid.read(file.cap)
        cache = grid.downloads.cache
        await until(lambda: not cache._writing)
        entries = [path for path in grid.files if "cache" in path.parts]
        self.assertEqual(len(entries), SEGMENTS + 1)
        for path in entries:
            data = bytearray(path.read_bytes())
            data[random.Random(path.name).randrange(len(data))] ^= 1
            path.write_bytes(data)
        grid.downloads.files.stop()
        gc.collect()
        self.assertEqual(await grid.read(file.cap), file.plaintext)
        self.assertEqual(cache.status.damaged, SEGMENTS + 1)

    async def test_no_secret(self) -> None:
        """Neither plaintext nor a key is in any file of the cache, nor in a name there."""
        canary = b"canary-" * 9 + b"!"
        file = make_file(canary * 100, KEY, Encoding(2, 3, SEGMENT * 10))
        grid = Grid.new(self, cache=CacheLimits(1 << 24))
        for number, share in enumerate(file.shares):
            put_share(grid.servers[number], INDEX, number, share)
        await grid.downloads.cache.start()
        self.assertEqual(await grid.read(file.cap), canary * 100)
        await until(lambda: not grid.downloads.cache._writing)
        entries = [path for path in grid.files if "cache" in path.parts]
        self.assertEqual(len(entries), 11)
        words = str(file.cap).split(":")
        for path in entries:
            held = path.read_bytes() + str(path).encode()
            for secret in (b"canary", KEY, KEY.hex().encode(), INDEX, words[2].encode()):
                self.assertNotIn(secret, held)


class OpenFilesTests(SynchronousTestCase):
    """The table of open files, without any file."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.files = OpenFiles(self.open, self.clock)
        self.opened = 0

    def open(self, cap: ChkVerifyCap) -> SharedFile:
        self.opened += 1
        nothing: object = None
        return SharedFile(cap, nothing, nothing, nothing, self.clock, Guess())  # type: ignore[arg-type]

    def cap(self, number: int) -> ChkVerifyCap:
        return ChkVerifyCap(b"%016d" % number, b"u" * 32, 3, 10, 1000)

    def test_kept_for_a_while(self) -> None:
        """A file that nobody has is kept for a minute after it was last asked for."""
        self.files.get(self.cap(1))
        self.clock.advance(30)
        self.files.get(self.cap(1))
        self.clock.advance(45)
        self.files.get(self.cap(1))
        self.assertEqual(self.opened, 1)
        self.clock.pump([15] * 6)
        gc.collect()
        self.assertEqual(len(self.files), 0)
        self.files.get(self.cap(1))
        self.assertEqual(self.opened, 2)
        self.files.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_in_use(self) -> None:
        """A file that somebody has is the same for the next one, however late."""
        mine = self.files.get(self.cap(1))
        self.clock.pump([15] * 60)
        self.assertIs(self.files.get(self.cap(1)), mine)
        [timer] = self.clock.getDelayedCalls()
        self.assertLessEqual(timer.getTime(), self.clock.seconds() + 60)

    def test_bounded(self) -> None:
        """So many files are kept, and those that were asked for last."""
        for number in range(100):
            self.files.get(self.cap(number))
        gc.collect()
        self.assertEqual(len(self.files), 64)
        for number in range(36, 100):
            self.files.get(self.cap(number))
        self.assertEqual(self.opened, 100)
        self.files.get(self.cap(0))
        self.assertEqual(self.opened, 101)
