"""The sweeper of kept shares, over real directories and a clock of the test."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import TestCase

from tests.grids import SECRETS, until
from tests.storage.test_foolscap_client import new_disk
from truckee.codec.secrets import upload_secret
from truckee.storage.interfaces import IKeptWriter
from truckee.storage.kept_shares import KEEP, KeptShares, KeptTotals
from truckee.storage.kept_sweeper import KeptSweeper
from truckee.storage.server import DiskServer

INDEX = b"i" * 16


class SweeperTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.clock = Clock()
        self.now = 2e9
        self.sweeper = KeptSweeper(self.clock)
        self.disks = [new_disk(self) for _ in range(2)]
        self.all = [self.keeper(disk) for disk in self.disks]
        self.addCleanup(lambda: Deferred.fromCoroutine(self.sweeper.stop()))

    def keeper(self, disk: DiskServer) -> KeptShares:
        """Return what keeps the shares of *disk*."""
        return KeptShares(disk, disk._disk, lambda: self.now)

    async def writer(self, kept: KeptShares, share: int = 0) -> IKeptWriter:
        secret = upload_secret(SECRETS)
        opened = await kept.open(INDEX, SECRETS, secret, {share}, 1 << 40, True)
        return opened.writers[share]

    async def keep(self, number: int, share: int = 0) -> Path:
        """Have a kept share whose last byte came now; return its file."""
        writer = await self.writer(self.all[number], share)
        await writer.write(0, [b"some bytes"])
        await writer.leave()
        [path] = self.disks[number].directory.kept(INDEX).glob(f"{share}.*")
        os.utime(path, (self.now, self.now))
        return path

    async def swept(self) -> None:
        """Return when the sweep that is due has ended."""
        [call] = self.clock.getDelayedCalls()
        self.clock.advance(call.getTime() - self.clock.seconds())
        await until(self.clock.getDelayedCalls)

    async def test_sweeps(self) -> None:
        """It sweeps all directories after the start and every hour, those added since."""
        self.assertIsNone(self.sweeper.totals)
        self.sweeper.add(self.all[0])
        self.sweeper.start()
        paths = [await self.keep(0), await self.keep(1)]
        await self.swept()
        self.assertEqual(self.sweeper.totals, KeptTotals(1, 10, 0))
        self.sweeper.add(self.all[1])
        self.clock.advance(self.sweeper.every - 1)
        self.assertEqual(self.sweeper.totals, KeptTotals(1, 10, 0))
        await self.swept()
        self.assertEqual(self.sweeper.totals, KeptTotals(2, 20, 0))
        self.now += KEEP + 1
        self.assertTrue(all(path.exists() for path in paths))
        await self.swept()
        self.assertEqual(self.sweeper.totals, KeptTotals(0, 0, 2))
        self.assertFalse(any(path.exists() for path in paths))

    async def test_failing_disk(self) -> None:
        """What one disk refuses is logged and tried again; the others are swept."""
        for kept in self.all:
            self.sweeper.add(kept)
        paths = [await self.keep(0), await self.keep(1)]
        for kept in self.all:
            kept.start()
        self.sweeper.start()
        self.now += KEEP + 1
        self.disks[0].is_there = lambda: False
        with capturedLogs() as logs:
            await self.swept()
        self.assertEqual(len(logs), 1)
        self.assertEqual([path.exists() for path in paths], [True, False])
        # What is not there now was not removed either.
        self.assertEqual(self.sweeper.totals, KeptTotals(1, 10, 1))
        self.disks[0].is_there = lambda: True
        await self.swept()
        self.assertEqual([path.exists() for path in paths], [False, False])

    async def test_stop(self) -> None:
        """When it is stopped nothing is under way, nor will be; also while it sweeps."""
        self.sweeper.add(self.all[0])
        await self.keep(0)
        self.sweeper.start()
        self.clock.advance(self.sweeper.first)
        await self.sweeper.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        await self.sweeper.stop()
        other = KeptSweeper(self.clock)
        await other.stop()
        other.start()
        await other.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_nothing_kept(self) -> None:
        """Kept for no time, a share goes at the first sweep, if nobody writes it."""
        paths = [await self.keep(0, share) for share in range(2)]
        kept = self.keeper(self.disks[0])
        kept.keep = 0.0
        writer = await self.writer(kept, 1)
        self.now += 1
        self.sweeper.add(kept)
        self.sweeper.start()
        await self.swept()
        self.assertEqual([path.exists() for path in paths], [False, True])
        await writer.abort()
