# mypy: disable-error-code="no-untyped-call"
"""What every ``IStorageServer`` does, its writers and readers included."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from tests.grids import OTHER_SECRETS, SECRETS
from truckee.storage.interfaces import (
    IShareReader,
    IShareWriter,
    IStorageServer,
    ShareClosed,
    ShareTooLarge,
)

INDEX = b"i" * 16
OTHER = b"o" * 16


class StorageServerContract(TestCase):
    """Derive from this, and give a server.  Tests run on a server that holds nothing."""

    timeout = 30
    server: IStorageServer

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
        """There is a number of bytes it would take."""
        self.assertGreater(await self.server.available_space(), 0)

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
        """Writes come in any order, in parts, again, and with holes that read as zeros."""
        writer = await self.writer(size=16)
        await writer.write(12, [b"c"])
        await writer.write(0, [b"ab", b"", bytearray(b"cd"), memoryview(b"ef")])
        await writer.write(2, [b"cd"])
        await writer.write(16, [])
        await writer.close(16)
        self.assertEqual(await self.found(), {0: b"abcdef" + bytes(6) + b"c" + bytes(3)})

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
            with self.assertRaises(ShareTooLarge):
                await writer.write(offset, [data])
        with self.assertRaises(ShareTooLarge):
            await writer.close(9)
        await writer.write(0, [b"12345678"])
        await writer.close(8)
        self.assertEqual(await self.found(), {0: b"12345678"})

    async def test_open_ended(self) -> None:
        """An open-ended share is as long as it is when closed."""
        writer = await self.writer(size=1 << 40, open_ended=True)
        await writer.write(0, [b"12345678"])
        await writer.close(5)
        self.assertEqual(await self.found(), {0: b"12345"})

    async def test_closed(self) -> None:
        """A closed share takes no more, and aborting it changes nothing."""
        writer = await self.writer()
        await writer.write(0, [b"12345678"])
        await writer.close(8)
        with self.assertRaises(ShareClosed):
            await writer.write(0, [b"x"])
        with self.assertRaises(ShareClosed):
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
            await self.forget()

    async def forget(self) -> None:
        """Remove all shares of the file."""
        raise NotImplementedError

    async def test_abort(self) -> None:
        """An aborted share is gone, takes nothing more, and can be aborted again."""
        writer = await self.writer()
        await writer.write(0, [b"1234"])
        await writer.abort()
        await writer.abort()
        with self.assertRaises(ShareClosed):
            await writer.write(0, [b"1234"])
        with self.assertRaises(ShareClosed):
            await writer.close(8)
        self.assertEqual(await self.found(), {})

    async def test_abort_meanwhile(self) -> None:
        """Aborted while a write or the closing is under way, nothing is left."""
        for ending in ("write", "close"):
            for _ in range(10):
                writer = await self.writer(size=1 << 20)
                work = (
                    writer.write(0, [bytes(1 << 20)])
                    if ending == "write"
                    else writer.close(1 << 20)
                )
                working = Deferred.fromCoroutine(work)
                await writer.abort()
                await working
                self.assertEqual(
                    set(await self.found()), {0} if ending == "close" else set()
                )
                await self.forget()

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
            await self.forget()

    async def test_cancelled_close(self) -> None:
        """A share whose closing was cancelled can be aborted, and is gone then."""
        for _ in range(10):
            writer = await self.writer()
            await writer.write(0, [b"12345678"])
            closing = Deferred.fromCoroutine(writer.close(8))
            closing.cancel()
            await self.assertFailure(closing, CancelledError)
            await writer.abort()
            self.assertEqual(await self.found(), {})

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
