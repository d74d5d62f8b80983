"""Files that are written as on a disk, and leave meanwhile."""

from __future__ import annotations

import errno
import os
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, Grid, calm, failing, new_tasks, pause
from truckee.codec.caps import ChkReadCap, LiteralCap
from truckee.codec.geometry import Encoding
from truckee.errors import Unavailable
from truckee.flow.limits import Budget
from truckee.flow.spool import SpoolDiskFull
from truckee.flow.together import together
from truckee.immutable.upload.keys import RandomKey
from truckee.status.task import State
from truckee.uploads import written_file, written_files
from truckee.uploads.errors import NoRoomForOpen, TooManyOpen, UploadAborted
from truckee.uploads.written_content import AT_END
from truckee.uploads.written_file import WrittenFile
from truckee.uploads.written_files import WrittenFiles

MIB = 1 << 20


class Base:
    """What a file had before."""

    def __init__(self, content: bytes) -> None:
        self.content, self.size = content, len(content)

    async def read(self, offset: int, length: int) -> bytes:
        """Return some of it."""
        return self.content[offset : offset + length]


class SlowBase(Base):
    """One whose reads behind byte 30,000 wait until they may go."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.go: Deferred[None] = Deferred()

    async def read(self, offset: int, length: int) -> bytes:
        """Return some of it, some time."""
        if offset > 30_000:
            await self.go
        return await super().read(offset, length)


async def _awaited(work: Deferred[None]) -> None:
    await work


class WrittenFileTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.grid = Grid.new(self, Encoding(2, 3))
        self.tasks = new_tasks(self)
        self.files = self.new_files()

    def new_files(self, grid: Grid | None = None, **more: Any) -> WrittenFiles:
        """Return written files on a grid, which end with the test."""
        grid = grid or self.grid
        files = WrittenFiles(
            grid.uploader,
            grid.disk,
            str(grid.root),
            REACTOR,
            self.tasks,
            RandomKey(),
            **more,
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(files.stop()))
        return files

    async def content(self, cap: object) -> bytes:
        """Return what is stored."""
        if isinstance(cap, LiteralCap):
            return cap.data
        assert isinstance(cap, ChkReadCap)
        return await self.grid.read(cap)

    async def check(self, file: WrittenFile, expected: bytes) -> None:
        """See that *expected* is stored, and read back before."""
        self.assertEqual(await file.read(0, len(expected) + 1), expected)
        self.assertEqual(await self.content(await file.store()), expected)
        await file.close()

    async def test_in_order(self) -> None:
        """It leaves while it is written, and never falls back."""
        file, data = self.files.open(), os.urandom(3 * MIB)
        for offset in range(0, len(data), 50_000):
            await file.write(offset, data[offset : offset + 50_000])
        self.assertTrue(file.is_leaving)
        self.assertFalse(file.fell_back)
        await self.check(file, data)
        self.assertEqual(file.status.spooled, 0)

    async def test_out_of_order(self) -> None:
        """Pieces in any order, many at once, still leave: gaps are filled soon."""
        file, data = self.files.open(), os.urandom(3 * MIB)
        size = 32 << 10
        pieces = [data[each : each + size] for each in range(0, len(data), size)]
        order = list(range(len(pieces)))
        for start in range(0, len(order), 8):
            some = order[start : start + 8]
            Random(start).shuffle(some)
            writes = [
                Deferred.fromCoroutine(file.write(number * size, pieces[number]))
                for number in some
            ]
            for each in writes:
                await each
        self.assertTrue(file.is_leaving)
        self.assertFalse(file.fell_back)
        await self.check(file, data)

    async def test_written_again(self) -> None:
        """What has left and is written again is stored when it is closed."""
        file, data = self.files.open(), bytearray(os.urandom(3 * MIB))
        await file.write(0, bytes(data))
        attempt = file._attempt
        assert attempt is not None
        await file.changes.until(lambda: attempt.stream.taken >= MIB)
        data[10:20] = b"0123456789"
        await file.write(10, b"0123456789")
        self.assertTrue(file.fell_back)
        [task] = self.tasks.active()
        self.assertEqual(task.phase, "spooling")
        await self.check(file, bytes(data))
        self.assertEqual(task.state, State.DONE)
        self.assertEqual(file.status.spooled, len(data))

    async def test_read_beside_writes(self) -> None:
        """Bytes that are read while others are written are not taken for missing ones."""
        base = SlowBase(bytes(100_000))
        file = self.files.open(base)
        for offset in range(10_000, 60_000, 10_000):
            await file.write(offset, b"x" * 1000)
        reading = Deferred.fromCoroutine(file.read(0, 60_000))
        # The ranges between what is read now become one with those before.
        for offset in range(0, 40_000, 10_000):
            await file.write(offset, b"y" * 10_000)
        base.go.callback(None)
        found = await reading
        self.assertEqual(found[40_000:41_000], b"x" * 1000)
        self.assertEqual(found[50_000:51_000], b"x" * 1000)
        await file.close()

    async def test_settle_beside_writes(self) -> None:
        """Who waits for what is written does not wait for what is written later."""
        file, going, count = self.files.open(), True, 0

        async def write_on() -> None:
            nonlocal count
            while going:
                count += 1
                some = [file.write(AT_END, b"x" * 1000) for _ in range(3)]
                await together(some)

        writers = [Deferred.fromCoroutine(write_on()) for _ in range(3)]
        for _ in range(20):
            size = file.size
            asked = file.write(AT_END, b"y" * 1000)
            done = Deferred.fromCoroutine(asked)
            await file.settle()
            self.assertGreaterEqual(file.size, size + 1000)
            await done
        going = False
        await together(_awaited(each) for each in writers)
        await file.close()

    async def test_small_and_empty(self) -> None:
        """A short file becomes its cap, an empty one too."""
        for data in (b"", b"x", b"x" * 55, b"x" * 56):
            file = self.files.open()
            if data:
                await file.write(0, data)
            await self.check(file, data)

    async def test_holes_and_sizes(self) -> None:
        """What was never written is zero; a file can be cut, and filled up."""
        file = self.files.open()
        await file.write(300_000, b"end")
        await file.resize(300_001)
        await file.resize(400_000)
        await file.write(0, b"begin")
        await self.check(file, b"begin" + bytes(299_995) + b"e" + bytes(99_999))

    async def test_cut_bytes_do_not_come_back(self) -> None:
        """What was cut away is zero when the file grows again."""
        file = self.files.open(Base(b"b" * 1000))
        await file.write(1000, b"a" * 1000)
        await file.resize(500)
        await file.resize(2000)
        await self.check(file, b"b" * 500 + bytes(1500))

    async def test_appended(self) -> None:
        """What is appended to what was there leaves at once, behind it."""
        before = os.urandom(MIB)
        file, more = self.files.open(Base(before)), os.urandom(2 * MIB)
        for start in range(0, len(more), 100_000):
            await file.write(AT_END, more[start : start + 100_000])
        self.assertTrue(file.is_leaving)
        await self.check(file, before + more)

    async def test_changed_in_the_middle(self) -> None:
        """What was there is kept but for what is written."""
        before = bytearray(os.urandom(MIB))
        file = self.files.open(Base(bytes(before)))
        before[500_000:500_003] = b"abc"
        await file.write(500_000, b"abc")
        self.assertFalse(file.is_leaving)
        await self.check(file, bytes(before))

    async def test_stored_twice(self) -> None:
        """Nothing is stored again that did not change; what changed is."""
        file = self.files.open()
        await file.write(0, b"a" * 1000)
        first = await file.store()
        self.assertIs(await file.store(), first)
        await file.write(AT_END, b"b")
        await self.check(file, b"a" * 1000 + b"b")

    async def test_random_writes(self) -> None:
        """Whatever is written wherever, what is stored is what a file would have."""
        for seed in range(6):
            random, expected = Random(seed), bytearray()
            file = self.files.open()
            for _ in range(60):
                offset, length = random.randrange(600_000), random.randrange(60_000)
                if random.random() < 0.1:
                    size = random.randrange(600_000)
                    expected = expected[:size] + bytes(max(0, size - len(expected)))
                    await file.resize(size)
                    continue
                data = random.randbytes(length)
                end = offset + length
                if length:
                    expected += bytes(max(0, end - len(expected)))
                    expected[offset:end] = data
                await file.write(offset, data)
            await self.check(file, bytes(expected))

    async def test_servers_fail_while_it_is_written(self) -> None:
        """An upload that broke on the way is made again from the encrypted file."""
        file, data = self.files.open(), os.urandom(4 * MIB)
        await file.write(0, data[: 2 * MIB])
        for server in self.grid.servers:
            server.mood = failing("write")
        await file.write(2 * MIB, data[2 * MIB :])
        # That it broke is seen when more is stored, at the latest with the last byte.
        while not file.fell_back:
            await file.write(AT_END, b"more")
            data += b"more"
            await pause()
        for server in self.grid.servers:
            server.mood = calm
        await self.check(file, data)

    async def test_nobody_stores_it(self) -> None:
        """A file that cannot be stored says so, and what it has is still there."""
        files = self.new_files()
        file = files.open()
        await file.write(0, b"x" * 1000)
        self.grid.takers = []
        self.patch(written_file, "_TRIES", 2)
        self.patch(written_file, "_FIRST_WAIT", 0.01)
        with self.assertRaises(Unavailable):
            await file.store()
        self.assertEqual(await file.read(0, 2000), b"x" * 1000)
        await file.close()

    async def test_given_up(self) -> None:
        """Closed before it is stored, nothing of it is left, and its task is cancelled."""
        file = self.files.open()
        await file.write(0, os.urandom(2 * MIB))
        [task] = self.tasks.active()
        await file.close()
        self.assertEqual(task.state, State.CANCELLED)
        with self.assertRaises(UploadAborted):
            await file.write(0, b"x")
        with self.assertRaises(UploadAborted):
            await file.store()
        self.assertEqual(self.grid.uploader.active, 0)
        await file.close()

    async def test_bounds(self) -> None:
        """There may be so many, and they may have so much."""
        grid = Grid.new(self, Encoding(2, 3), spool_limit=MIB)
        files = self.new_files(grid, most=2)
        one, two = files.open(), files.open()
        with self.assertRaises(TooManyOpen):
            files.open()
        limit = MIB
        with self.assertRaises(NoRoomForOpen):
            await one.write(limit, b"x")
        with self.assertRaises(NoRoomForOpen):
            await one.resize(limit + 1)
        await one.resize(limit - 10)
        with self.assertRaises(NoRoomForOpen):
            await two.write(0, b"x" * 11)
        await one.close()
        await two.write(0, b"x" * 11)

    async def test_of_one_owner(self) -> None:
        """One who opens as many as may be leaves room for others."""
        self.patch(written_files, "MOST_OF_OWNER", 2)
        files = [self.files.open(owner="a") for _ in range(2)]
        with self.assertRaises(TooManyOpen):
            self.files.open(owner="a")
        self.files.open(owner="b")
        await files[0].close()
        self.files.open(owner="a")

    async def test_more_than_there_are_places(self) -> None:
        """Those who find no place wait on the disk, and are stored one after the other."""
        self.grid = Grid.new(self, Encoding(2, 3), budget=Budget(10 << 20))
        all_files = self.new_files()
        self.assertLess(all_files._places.limit, 6)
        files = [all_files.open() for _ in range(12)]
        contents = [os.urandom(300_000) for _ in files]
        for file, content in zip(files, contents, strict=True):
            await file.write(0, content)
        stores = [Deferred.fromCoroutine(file.store()) for file in files]
        for file, content, store in zip(files, contents, stores, strict=True):
            self.assertEqual(await self.content(await store), content)
            await file.close()
        self.assertEqual(all_files._places.used, 0)

    async def test_full_disk(self) -> None:
        """A file of which a write failed is not stored, until it begins anew."""
        file = self.files.open()
        await file.write(0, b"a" * 1000)
        real = os.pwrite

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "full")

        self.patch(os, "pwrite", full)
        with self.assertRaises(SpoolDiskFull):
            await file.write(1000, b"b" * 1000)
        self.patch(os, "pwrite", real)
        await file.write(2000, b"c" * 1000)
        for _ in range(2):
            with self.assertRaises(SpoolDiskFull):
                await file.store()
            with self.assertRaises(SpoolDiskFull), file.whole():
                self.fail("a part of it is given away")
        await file.resize(100)
        with self.assertRaises(SpoolDiskFull):
            await file.store()
        await file.resize(0)
        await file.write(0, b"anew" * 100)
        await self.check(file, b"anew" * 100)

    async def test_refused_write(self) -> None:
        """A file of which a write was refused is not stored."""
        grid = Grid.new(self, Encoding(2, 3), spool_limit=MIB)
        file = self.new_files(grid).open()
        await file.write(0, b"a" * 1000)
        with self.assertRaises(NoRoomForOpen):
            await file.write(MIB, b"x")
        with self.assertRaises(NoRoomForOpen):
            await file.store()
        await file.close()

    async def test_closed_while_it_waits_for_a_place(self) -> None:
        """Whoever is given up while he waits to be stored gives his place back."""
        self.grid = Grid.new(self, Encoding(2, 3), budget=Budget(10 << 20))
        files = self.new_files()
        for _ in range(files._places.limit):
            self.assertTrue(files._places.try_take(1))
        file = files.open()
        await file.write(0, b"x" * 1000)
        store = Deferred.fromCoroutine(file.store())
        await file.close()
        for _ in range(files._places.limit):
            files._places.give(1)
        with self.assertRaises(UploadAborted):
            await store
        self.assertEqual((files._places.used, files._files), (0, {}))

    async def test_closed_while_somebody_takes_it(self) -> None:
        """Whoever stores a whole file is stopped when it is given up, and told why."""
        file = self.files.open(streams=False)
        await file.write(0, os.urandom(MIB))
        with self.assertRaises(UploadAborted), file.whole() as chunks:
            await chunks.__anext__()
            await file.close()
            await chunks.__anext__()
        self.assertEqual(self.files._files, {})
