"""Tests of truckee.mutable.repair."""

from __future__ import annotations

import os
from collections.abc import Sequence

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.codec.mutable_example import write_cap
from tests.grids import LEASE_SECRET, REACTOR
from tests.mutable.share_grid import SlotGrid, flipped, make_shares, sections
from truckee.codec.caps import MutableReadCap, MutableWriteCap
from truckee.codec.geometry import Encoding
from truckee.codec.mutable_segment import LONG
from truckee.flow.limits import Budget
from truckee.immutable.download.memory_budget import Holdings
from truckee.mutable.check import MutableChecker
from truckee.mutable.files import MutableFiles
from truckee.mutable.key_pool import KeyPool
from truckee.mutable.publish import Publisher
from truckee.mutable.reader import MutableReader
from truckee.mutable.repair import MutableRepairer, MutableRepairReport
from truckee.mutable.write_loop import WriteLoop
from truckee.storage.interfaces import SlotRead

TEXT = os.urandom(300_000)


def new_files(grid: SlotGrid, publisher: type[Publisher] = Publisher) -> MutableFiles:
    """Return what a gateway reads and writes the files of *grid* with."""
    mapper = grid.mapper()
    holdings = Holdings(Budget(64 << 20), REACTOR)
    return MutableFiles(
        MutableReader(mapper, grid.cpu, REACTOR, holdings),
        publisher(lambda: grid.servers, LEASE_SECRET, grid.cpu, Clock(), os.urandom),
        KeyPool(grid.cpu),
        WriteLoop(mapper, REACTOR, os.urandom),
        Encoding(3, 10),
        grid.cpu,
    )


class RepairTests(TestCase):
    """Shares that are made again on ten servers."""

    timeout = 120

    def setUp(self) -> None:
        self.grid = SlotGrid.new(self)

    async def repair(
        self, cap: MutableWriteCap | MutableReadCap | None = None
    ) -> MutableRepairReport:
        """Return what becomes of the file, every byte of which is looked at."""
        mapper, cpu = self.grid.mapper(), self.grid.cpu
        repairer = MutableRepairer(
            MutableChecker(mapper, 3, 10, LEASE_SECRET, cpu),
            mapper,
            new_files(self.grid),
            lambda: self.grid.servers,
            LEASE_SECRET,
            cpu,
            Clock(),
        )
        return await repairer.check_and_repair(cap or write_cap(), verify=True)

    async def stored(self) -> dict[int, bytes]:
        """Return all shares that the servers have."""
        index, found = write_cap().verify_cap().storage_index, {}
        for number in range(10):
            read = [SlotRead(0, 1 << 24)]
            answer = await self.grid.slots(number).read(index, frozenset(), read)
            found.update({share: data[0] for share, data in answer.items()})
        return found

    async def check_same(self, shares: Sequence[bytes]) -> None:
        """All shares are there, byte for byte, at least as far as they go."""
        found = await self.stored()
        self.assertEqual(sorted(found), list(range(len(shares))))
        for number, share in enumerate(shares):
            self.assertEqual(found[number][: len(share)], share, number)

    async def test_healthy(self) -> None:
        await self.grid.store(make_shares(TEXT), range(10))
        report = await self.repair()
        self.assertFalse(report.attempted)
        self.assertTrue(report.after.healthy)

    async def test_missing(self) -> None:
        for mdmf in (False, True):
            for size in (0, 1, len(TEXT)):
                self.grid = SlotGrid.new(self)
                shares = make_shares(TEXT[:size], 5, mdmf=mdmf)
                await self.grid.store(shares, (1, 5, 9))
                report = await self.repair()
                self.assertTrue(report.successful, (mdmf, size))
                self.assertFalse(report.before.healthy)
                await self.check_same(shares)

    async def test_long(self) -> None:
        """What is missing of a file whose blocks are made one by one is made again."""
        content = os.urandom(LONG)
        shares = make_shares(content)
        await self.grid.store(shares, (1, 5, 9))
        self.assertTrue((await self.repair()).successful)
        await self.check_same(shares)

    async def test_damaged(self) -> None:
        """Damaged shares are replaced where they are, whatever is wrong with them."""
        for mdmf in (False, True):
            shares = make_shares(TEXT, mdmf=mdmf)
            await self.grid.store(shares, range(10))
            for number, (start, end) in enumerate(sections(shares[0]).values()):
                damaged = flipped(shares[number], (start + end) // 2)
                await self.grid.put(number, number, damaged)
            report = await self.repair()
            self.assertTrue(report.successful)
            await self.check_same(shares)

    async def test_old_version(self) -> None:
        """Shares of the version before, of which too few are left, become new ones."""
        new = make_shares(TEXT[:1000], 8)
        await self.grid.store(make_shares(TEXT, 7), range(2))
        await self.grid.store(new, range(2, 10))
        report = await self.repair()
        self.assertTrue(report.successful)
        await self.check_same(new)

    async def test_fork(self) -> None:
        """Two versions with one number: the better one is written anew, above both."""
        await self.grid.store(make_shares(b"a" * 100, 7), range(5))
        await self.grid.store(make_shares(b"b" * 100, 7), range(5, 10))
        before = await self.repair()
        self.assertTrue(before.successful)
        assert before.before.best is not None and before.after.best is not None
        self.assertEqual(before.after.best.sequence, 8)
        self.assertEqual(before.before.best.geometry, before.after.best.geometry)

    async def test_hidden(self) -> None:
        """A newer version whose servers may come back is not written over."""
        new = make_shares(b"new", 9)
        await self.grid.store(make_shares(b"old", 7), range(8))
        await self.grid.store(new, range(8, 10))
        before = await self.stored()
        report = await self.repair()
        self.assertEqual((report.attempted, report.successful), (True, False))
        self.assertEqual(await self.stored(), before)

    async def test_lost(self) -> None:
        await self.grid.store(make_shares(TEXT), range(2))
        report = await self.repair()
        self.assertEqual((report.attempted, report.successful), (True, False))
        self.assertEqual(sorted(await self.stored()), [0, 1])

    async def test_reader(self) -> None:
        """Who cannot write repairs nothing."""
        await self.grid.store(make_shares(TEXT), range(9))
        report = await self.repair(write_cap().read_cap())
        self.assertFalse(report.attempted)
        self.assertEqual(sorted(await self.stored()), list(range(9)))

    async def test_surplus(self) -> None:
        """A share with a number that the version does not have is deleted."""
        shares = make_shares(TEXT)
        await self.grid.store(shares, range(10))
        await self.grid.put(3, 12, shares[3])
        report = await self.repair()
        self.assertTrue(report.successful)
        await self.check_same(shares)
