"""Shares on our disk that outlive their writers: what becomes of them in the end."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

from attrs import define
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from tests.grids import OTHER_SECRETS, SECRETS, new_directory, new_workers
from truckee.codec import base32, container
from truckee.codec.secrets import LeaseSecrets, upload_secret
from truckee.flow.cpu import Workers
from truckee.storage.interfaces import IKeptWriter, NotWritable
from truckee.storage.kept_shares import KEEP, LEAST, KeptShares, KeptTotals
from truckee.storage.server import DiskServer
from truckee.storage.sharefiles import ShareDirectory

INDEX = b"i" * 16


class KeptSharesTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.workers = new_workers(self, 2)
        self.root = new_directory(self)
        self.now = 2_000_000_000.0
        self.begin()

    def begin(self) -> None:
        """Begin as a new process does."""
        self.disk = DiskServer(
            name="disk",
            permutation_seed=b"p" * 20,
            lease_seed=b"l" * 20,
            directory=ShareDirectory(self.root),
            disk=self.workers,
            now=lambda: self.now,
        )
        self.disk.start()
        self.kept = KeptShares(self.disk, self.workers, lambda: self.now)
        self.kept.start()

    async def writer(
        self, share: int = 0, index: bytes = INDEX, secrets: LeaseSecrets = SECRETS
    ) -> IKeptWriter:
        opened = await self.kept.open(
            index, secrets, upload_secret(secrets), {share}, 1 << 40, True
        )
        return opened.writers[share]

    async def keep(self, share: int = 0, index: bytes = INDEX) -> Path:
        """Have a kept share whose last byte came now; return its file."""
        writer = await self.writer(share, index)
        await writer.write(0, [b"some bytes"])
        await writer.leave()
        [path] = self.disk.directory.kept(index).glob(f"{share}.*")
        os.utime(path, (self.now, self.now))
        return path

    async def unfinished(self) -> dict[int, int]:
        return await self.kept.unfinished(INDEX, upload_secret(SECRETS))

    async def test_new_process(self) -> None:
        """A process that died left what it had, and the next one closes it."""
        writer = await self.writer()
        await writer.write(0, [b"some "])
        self.begin()
        self.assertEqual(await self.unfinished(), {0: 5})
        writer = await self.writer()
        await writer.write(5, [b"bytes"])
        await writer.close(10)
        found = await self.disk.buckets(INDEX)
        self.assertEqual(await found[0].read(0, 100), b"some bytes")

    async def test_expiry(self) -> None:
        """What was idle for three days is removed, and nothing else."""
        for share in range(3):
            await self.keep(share)
        other = await self.keep(0, b"o" * 16)
        self.now += 1000
        await self.keep(1)
        await self.kept.sweep()
        self.assertEqual(self.kept.totals, KeptTotals(4, 40, 0))
        writer = await self.writer(2)
        self.now += KEEP - 999
        await self.kept.sweep()
        self.assertEqual(self.kept.totals, KeptTotals(2, 20, 2))
        self.assertEqual(await self.unfinished(), {1: 10, 2: 10})
        self.assertFalse(other.parent.parent.exists())
        await writer.close(10)

    async def test_expired_meanwhile(self) -> None:
        """A share that is opened while it expires is there, or begins anew."""
        for _ in range(20):
            await self.keep()
            self.now += KEEP + 1
            sweeping = Deferred.fromCoroutine(self.kept.sweep())
            writer = await self.writer()
            await sweeping
            await writer.write(0, [b"the whole share"])
            await writer.close(15)
            found = await self.disk.buckets(INDEX)
            self.assertEqual(await found[0].read(0, 100), b"the whole share")
            (self.disk.directory.home(INDEX) / "0").unlink()

    async def test_most(self) -> None:
        """When as many are kept as may be, others go with their writers."""
        self.kept.most = 2
        long = bytes(LEAST)
        for share in range(4):
            writer = await self.writer(share)
            await writer.write(0, [long])
            await writer.leave()
        self.assertEqual(await self.unfinished(), {0: LEAST, 1: LEAST})
        await (await self.writer(0)).abort()
        writer = await self.writer(3)
        await writer.write(0, [long])
        await writer.leave()
        self.assertEqual(await self.unfinished(), {1: LEAST, 3: LEAST})
        # A new process counts again.
        self.begin()
        self.assertEqual(self.kept.totals, KeptTotals(2, 2 * LEAST, 0))
        self.kept.most = 2
        writer = await self.writer(2)
        await writer.write(0, [long])
        await writer.leave()
        self.assertEqual(await self.unfinished(), {1: LEAST, 3: LEAST})

    async def test_short_ones(self) -> None:
        """Shares of a byte take half of the places at most."""
        self.kept.most = 4
        for share, size in enumerate((1, 1, 1, LEAST - 1, LEAST, LEAST, LEAST)):
            writer = await self.writer(share)
            await writer.write(0, [bytes(size)])
            await writer.leave()
        found = {0: 1, 1: 1, 4: LEAST, 5: LEAST}
        self.assertEqual(await self.unfinished(), found)

    async def test_away(self) -> None:
        """While the directory is away nothing is known of what is kept there."""
        await self.keep()
        await self.kept.sweep()
        self.disk.is_there = lambda: False
        self.now += KEEP + 1
        with self.assertRaises(NotWritable):
            await self.kept.sweep()
        self.assertEqual(self.kept.totals, KeptTotals(1, 10, 0))

    async def test_other_names(self) -> None:
        """What is no kept share is left alone."""
        place = self.disk.directory.kept(INDEX)
        path = await self.keep()
        strange = [place / "0", place / "0.short", place / f"1000.{path.suffix[1:]}"]
        strange.append(self.disk.directory.kept_root / "ab" / "not an index")
        for each in strange:
            each.parent.mkdir(parents=True, exist_ok=True)
            each.write_bytes(bytes(100))
            os.utime(each, (0, 0))
        self.now += KEEP + 1
        await self.kept.sweep()
        self.assertEqual([each for each in strange if not each.exists()], [])
        self.assertFalse(path.exists())

    async def test_secret(self) -> None:
        """Neither the secret nor what lets one go on is in the names on the disk."""
        path = await self.keep()
        for secret in (SECRETS.renew, upload_secret(SECRETS), OTHER_SECRETS.renew):
            self.assertNotIn(base32.encode(secret)[:16], str(path))
            self.assertNotIn(secret, path.read_bytes())

    async def test_cancelled(self) -> None:
        """Whenever opening shares is cancelled, nobody has them then."""
        for work in (1, 2):
            for share in (0, 1):
                await self.keep(share)
            self.finish(1)
            self.kept._disk = cast(Workers, CancelledIn(self.workers, work))
            with self.assertRaises(CancelledError):
                await self.kept.open(
                    INDEX, SECRETS, upload_secret(SECRETS), {0, 1}, 1 << 40, True
                )
            self.kept._disk = self.workers
            self.assertEqual(self.disk._writers, {})
            self.assertEqual(self.kept._idle, len(await self.unfinished()))
            await (await self.writer(0)).abort()
            (self.disk.directory.home(INDEX) / "1").unlink()

    def finish(self, share: int) -> None:
        """Have a finished share."""
        home = self.disk.directory.home(INDEX)
        home.mkdir(parents=True, exist_ok=True)
        (home / str(share)).write_bytes(container.pack_header(4, 0) + b"done")


@define(eq=False)
class CancelledIn:
    """Workers at whose work so many who asked for it is cancelled."""

    _workers: Workers
    _left: int

    async def run(self, work: Callable[..., object], *args: object) -> object:
        result = await self._workers.run(work, *args)
        self._left -= 1
        if not self._left:
            raise CancelledError
        return result
