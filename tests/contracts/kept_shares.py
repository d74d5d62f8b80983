"""What every ``IKeptShares`` does, its writers included."""

from __future__ import annotations

import os
from collections.abc import Set
from contextlib import suppress

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from tests.contracts.storage_server import INDEX, OTHER, StorageCase
from tests.grids import OTHER_SECRETS, SECRETS
from truckee.codec.hashes import block_hash
from truckee.codec.secrets import LeaseSecrets, upload_secret
from truckee.storage.interfaces import (
    MAX_HASHED,
    MAX_KEPT_HASHES,
    MAX_KEPT_SIZE,
    BadKeptRequest,
    IKeptShares,
    IKeptWriter,
    NoSpace,
    Opened,
    ShareClosed,
    ShareTooLarge,
)
from truckee.storage.kept_shares import KeptShares

DATA = bytes(range(200))


class KeptSharesContract(StorageCase):
    """Derive from this and give ``new_server``, and say what a transport cannot tell."""

    too_large: type[Exception] = ShareTooLarge  # what a write past the end raises
    closed: type[Exception] = ShareClosed  # what a closed writer raises
    bad: type[Exception] = BadKeptRequest  # what an impossible request raises
    full: type[Exception] = NoSpace  # what a write to a full disk raises

    kept: IKeptShares

    async def setUp(self) -> None:  # type: ignore[override]  # trial waits for it
        await super().setUp()
        kept = self.server.kept
        assert kept is not None
        self.kept = kept

    async def cut(self) -> None:
        """Lose the connection, and come back; who has none of its own leaves the shares."""
        for writer in list(self.disk._writers.values()):
            assert writer is not None
            await writer.give_back()

    async def open(
        self,
        shares: Set[int],
        size: int = 1 << 40,
        open_ended: bool = True,
        secrets: LeaseSecrets = SECRETS,
        index: bytes = INDEX,
    ) -> Opened:
        return await self.kept.open(
            index, secrets, upload_secret(secrets), shares, size, open_ended
        )

    async def writer(self, share: int = 0, size: int = 1 << 40) -> IKeptWriter:
        """Return a writer for one share."""
        return (await self.open({share}, size)).writers[share]

    async def unfinished(self, secrets: LeaseSecrets = SECRETS) -> dict[int, int]:
        return dict(await self.kept.unfinished(INDEX, upload_secret(secrets)))

    async def found(self, index: bytes = INDEX) -> dict[int, bytes]:
        """Return the contents of all finished shares."""
        readers = await self.server.buckets(index)
        return {share: await reader.read(0, 1 << 20) for share, reader in readers.items()}

    async def test_interfaces(self) -> None:
        """The server and its writers have all the methods."""
        verifyObject(IKeptShares, self.kept)
        writer = await self.writer()
        verifyObject(IKeptWriter, writer)
        await writer.abort()

    async def test_store(self) -> None:
        """An open-ended share has the length that it is closed with, and its lease."""
        opened = await self.open({0, 3})
        self.assertEqual((set(opened.already), set(opened.writers)), (set(), {0, 3}))
        for share, writer in opened.writers.items():
            self.assertEqual(writer.length, 0)
            await writer.write(12, [DATA[12:100], b"", memoryview(DATA)[100:]])
            await writer.write(0, [DATA[:12]])
            self.assertEqual(await self.found(), {})
            await writer.close(200 - share)
            self.forget()
        opened = await self.open({0})
        await opened.writers[0].write(0, [DATA])
        await opened.writers[0].close(150)
        self.assertEqual(await self.found(), {0: DATA[:150]})
        self.assertEqual(self.leases(0, 150), [self.now + 31 * 86400])
        self.assertEqual(await self.unfinished(), {})

    async def test_continue(self) -> None:
        """What was written is there when the writer comes again."""
        writer = await self.writer()
        await writer.write(0, [DATA[:100]])
        await self.cut()
        self.assertEqual(await self.unfinished(), {0: 100})
        opened = await self.open({0, 1})
        writer, other = opened.writers[0], opened.writers[1]
        self.assertEqual((writer.length, other.length), (100, 0))
        await writer.write(100, [DATA[100:]])
        await writer.close(200)
        await other.abort()
        self.assertEqual(await self.found(), {0: DATA})

    async def test_leave(self) -> None:
        """A share that is left is kept, and its writer takes no more."""
        writer = await self.writer()
        await writer.write(0, [DATA])
        await writer.leave()
        await writer.leave()
        with self.assertRaises(self.closed):
            await writer.write(0, [DATA])
        self.assertEqual(await self.unfinished(), {0: 200})
        await writer.abort()
        self.assertEqual(await self.unfinished(), {0: 200})
        await (await self.writer()).abort()
        self.assertEqual(await self.unfinished(), {})

    async def test_empty(self) -> None:
        """Of a share without a byte nothing is kept."""
        writer = await self.writer()
        await writer.leave()
        self.assertEqual(await self.unfinished(), {})
        self.assertEqual(self.files(), [])

    async def test_hashes(self) -> None:
        """They are those of the whole pieces that are there."""
        writer = await self.writer()
        self.assertEqual(list(await writer.hashes(0, 10, 5)), [])
        await writer.write(12, [DATA])
        pieces = [DATA[at : at + 60] for at in (0, 60, 120)]
        expected = [block_hash(piece) for piece in pieces]
        self.assertEqual(list(await writer.hashes(12, 60, 5)), expected)
        self.assertEqual(list(await writer.hashes(72, 60, 1)), expected[1:2])
        self.assertEqual(list(await writer.hashes(12, 60, 0)), [])
        self.assertEqual(list(await writer.hashes(12, 201, 1)), [])
        self.assertEqual(list(await writer.hashes(1 << 40, 60, 5)), [])
        self.assertEqual(list(await writer.hashes(0, 12, 1)), [block_hash(bytes(12))])
        await writer.abort()

    async def test_bad_hashes(self) -> None:
        """Questions without bounds are refused, and the share goes on."""
        writer = await self.writer()
        for offset, piece, count in (
            (0, 0, 1),
            (0, 1, MAX_KEPT_HASHES + 1),
            (0, MAX_HASHED + 1, 1),
            (0, MAX_HASHED // 2 + 1, 2),
        ):
            with self.assertRaises(self.bad):
                await writer.hashes(offset, piece, count)
        await writer.write(0, [DATA])
        await writer.close(200)
        self.assertEqual(await self.found(), {0: DATA})

    async def test_too_large(self) -> None:
        """Nothing is written or closed past the size, and no share has any size."""
        with self.assertRaises(self.bad):
            await self.open({0}, MAX_KEPT_SIZE + 1)
        writer = await self.writer(size=100)
        for offset, size in ((0, 101), (100, 1), (1 << 60, 1)):
            with self.assertRaises(self.too_large):
                await writer.write(offset, [DATA[:size]])
        with self.assertRaises(self.too_large):
            await writer.close(101)
        await writer.write(0, [DATA[:100]])
        await writer.close(100)
        self.assertEqual(await self.found(), {0: DATA[:100]})

    async def test_strangers(self) -> None:
        """Who has another secret neither sees a kept share, nor goes on with it."""
        writer = await self.writer()
        await writer.write(0, [DATA])
        self.assertEqual(await self.unfinished(OTHER_SECRETS), {})
        self.assertEqual((await self.open({0}, secrets=OTHER_SECRETS)).writers, {})
        await self.cut()
        self.assertEqual(await self.unfinished(OTHER_SECRETS), {})
        other = (await self.open({0}, secrets=OTHER_SECRETS)).writers[0]
        self.assertEqual(other.length, 0)
        await other.write(0, [b"theirs"])
        await other.close(6)
        self.assertEqual(await self.found(), {0: b"theirs"})
        # It was first: what was kept is no use any more.
        opened = await self.open({0})
        self.assertEqual((set(opened.already), opened.writers), ({0}, {}))
        self.assertEqual(await self.unfinished(), {})
        self.assertEqual(self.files(), [])

    async def test_in_nobodys_way(self) -> None:
        """A kept share keeps no other writer away."""
        writer = await self.writer()
        await writer.write(0, [DATA])
        self.assertEqual((await self.server.allocate(INDEX, SECRETS, {0}, 8)).writers, {})
        await writer.leave()
        other = (await self.server.allocate(INDEX, OTHER_SECRETS, {0}, 8)).writers[0]
        self.assertEqual((await self.open({0})).writers, {})
        self.assertEqual(await self.unfinished(), {0: 200})
        await other.abort()
        self.assertEqual((await self.writer()).length, 200)

    async def test_taken_over(self) -> None:
        """Who comes again before the server knows that he went takes the share with him."""
        first = await self.writer()
        await first.write(0, [DATA[:100]])
        second = await self.writer()
        self.assertEqual(second.length, 100)
        with self.assertRaises(self.closed):
            await first.write(0, [b"stale"])
        with self.assertRaises(self.closed):
            await first.close(5)
        await first.abort()
        await first.leave()
        await second.write(100, [DATA[100:]])
        await second.close(200)
        self.assertEqual(await self.found(), {0: DATA})

    async def test_two_at_once(self) -> None:
        """Opened by the same one many times at once, one writer is left."""
        opening = [Deferred.fromCoroutine(self.writer()) for _ in range(5)]
        writers = [await each for each in opening]
        left = []
        for writer in writers:
            with suppress(self.closed):
                await writer.write(0, [DATA])
                left.append(writer)
        self.assertEqual(len(left), 1)
        await left[0].close(200)
        self.assertEqual(await self.found(), {0: DATA})

    async def test_shorter(self) -> None:
        """What is there of a share is never said to be longer than the share may be."""
        writer = await self.writer()
        await writer.write(0, [DATA])
        await writer.leave()
        writer = await self.writer(size=150)
        self.assertEqual(writer.length, 150)
        await writer.close(150)
        self.assertEqual(await self.found(), {0: DATA[:150]})

    async def test_brief(self) -> None:
        """One that is kept briefly is gone on with, and goes after half an hour."""
        secret = upload_secret(SECRETS)
        for brief, left in ((True, {}), (False, {0: 100})):
            for already in (0, 50):
                opened = await self.kept.open(
                    INDEX, SECRETS, secret, {0}, 1 << 40, True, brief
                )
                self.assertEqual(opened.writers[0].length, already)
                await opened.writers[0].write(already, [DATA[:50]])
                await self.cut()
            for path in self.disk.directory.kept(INDEX).iterdir():
                os.utime(path, (self.now - 1801, self.now - 1801))
            kept = self.disk.kept
            assert isinstance(kept, KeptShares)
            await kept.sweep()
            self.assertEqual(await self.unfinished(), left)
        writer = (
            await self.kept.open(INDEX, SECRETS, secret, {0}, 1 << 40, True, True)
        ).writers[0]
        await writer.close(100)
        [path] = self.disk.directory.home(INDEX).iterdir()
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)

    async def test_files(self) -> None:
        """The kept shares of two files do not know each other."""
        for index in (INDEX, OTHER):
            opened = await self.open({0}, index=index)
            await opened.writers[0].write(0, [index])
            await opened.writers[0].leave()
        await (await self.writer()).abort()
        self.assertEqual(await self.unfinished(), {})
        opened = await self.open({0}, index=OTHER)
        await opened.writers[0].close(16)
        self.assertEqual(await self.found(OTHER), {0: OTHER})

    async def test_known_size(self) -> None:
        """A known size is kept free while somebody writes, less what is there."""
        free = self.disk.directory.free_space()
        self.disk.reserved_space = free - (100 << 20)
        self.assertEqual((await self.open({0}, 200 << 20, False)).writers, {})
        opened = await self.open({0}, 80 << 20, False)
        self.assertEqual((await self.open({1}, 80 << 20, False)).writers, {})
        await opened.writers[0].write(0, [DATA])
        await opened.writers[0].leave()
        other = await self.open({1}, 80 << 20, False)
        self.assertEqual(set(other.writers), {1})
        await other.writers[1].abort()
        self.disk.readonly = True
        self.assertEqual((await self.open({0, 1})).writers, {})
        self.assertEqual(await self.unfinished(), {0: 200})

    async def test_full(self) -> None:
        """A share that finds the disk full is kept as far as it came."""
        writer = await self.writer()
        await writer.write(0, [DATA[:100]])
        self.disk.reserved_space = 1 << 62
        with self.assertRaises(self.full):
            await writer.write(100, [DATA[100:]])
        await writer.leave()
        self.assertEqual(await self.unfinished(), {0: 100})
        self.disk.reserved_space = 0
        writer = await self.writer()
        await writer.write(100, [DATA[100:]])
        await writer.close(200)
        self.assertEqual(await self.found(), {0: DATA})

    def files(self) -> list[str]:
        """Return the names of what is kept on the disk."""
        return [
            name for _, _, names in os.walk(self.disk.directory.kept_root) for name in names
        ]
