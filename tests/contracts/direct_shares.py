"""What every ``IDirectShares`` does."""

from __future__ import annotations

from twisted.internet.defer import ensureDeferred, gatherResults
from zope.interface.verify import verifyObject

from tests.contracts.storage_server import INDEX, OTHER, StorageCase
from tests.grids import OTHER_SECRETS, SECRETS
from truckee.storage.direct_client import DirectReader, DirectWriter
from truckee.storage.interfaces import (
    MAX_DIRECT_SHARE,
    IDirectShares,
    IShareReader,
    IShareWriter,
    NoSpace,
    ShareClosed,
    ShareTooLarge,
)

DATA = bytes(range(200))


class DirectSharesContract(StorageCase):
    """Derive from this and give ``new_server``."""

    direct: IDirectShares

    async def setUp(self) -> None:  # type: ignore[override]  # trial waits for it
        await super().setUp()
        direct = self.server.direct
        assert direct is not None
        self.direct = direct

    async def store(self, share: int = 3, data: bytes = DATA, index: bytes = INDEX) -> bool:
        return await self.direct.store(index, SECRETS, share, data)

    def writer(self, size: int = len(DATA)) -> DirectWriter:
        return DirectWriter("far", self.direct, INDEX, SECRETS, 3, size)

    async def test_interfaces(self) -> None:
        """It and what uses it have all the methods."""
        verifyObject(IDirectShares, self.direct)
        verifyObject(IShareWriter, self.writer())
        verifyObject(IShareReader, DirectReader(self.direct, INDEX, 3))

    async def test_stored(self) -> None:
        """What was stored is a finished share as any other, with a lease."""
        self.assertTrue(await self.store())
        readers = await self.disk.buckets(INDEX)
        self.assertEqual(list(readers), [3])
        self.assertEqual(await readers[3].read(0, 1000), DATA)
        self.assertEqual(self.leases(3, len(DATA)), [self.now + 31 * 86400])
        self.now += 100
        await self.server.add_lease(INDEX, SECRETS)
        self.assertEqual(self.leases(3, len(DATA)), [self.now + 31 * 86400])

    async def test_as_written(self) -> None:
        """The file is the one that a writer makes."""
        await self.store()
        answer = await self.server.allocate(OTHER, SECRETS, {3}, len(DATA))
        await answer.writers[3].write(0, [DATA])
        await answer.writers[3].close(len(DATA))
        home = self.disk.directory.home
        self.assertEqual((home(INDEX) / "3").read_bytes(), (home(OTHER) / "3").read_bytes())

    async def test_read(self) -> None:
        """Reads give what is there, up to the end, and nothing of no share."""
        self.assertEqual(await self.direct.read(INDEX, 3, 0, 10), b"")
        await self.store()
        self.assertEqual(await self.direct.read(INDEX, 3, 0, 10), DATA[:10])
        self.assertEqual(await self.direct.read(INDEX, 3, 190, 100), DATA[190:])
        self.assertEqual(await self.direct.read(INDEX, 3, 200, 100), b"")
        self.assertEqual(await self.direct.read(INDEX, 3, 1 << 40, 100), b"")
        self.assertEqual(await self.direct.read(INDEX, 2, 0, 10), b"")
        self.assertEqual(await self.direct.read(OTHER, 3, 0, 10), b"")

    async def test_most(self) -> None:
        """The longest that is stored is the longest that is read."""
        data = bytes(MAX_DIRECT_SHARE)
        self.assertTrue(await self.store(data=data))
        self.assertEqual(await self.direct.read(INDEX, 3, 0, MAX_DIRECT_SHARE), data)
        long = await self.direct.read(INDEX, 3, 0, 1 << 40)
        self.assertEqual(long, data)

    async def test_never_twice(self) -> None:
        """A share that is there stays as it is, whoever sends another."""
        self.assertTrue(await self.store())
        self.assertFalse(await self.store(data=b"other"))
        self.assertFalse(await self.direct.store(INDEX, OTHER_SECRETS, 3, b"other"))
        self.assertEqual(await self.direct.read(INDEX, 3, 0, 1000), DATA)
        self.assertTrue(await self.store(4, b"other"))
        self.assertTrue(await self.store(3, b"other", OTHER))

    async def test_at_once(self) -> None:
        """Of many that are sent at once for one share one is stored."""
        sent = [ensureDeferred(self.store(data=b"%d" % each)) for each in range(20)]
        done = await gatherResults(sent)
        self.assertEqual(sum(done), 1)
        found = await self.direct.read(INDEX, 3, 0, 10)
        self.assertEqual(found, b"%d" % done.index(True))

    async def test_written_by_others(self) -> None:
        """A share that somebody writes is not stored, and the other way round."""
        answer = await self.server.allocate(INDEX, SECRETS, {3}, 5)
        self.assertFalse(await self.store())
        await answer.writers[3].abort()
        self.assertTrue(await self.store())
        answer = await self.server.allocate(INDEX, SECRETS, {3}, 5)
        self.assertEqual((set(answer.already), dict(answer.writers)), ({3}, {}))

    async def test_no_room(self) -> None:
        """Where there is no room nothing is stored, and nothing stays promised."""
        self.disk.reserved_space = 1 << 60
        self.assertFalse(await self.store())
        self.disk.reserved_space = 0
        self.disk.readonly = True
        self.assertFalse(await self.store())
        self.disk.readonly = False
        self.assertEqual(self.disk.promises.owed(self.now), 0)

    async def test_other_kind(self) -> None:
        """Beside the shares of a mutable file there are none of another."""
        home = self.disk.directory.home(INDEX)
        home.mkdir(parents=True)
        (home / "0").write_bytes(b"Tahoe mutable container v1\n\x75\x09\x44\x03\x8e")
        self.assertFalse(await self.store())
        self.assertEqual([path.name for path in home.iterdir()], ["0"])

    async def test_writer(self) -> None:
        """A writer sends all at its end; what it was not given are zeros."""
        writer = self.writer()
        await writer.write(100, [DATA[100:150], DATA[150:]])
        await writer.write(10, [DATA[10:20]])
        self.assertEqual(await self.disk.buckets(INDEX), {})
        await writer.close(190)
        wanted = bytes(10) + DATA[10:20] + bytes(80) + DATA[100:190]
        self.assertEqual(await DirectReader(self.direct, INDEX, 3).read(0, 500), wanted)
        with self.assertRaises(ShareClosed):
            await writer.write(0, [b"x"])
        with self.assertRaises(NoSpace):
            await self.writer().close(8)

    async def test_writer_bounds(self) -> None:
        """A writer takes no more than it was made for, and nothing once it was aborted."""
        writer = self.writer(8)
        with self.assertRaises(ShareTooLarge):
            await writer.write(4, [b"12345"])
        with self.assertRaises(ShareTooLarge):
            await writer.close(9)
        await writer.abort()
        with self.assertRaises(ShareClosed):
            await writer.close(8)
        self.assertEqual(await self.disk.buckets(INDEX), {})
