"""Contents of files: read at any place, and forgotten when nobody reads on."""

from __future__ import annotations

import os
from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.frontends.sftp.client import Place
from tests.grids import calm, failing
from truckee.codec.caps import MutableWriteCap
from truckee.codec.children import Child, new_child
from truckee.errors import TruckeeError
from truckee.flow.together import together
from truckee.frontends.sftp.contents import Contents, Downloaded, FileContent
from truckee.frontends.sftp.errors import NotDone
from truckee.immutable.upload.body import Body
from truckee.immutable.upload.keys import RandomKey
from truckee.immutable.upload.options import UploadOptions

DATA = os.urandom(3_000_001)


class ContentsTests(TestCase):
    timeout = 60
    place: Place

    async def setUp(self) -> None:  # type: ignore[override]
        self.place = await Place.new(self)
        self.clock = Clock()
        grid, tree = self.place.grid, self.place.tree
        self.contents = Contents(grid.downloader, tree.files.reader, self.clock)

    async def stored(self, data: bytes) -> Child:
        """Return a file that cannot change."""
        options = UploadOptions(RandomKey(), len(data))
        cap = await self.place.grid.uploader.upload(Body.of(data), options)
        return new_child(str(cap), None)

    async def mutable(self, data: bytes) -> Child:
        """Return a file that can."""
        files = self.place.tree.files
        cap: MutableWriteCap = await files.create("SSK", Body.of(data))
        return new_child(str(cap), None)

    async def open(self, child: Child) -> FileContent:
        """Return what it holds."""
        content = await self.contents.open(child)
        self.addCleanup(content.close)
        return content

    def held(self) -> int:
        """Bytes that are in memory for readers."""
        return self.place.grid.downloads.holdings.budget.used

    async def test_kinds(self) -> None:
        """Files of each kind are read, and have a size; directories and strangers not."""
        for data in (b"", b"short", DATA):
            for child in (await self.stored(data), await self.mutable(data)):
                content = await self.open(child)
                self.assertEqual(content.size, len(data))
                self.assertEqual(await self.contents.size(child), len(data))
                self.assertEqual(await content.read(0, len(data) + 1), data)
        for cap in (str(self.place.root), "x-future:what"):
            child = new_child(None, cap)
            self.assertIsNone(await self.contents.size(child))
            with self.assertRaises(NotDone):
                await self.contents.open(child)

    async def test_any_place(self) -> None:
        """Reads of any places and lengths give what is there, up to the end."""
        random = Random(7)
        for child in (await self.stored(DATA), new_child("URI:LIT:nbswy3dp", None)):
            content = await self.open(child)
            data = DATA if content.size > 5 else b"hello"
            for _ in range(40):
                offset = random.randrange(len(data) + 10)
                length = random.choice((0, 1, 1000, 32 << 10, 300_000, len(data)))
                got = await content.read(offset, length)
                self.assertEqual(got, data[offset : offset + length], (offset, length))

    async def test_many_at_once(self) -> None:
        """Those that are asked for together are answered each with its own bytes."""
        content, size = await self.open(await self.stored(DATA)), 100_000
        starts = [*range(0, len(DATA), size), 5, 1_000_000]
        found = await together(content.read(start, size) for start in starts)
        self.assertEqual(found, [DATA[start : start + size] for start in starts])

    async def test_failed(self) -> None:
        """A read that failed is no end: the next one is tried again."""
        content = await self.open(await self.stored(DATA))
        for server in self.place.grid.servers:
            server.mood = failing("read")
        with self.assertRaises(TruckeeError):
            await content.read(2_000_000, 1000)
        for server in self.place.grid.servers:
            server.mood = calm
        self.assertEqual(await content.read(500, 1000), DATA[500:1500])

    async def test_idle(self) -> None:
        """What was read ahead is held for two seconds after a read, no longer."""
        content = await self.open(await self.stored(DATA))
        assert isinstance(content, Downloaded)
        await content.read(0, 1000)
        self.clock.advance(1.9)
        await content.read(1000, 1000)
        self.clock.advance(1.9)
        self.assertGreater(self.held(), 0)
        self.clock.advance(0.1)
        self.assertEqual(len(content._piece), 0)
        self.assertEqual(await content.read(2000, 1000), DATA[2000:3000])
        await content.close()
        self.place.grid.downloads.stop()
        self.assertEqual(self.held(), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_here_and_there(self) -> None:
        """Who reads little of each place fetches no segment twice, nor one behind it."""
        content, grid = await self.open(await self.stored(DATA)), self.place.grid

        async def reads(*places: int) -> int:
            before = sum(server.reads for server in grid.servers)
            for place in places:
                self.assertEqual(
                    await content.read(place, 4096), DATA[place : place + 4096]
                )
            return sum(server.reads for server in grid.servers) - before

        self.assertGreater(await reads(2_500_000, 1000), 0)
        self.assertEqual(await reads(2_600_000, 9000, 2_700_000, 50_000, 54_096, 58_192), 0)
