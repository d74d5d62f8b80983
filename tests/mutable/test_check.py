"""Tests of truckee.mutable.check."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.codec.mutable_example import write_cap
from tests.grids import LEASE_SECRET
from tests.mutable.share_grid import SlotGrid, flipped, make_shares, sections
from truckee.codec.mutable_geometry import MutableGeometry
from truckee.mutable.check import MutableChecker, MutableReport, runs
from truckee.storage.interfaces import CallFailed

TEXT = os.urandom(300_000)


async def broken(call: str, share: int) -> None:
    """Be a server that does nothing it is asked."""
    raise CallFailed("s", call, "it is broken")


class CheckTests(TestCase):
    """What a check finds of shares on ten servers, 3 of which are needed."""

    def setUp(self) -> None:
        self.grid = SlotGrid.new(self)

    async def check(self, verify: bool = True, *, reader: bool = False) -> MutableReport:
        """Return what is found by who may write, or only read."""
        checker = MutableChecker(self.grid.mapper(), 3, 10, LEASE_SECRET, self.grid.cpu)
        cap = write_cap().read_cap() if reader else write_cap()
        return await checker.check(cap, verify)

    async def test_healthy(self) -> None:
        for mdmf in (False, True):
            for size in (0, 1, 1000, len(TEXT)):
                await self.grid.store(make_shares(TEXT[:size], mdmf=mdmf), range(10))
                for verify in (False, True):
                    report = await self.check(verify)
                    self.assertTrue(report.healthy, (mdmf, size, report.corrupt))
                    self.assertEqual((report.needed, report.total), (3, 10))
                    self.assertEqual(report.happiness, 10)
                    self.assertEqual(len(report.servers), 10)

    async def test_nothing(self) -> None:
        report = await self.check()
        self.assertIsNone(report.best)
        self.assertFalse(report.healthy)
        self.assertEqual((report.needed, report.total), (3, 10))
        self.assertEqual(len(report.servers), 10)

    async def test_missing(self) -> None:
        await self.grid.store(make_shares(TEXT), range(9))
        report = await self.check()
        self.assertFalse(report.healthy)
        self.assertEqual(len(report.good), 9)

    async def test_each_section(self) -> None:
        """A flipped byte in any part that is covered makes a share a corrupt one."""
        for mdmf in (False, True):
            shares = make_shares(TEXT, mdmf=mdmf)
            for name, (start, end) in sections(shares[4]).items():
                await self.grid.store(shares, range(10))
                await self.grid.put(4, 4, flipped(shares[4], (start + end) // 2))
                report = await self.check()
                found = {place.number for place in report.corrupt}
                good = {place.number for place in report.good}
                if found:
                    self.assertEqual((found, len(good)), ({4}, 9), (mdmf, name))
                else:
                    # Spare bytes of the offsets may stand for the same place.
                    self.assertEqual(name, "offsets")

    async def test_every_block(self) -> None:
        shares = make_shares(TEXT, mdmf=True)
        start, end = sections(shares[7])["data"]
        for at in (start, start + 16, start + 43_707, end - 1):
            await self.grid.store(shares, range(10))
            await self.grid.put(7, 7, flipped(shares[7], at))
            self.assertEqual({p.number for p in (await self.check()).corrupt}, {7})
            # Nobody has looked, so nobody knows.
            self.assertTrue((await self.check(verify=False)).healthy)

    async def test_private_key(self) -> None:
        """Only who may write can tell that it is damaged."""
        shares = make_shares(TEXT)
        start, _ = sections(shares[2])["private_key"]
        await self.grid.store(shares, range(10))
        await self.grid.put(2, 2, flipped(shares[2], start + 100))
        self.assertEqual({p.number for p in (await self.check()).corrupt}, {2})
        self.assertTrue((await self.check(reader=True)).healthy)

    async def test_two_versions(self) -> None:
        await self.grid.store(make_shares(TEXT, 7), range(8))
        await self.grid.store(make_shares(TEXT, 9), range(8, 10))
        report = await self.check()
        self.assertFalse(report.healthy)
        assert report.best is not None
        self.assertEqual(report.best.sequence, 7)
        self.assertEqual(len(report.versions.unrecoverable), 1)

    async def test_server_fails(self) -> None:
        """A server that does not answer is no corrupt share."""
        await self.grid.store(make_shares(TEXT), range(10))
        self.grid.slots(3).mood = broken
        report = await self.check()
        self.assertEqual((dict(report.corrupt), len(report.good)), ({}, 9))
        self.assertEqual(len(report.servers), 9)

    async def test_unrenewed(self) -> None:
        """A server that renews no lease is named, and the file is healthy all the same."""
        await self.grid.store(make_shares(TEXT), range(10))

        async def unwilling(call: str, share: int) -> None:
            if call == "add_lease":
                await broken(call, share)

        self.grid.slots(3).mood = unwilling
        checker = MutableChecker(self.grid.mapper(), 3, 10, LEASE_SECRET, self.grid.cpu)
        report = await checker.check(write_cap(), add_lease=True)
        self.assertEqual(list(report.unrenewed), [self.grid.servers[3]])
        self.assertTrue(report.healthy)


class RunTests(SynchronousTestCase):
    """Which blocks are read at once."""

    def test_all_in_order(self) -> None:
        for size in (0, 1, 131_073, 131_073 * 63, 131_073 * 200 + 5):
            cut = MutableGeometry.mdmf(size, 3, 10)
            found = list(runs(cut))
            numbers = [number for run in found for number in run]
            self.assertEqual(numbers, list(range(cut.segments)))
            for run in found:
                self.assertLessEqual(cut.block_offset(run.stop), 1 << 60)
                length = cut.block_offset(run.stop) - cut.block_offset(run.start)
                self.assertLessEqual(length, 1 << 20)
                self.assertEqual(run.start // 64, (run.stop - 1) // 64)
