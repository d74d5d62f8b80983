"""What every ``IStorageServer`` does, its writers and readers included."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Mapping
from contextlib import suppress

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from tests.grids import OTHER_SECRETS, SECRETS, new_directory, new_workers
from truckee.errors import Misuse, TruckeeError
from truckee.storage.direct_shares import DirectShares
from truckee.storage.interfaces import (
    IShareReader,
    IShareWriter,
    IStorageServer,
    ShareClosed,
    ShareTooLarge,
)
from truckee.storage.kept_shares import KeptShares
from truckee.storage.server import DiskServer
from truckee.storage.sharefiles import ShareDirectory

INDEX = b"i" * 16
OTHER = b"o" * 16


class StorageCase(TestCase):
    """
    A server that keeps its shares on a disk of this process.

    Derive from this and give ``new_server``.  Each test runs on one that holds nothing.
    """

    timeout = 120
    threads = 4  # for the disk

    disk: DiskServer  # where the shares end up
    server: IStorageServer
    now = 1_000_000_000  # Unix seconds

    async def setUp(self) -> None:  # type: ignore[override]  # trial waits for it
        self.disk = DiskServer(
            name="disk",
            permutation_seed=b"p" * 20,
            lease_seed=b"l" * 20,
            directory=ShareDirectory(new_directory(self)),
            disk=new_workers(self, self.threads),
            now=lambda: self.now,
        )
        self.disk.start()
        kept = self.disk.kept = KeptShares(self.disk, self.disk._disk, lambda: self.now)
        kept.start()
        self.disk.direct = DirectShares(self.disk, self.disk._disk, lambda: self.now)
        # Cleanups run before tearDown, the last one first: the workers are still there.
        self.addCleanup(lambda: Deferred.fromCoroutine(self.check_end()))
        self.server = await self.new_server()

    async def new_server(self) -> IStorageServer:
        """Return a server that keeps its shares on ``disk``."""
        raise NotImplementedError

    async def check_end(self) -> None:
        """Whatever a test did, nothing is promised when its writers are done with."""
        for writer in list(self.disk._writers.values()):
            assert writer is not None
            await writer.abort()
        incoming = self.disk.directory.root / "shares" / "incoming"
        self.assertEqual([path for path in incoming.rglob("*") if path.is_file()], [])
        self.assertEqual(await self.disk.buckets(b"n" * 16), {})
        await self.disk.add_lease(INDEX, SECRETS)

    def forget(self) -> None:
        """Remove all shares of the file."""
        shutil.rmtree(self.disk.directory.home(INDEX), ignore_errors=True)

    def leases(self, share: int, size: int) -> list[int]:
        """Return when the leases of a share of *size* bytes end, in their order."""
        data = (self.disk.directory.home(INDEX) / str(share)).read_bytes()
        return [expires for _, expires in struct.iter_unpack(">68sL", data[12 + size :])]


class StorageServerContract(StorageCase):
    """Derive from this too, and say what a transport cannot do."""

    open_ended = True  # a share may be closed short of what was allocated
    takes_open_ends = True  # or must the size be known beforehand?
    holes = True  # bytes that were never written are zeros
    # A call that is cancelled has ended then, so that what it did can be taken back.
    waits_when_cancelled = True
    too_large: type[Exception] = ShareTooLarge  # what a write past the end raises
    closed: type[Exception] = ShareClosed  # what a closed writer raises

    async def writer(
        self, share: int = 0, size: int = 8, open_ended: bool = False, index: bytes = INDEX
    ) -> IShareWriter:
        """Return a writer for one share."""
        answer = await self.server.allocate(index, SECRETS, {share}, size, open_ended)
        return answer.writers[share]

    async def store(self, share: int, data: bytes, index: bytes = INDEX) -> None:
        """Have a finished share."""
        writer = await self.writer(share, len(data), index=index)
        await writer.write(0, [data])
        await writer.close(len(data))

    async def found(self, index: bytes = INDEX) -> dict[int, bytes]:
        """Return the contents of all finished shares."""
        readers = await self.server.buckets(index)
        return {share: await reader.read(0, 1 << 20) for share, reader in readers.items()}

    async def test_interfaces(self) -> None:
        """The server, its writers and its readers have all the methods."""
        verifyObject(IStorageServer, self.server)
        writer = await self.writer(0)
        verifyObject(IShareWriter, writer)
        await writer.write(0, [b"12345678"])
        await writer.close(8)
        readers = await self.server.buckets(INDEX)
        verifyObject(IShareReader, readers[0])
        self.assertEqual(len(self.server.lease_seed), 20)

    async def test_nothing(self) -> None:
        """Of a file that nobody stored there are no shares, and leases on them are fine."""
        self.assertEqual(await self.found(), {})
        await self.server.add_lease(INDEX, SECRETS)
        answer = await self.server.allocate(INDEX, SECRETS, set(), 100)
        self.assertEqual((set(answer.already), dict(answer.writers)), (set(), {}))

    async def test_space(self) -> None:
        """There is a number of bytes it would take: none when it is full or read-only."""
        self.assertGreater(await self.server.available_space(), 0)
        self.disk.reserved_space = 1 << 62
        self.assertEqual(await self.server.available_space(), 0)
        self.disk.reserved_space = 0
        self.disk.readonly = True
        self.assertEqual(await self.server.available_space(), 0)

    async def test_refused(self) -> None:
        """A share for which there is no space is refused; what was given out goes on."""
        await self.store(0, b"12345678")
        writer = await self.writer(1)
        self.disk.reserved_space = 1 << 62
        answer = await self.server.allocate(INDEX, SECRETS, {0, 1, 2}, 8)
        self.assertEqual((set(answer.already), dict(answer.writers)), ({0}, {}))
        await writer.write(0, [b"12345678"])
        await writer.close(8)
        self.assertEqual(await self.found(), {0: b"12345678", 1: b"12345678"})

    async def test_partly_refused(self) -> None:
        """Where there is room for some shares only, these are given."""
        free = self.disk.directory.free_space()
        size = free // 8
        self.disk.reserved_space = free - 2 * size - size // 2
        answer = await self.server.allocate(INDEX, SECRETS, {0, 1, 2, 3}, size)
        self.assertEqual(len(answer.writers), 2)
        for writer in answer.writers.values():
            await writer.abort()

    async def test_leases(self) -> None:
        """Allocating and adding a lease renew those of all finished shares of the file."""
        month = 31 * 86400
        for share in (0, 1):
            await self.store(share, b"12345678")
            self.assertEqual(self.leases(share, 8), [self.now + month])
        self.now += 1000
        await self.server.allocate(INDEX, SECRETS, set(), 8)
        self.assertEqual(self.leases(0, 8), [self.now + month])
        self.now += 1000
        await self.server.add_lease(INDEX, SECRETS)
        self.assertEqual(self.leases(0, 8), [self.now + month])
        first, self.now = self.now, self.now + 1000
        await self.server.add_lease(INDEX, OTHER_SECRETS)
        for share in (0, 1):
            expected = [first + month, self.now + month]
            self.assertEqual(self.leases(share, 8), expected)
        self.assertEqual(await self.found(), {0: b"12345678", 1: b"12345678"})

    async def test_store(self) -> None:
        """What was written and closed is read back; files do not know each other."""
        await self.store(0, b"a share")
        await self.store(255, b"another")
        await self.store(0, b"of another file", OTHER)
        self.assertEqual(await self.found(), {0: b"a share", 255: b"another"})
        self.assertEqual(await self.found(OTHER), {0: b"of another file"})

    async def test_several_at_once(self) -> None:
        """One allocation gives a writer for each share."""
        answer = await self.server.allocate(INDEX, SECRETS, {3, 1, 2}, 1)
        self.assertEqual(set(answer.writers), {1, 2, 3})
        self.assertEqual(set(answer.already), set())
        for share, writer in answer.writers.items():
            await writer.write(0, [b"%d" % share])
            await writer.close(1)
        self.assertEqual(await self.found(), {1: b"1", 2: b"2", 3: b"3"})

    async def test_read(self) -> None:
        """Any range is read; past the end there is less, or nothing."""
        await self.store(0, b"0123456789")
        reader = (await self.server.buckets(INDEX))[0]
        for offset, length, expected in (
            (0, 10, b"0123456789"),
            (0, 0, b""),
            (3, 4, b"3456"),
            (8, 5, b"89"),
            (10, 1, b""),
            (11, 1, b""),
            (1 << 40, 1, b""),
            ((1 << 63) + 1, 1, b""),
            ((1 << 64) - 1, 1 << 40, b""),
            (0, 1 << 40, b"0123456789"),
        ):
            self.assertEqual(await reader.read(offset, length), expected)

    async def test_invisible_until_closed(self) -> None:
        """No reader sees a share before it is closed."""
        writer = await self.writer()
        await writer.write(0, [b"12345678"])
        self.assertEqual(await self.found(), {})
        await writer.close(8)
        self.assertEqual(await self.found(), {0: b"12345678"})

    async def test_any_order(self) -> None:
        """Writes come in any order, in parts of any kind, and again."""
        writer = await self.writer(size=8)
        await writer.write(6, [b"gh"])
        await writer.write(0, [b"ab", b"", bytearray(b"cd"), memoryview(b"ef")])
        await writer.write(2, [b"cd"])
        await writer.write(6, [b"gh"])
        await writer.write(8, [])
        await writer.close(8)
        self.assertEqual(await self.found(), {0: b"abcdefgh"})

    async def test_holes(self) -> None:
        """What was never written reads as zeros."""
        if not self.holes:
            return
        writer = await self.writer(0, size=16)
        await writer.write(12, [b"c"])
        await writer.write(0, [b"ab"])
        await writer.close(16)
        writer = await self.writer(1, size=3)
        await writer.close(3)
        expected = {0: b"ab" + bytes(10) + b"c" + bytes(3), 1: bytes(3)}
        self.assertEqual(await self.found(), expected)

    async def test_many_parts(self) -> None:
        """One write can have more parts than the system takes in a call."""
        writer = await self.writer(size=5000)
        await writer.write(0, [bytes([i % 256]) for i in range(5000)])
        await writer.close(5000)
        expected = bytes(i % 256 for i in range(5000))
        self.assertEqual(await self.found(), {0: expected})

    async def test_too_large(self) -> None:
        """Nothing is written past the size that was asked for, and the rest goes on."""
        writer = await self.writer(size=8)
        for offset, data in ((0, b"123456789"), (8, b"1"), (1 << 40, b"1")):
            with self.assertRaises(self.too_large):
                await writer.write(offset, [data])
        await writer.write(0, [b"12345678"])
        await writer.close(8)
        self.assertEqual(await self.found(), {0: b"12345678"})

    async def test_closed_too_large(self) -> None:
        """No share is closed larger than asked for: it goes on."""
        if not self.open_ended:
            return
        writer = await self.writer(size=8)
        await writer.write(0, [b"12345678"])
        with self.assertRaises(self.too_large):
            await writer.close(9)
        await writer.close(8)
        self.assertEqual(await self.found(), {0: b"12345678"})

    async def test_open_ended(self) -> None:
        """An open-ended share is as long as it is when closed."""
        if not self.open_ended:
            return
        writer = await self.writer(size=1 << 40, open_ended=True)
        await writer.write(0, [b"12345678"])
        await writer.close(5)
        self.assertEqual(await self.found(), {0: b"12345"})

    async def test_takes_open_ends(self) -> None:
        """It says whether it takes a share whose size is not known yet, and it does so."""
        self.assertIs(self.server.takes_open_ends, self.takes_open_ends)
        if not self.takes_open_ends:
            with self.assertRaises(Misuse):
                await self.writer(size=8, open_ended=True)
            self.assertEqual(await self.found(), {})
            return
        writer = await self.writer(size=8, open_ended=True)
        await writer.write(0, [b"12345"])
        await writer.close(5)
        found = await self.found()
        # Where there is no open end in the protocol, zeros follow.
        self.assertEqual(found[0].rstrip(b"\0"), b"12345")

    async def test_closed(self) -> None:
        """A closed share takes no more, and aborting it changes nothing."""
        writer = await self.writer()
        await writer.write(0, [b"12345678"])
        await writer.close(8)
        with self.assertRaises(self.closed):
            await writer.write(0, [b"x"])
        with self.assertRaises(self.closed):
            await writer.close(8)
        await writer.abort()
        await writer.abort()
        self.assertEqual(await self.found(), {0: b"12345678"})

    async def test_already(self) -> None:
        """Finished shares are named, asked for or not, and not written again."""
        await self.store(0, b"12345678")
        await self.store(1, b"12345678")
        answer = await self.server.allocate(INDEX, OTHER_SECRETS, {1, 2}, 8)
        self.assertEqual(set(answer.already), {0, 1})
        self.assertEqual(set(answer.writers), {2})

    async def test_two_writers(self) -> None:
        """A share that somebody is writing is refused to others until it is aborted."""
        first = await self.writer(0)
        answer = await self.server.allocate(INDEX, OTHER_SECRETS, {0, 1}, 8)
        self.assertEqual(set(answer.already), set())
        self.assertEqual(set(answer.writers), {1})
        await first.abort()
        second = await self.writer(0)
        await second.write(0, [b"12345678"])
        await second.close(8)
        self.assertEqual(await self.found(), {0: b"12345678"})

    async def test_two_writers_at_once(self) -> None:
        """Asked for at the same moment, a share gets one writer."""
        asked = [
            Deferred.fromCoroutine(self.server.allocate(INDEX, SECRETS, {0}, 8))
            for _ in range(5)
        ]
        answers: list[Mapping[int, IShareWriter]] = [(await each).writers for each in asked]
        self.assertEqual(sorted(map(len, answers)), [0, 0, 0, 0, 1])

    async def test_finished_meanwhile(self) -> None:
        """A share that is finished while somebody asks for it is not written again."""
        for _ in range(20):
            first = await self.writer(0)
            await first.write(0, [b"12345678"])
            asking = Deferred.fromCoroutine(self.server.allocate(INDEX, SECRETS, {0, 1}, 8))
            await first.close(8)
            answer = await asking
            self.assertNotIn(0, answer.writers)
            for writer in answer.writers.values():
                await writer.abort()
            self.assertEqual(await self.found(), {0: b"12345678"})
            self.forget()

    async def test_abort(self) -> None:
        """An aborted share is gone, takes nothing more, and can be aborted again."""
        writer = await self.writer()
        await writer.write(0, [b"1234"])
        await writer.abort()
        await writer.abort()
        with self.assertRaises(self.closed):
            await writer.write(0, [b"1234"])
        with self.assertRaises(self.closed):
            await writer.close(8)
        self.assertEqual(await self.found(), {})

    async def test_abort_meanwhile(self) -> None:
        """Aborted while a write is under way, nothing is left, and the number is free."""
        for cancel in (False, True):
            for _ in range(10):
                writer = await self.writer(size=1 << 20)
                writing = Deferred.fromCoroutine(writer.write(0, [bytes(1 << 20)]))
                if cancel:
                    writing.cancel()
                await writer.abort()
                with suppress(TruckeeError, CancelledError):
                    await writing
                self.assertEqual(await self.found(), {})
        await self.store(0, b"12345678")

    async def test_abort_while_closing(self) -> None:
        """Aborted while it is closed, a share is there if closing did not fail."""
        for _ in range(10):
            writer = await self.writer()
            await writer.write(0, [b"12345678"])
            closing = Deferred.fromCoroutine(writer.close(8))
            await writer.abort()
            expected = {}
            with suppress(TruckeeError):
                await closing
                expected = {0: b"12345678"}
            self.assertEqual(await self.found(), expected)
            self.forget()

    async def test_abort_and_allocate(self) -> None:
        """Asked for while it is aborted, a share is refused or given, never an error."""
        for _ in range(20):
            writer = await self.writer()
            await writer.write(0, [b"old data"])
            aborting = Deferred.fromCoroutine(writer.abort())
            answer = await self.server.allocate(INDEX, SECRETS, {0, 1}, 8)
            await aborting
            self.assertIn(1, answer.writers)
            for share, each in answer.writers.items():
                await each.write(0, [b"%08d" % share])
                await each.close(8)
            expected = {share: b"%08d" % share for share in answer.writers}
            self.assertEqual(await self.found(), expected)
            self.forget()

    async def test_cancelled_close(self) -> None:
        """A share whose closing was cancelled can be aborted, and is gone then."""
        for _ in range(10):
            writer = await self.writer()
            await writer.write(0, [b"12345678"])
            closing = Deferred.fromCoroutine(writer.close(8))
            closing.cancel()
            await self.assertFailure(closing, CancelledError)
            await writer.abort()
            if self.waits_when_cancelled:
                self.assertEqual(await self.found(), {})
            self.forget()

    async def test_writes_at_once(self) -> None:
        """Writes that are not waited for are all done."""
        writer = await self.writer(size=100)
        writes = [
            Deferred.fromCoroutine(writer.write(i, [b"%d" % (i % 10)])) for i in range(100)
        ]
        closing = Deferred.fromCoroutine(writer.close(100))
        for each in writes:
            await each
        await closing
        self.assertEqual(await self.found(), {0: b"0123456789" * 10})

    async def test_advice(self) -> None:
        """Advice is taken, also about what is not there, and twice."""
        await self.store(0, b"12345678")
        for share in (0, 1, 0):
            await self.server.advise_corrupt(INDEX, share, "it smells \N{SNOWMAN}\n")
        self.assertEqual(await self.found(), {0: b"12345678"})
