"""Clients that want too much of the shares that a server keeps, over foolscap."""

from __future__ import annotations

import tracemalloc

from twisted.internet.defer import Deferred

from tests.grids import OTHER_SECRETS, SECRETS, until
from tests.soak import WHOLE
from tests.storage.test_foolscap_client import new_client
from tests.storage.test_foolscap_kept import KeptCase, keeper, open_shares
from truckee.codec.hashes import block_hash
from truckee.codec.secrets import upload_secret
from truckee.storage.interfaces import (
    MAX_HASHED,
    MAX_KEPT_SIZE,
    CallFailed,
    Opened,
)
from truckee.storage.quotas import QuotaLimits

INDEX = b"i" * 16
MIB = 1 << 20
ALL = range(256)
# With all their shares they are 10,240, or 102,400.
FILES = 400 if WHOLE else 40


class ImpossibleTests(KeptCase):
    async def test_sizes(self) -> None:
        """Sizes that no share has are refused clearly."""
        for size in (MAX_KEPT_SIZE + 1, 1 << 63, (1 << 64) - 1):
            for open_ended in (False, True):
                with self.assertRaises(CallFailed) as caught:
                    await open_shares(self.kept, 0, size=size, open_ended=open_ended)
                self.assertEqual(caught.exception.kind, "BadKeptRequest")
                self.assertIn(str(size), caught.exception.reason)
        self.assertTrue(self.is_quiet())

    async def test_far_away(self) -> None:
        """Bytes at places that no disk has are refused clearly; the share goes on."""
        writer = await self.writer(size=MAX_KEPT_SIZE)
        await writer.write(0, [b"1234"])
        for offset in (MAX_KEPT_SIZE, 1 << 63, (1 << 64) - 1):
            with self.assertRaises(CallFailed) as caught:
                await writer.write(offset, [b"x"])
            self.assertEqual(caught.exception.kind, "ShareTooLarge")
        for offset in (1 << 50, 1 << 61, MAX_KEPT_SIZE - 1):
            try:
                # There are disks that have room for so large a hole.
                await writer.write(offset, [b"x"])
            except CallFailed as error:
                self.assertIn(error.kind, ("NoSpace", "NotWritable"))
                self.assertNotIn(str(self.disk.directory.root), error.reason)
        with self.assertRaises(CallFailed):
            await writer.close(MAX_KEPT_SIZE + 1)
        await writer.close(4)
        [reader] = (await self.disk.buckets(INDEX)).values()
        self.assertEqual(await reader.read(0, 100), b"1234")


class StrangersTests(KeptCase):
    async def test_another_upload(self) -> None:
        """Who has another secret neither sees, nor writes, nor ends a share."""
        writer = await self.writer()
        await writer.write(0, [b"1234"])
        stranger = keeper(await new_client(self).connect(self.furl))
        for left in (False, True):
            if left:
                await writer.leave()
            found = await stranger.unfinished(INDEX, upload_secret(OTHER_SECRETS))
            self.assertEqual(found, {})
        opened = await open_shares(stranger, 0, secrets=OTHER_SECRETS)
        self.assertEqual(opened.writers[0].length, 0)
        self.assertEqual(list(await opened.writers[0].hashes(0, 4, 1)), [])
        await opened.writers[0].write(0, [b"evil"])
        await opened.writers[0].abort()
        writer = await self.writer()
        self.assertEqual(list(await writer.hashes(0, 4, 1)), [block_hash(b"1234")])
        await writer.abort()

    async def test_overlap(self) -> None:
        """Nobody writes over what another connection has taken over with the secret."""
        first = await self.writer()
        await first.write(0, [b"old data"])
        again = keeper(await new_client(self).connect(self.furl))
        second = (await open_shares(again, 0)).writers[0]
        await second.write(0, [b"new data"])
        for work in (first.write(0, [b"stale"]), first.close(3), first.hashes(0, 1, 1)):
            with self.assertRaises(CallFailed) as caught:
                await work
            self.assertEqual(caught.exception.kind, "ShareClosed")
        await first.abort()
        await second.close(8)
        [reader] = (await self.disk.buckets(INDEX)).values()
        self.assertEqual(await reader.read(0, 100), b"new data")


class GreedyTests(KeptCase):
    limits = QuotaLimits(shares=512)

    def part(self, had: int) -> int:
        """Return how many shares one more client may have."""
        return (self.limits.shares - had) // self.limits.share_part

    async def take(self, files: range) -> list[Opened]:
        """Ask for all shares of these files."""
        return [
            await open_shares(self.kept, *ALL, index=b"%016d" % number) for number in files
        ]

    async def test_one_client(self) -> None:
        """Of 10,240 shares a client has its part, in little memory."""
        got = await self.take(range(1))
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before = tracemalloc.get_traced_memory()[0]
        got += await self.take(range(1, FILES))
        self.assertEqual(sum(len(each.writers) for each in got), self.part(0))
        self.assertEqual(self.quotas.total, self.part(0))
        self.assertLess(tracemalloc.get_traced_memory()[0] - before, MIB)
        honest = keeper(await new_client(self).connect(self.furl))
        opened = await open_shares(honest, *range(10), secrets=OTHER_SECRETS)
        self.assertEqual(len(opened.writers), 10)

    async def test_many_clients(self) -> None:
        """Each further client gets less, and all together no more than there are."""
        got, total = [], 0
        clients = [new_client(self) for _ in range(6)]
        for number, client in enumerate(clients):
            kept = keeper(await client.connect(self.furl))
            secrets = OTHER_SECRETS if number % 2 else SECRETS
            opened = await open_shares(kept, *ALL, index=b"%016d" % number, secrets=secrets)
            self.assertEqual(len(opened.writers), self.part(total))
            total += len(opened.writers)
            got.append(opened)
        self.assertEqual(self.quotas.total, total)
        for client in clients:
            await client.stop()
        await until(self.is_quiet)
        # None had a byte.
        self.assertEqual(self.files(), [])

    async def test_kept(self) -> None:
        """Shares of a byte take half of the places; more of them go with their writers."""
        self.on_disk.most = 100
        for number in range(10):
            opened = await open_shares(self.kept, *range(32), index=b"%016d" % number)
            for writer in opened.writers.values():
                # Holes make none longer.
                await writer.write(MIB, [b"x"])
                await writer.leave()
        self.assertEqual(len(self.files()), 50)
        self.assertTrue(self.is_quiet())


class HashesTests(KeptCase):
    async def test_many_hashes(self) -> None:
        """Hashes of long pieces are made one at a time, and not in as much memory."""
        opened = await open_shares(self.kept, *range(8), size=1 << 30)
        for writer in opened.writers.values():
            await writer.write(MAX_HASHED, [b"x"])
        expected = block_hash(bytes(MAX_HASHED))
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        asked = [
            Deferred.fromCoroutine(writer.hashes(0, MAX_HASHED, 1))
            for writer in opened.writers.values()
        ]
        for each in asked:
            self.assertEqual(list(await each), [expected])
        self.assertLess(tracemalloc.get_traced_memory()[1], 16 * MIB)
