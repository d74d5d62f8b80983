"""Tests of truckee.mutable.opened: what web clients read through."""

from __future__ import annotations

import random

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.grids import hanging, until
from tests.mutable.share_grid import SlotGrid, make_shares, read
from truckee.immutable.download.read_ahead import MOST_AHEAD
from truckee.mutable.errors import NotEnoughMutableShares
from truckee.mutable.opened import OpenVersion

RNG = random.Random(17)
TEXT = RNG.randbytes(3000)


async def grid_with(case: TestCase, shares: list[bytes]) -> SlotGrid:
    """Return a grid with *shares* on five servers."""
    grid = SlotGrid.new(case, 5)
    await grid.store(shares, range(10))
    return grid


async def all_given_back(opened: OpenVersion) -> None:
    """Return when nothing is reserved any more: threads end what they began."""
    await until(lambda: opened.holdings.budget.used == 0)


class OpenVersionTests(TestCase):
    """Ranges, read-ahead and the memory budget."""

    async def test_ranges(self) -> None:
        for shares in (
            make_shares(TEXT),
            make_shares(TEXT, mdmf=True, segment_size=300),
            make_shares(TEXT, mdmf=True, segment_size=27),
            make_shares(TEXT, mdmf=True),
        ):
            opened = await (await grid_with(self, shares)).opened()
            ranges = [(0, 3000), (0, 0), (3000, 3000), (0, 1), (2999, 3000), (299, 301)]
            for _ in range(20):
                start = RNG.randrange(3000)
                ranges.append((start, RNG.randint(start, 3000)))
            for start, end in ranges:
                self.assertEqual(await read(opened, start, end), TEXT[start:end])
            await all_given_back(opened)

    async def test_empty(self) -> None:
        """It has no segment, and of MDMF a segment size."""
        for mdmf in (False, True):
            grid = await grid_with(self, make_shares(b"", mdmf=mdmf))
            opened = await grid.opened()
            asked = grid.count()
            self.assertEqual(opened.segment_size, 0)
            self.assertEqual(await read(opened), b"")
            self.assertEqual(grid.count(), asked)

    async def test_budget(self) -> None:
        """A file of one short segment reserves no more than it has."""
        grid = await grid_with(self, make_shares(b"short", mdmf=True))
        opened = await grid.opened()
        self.assertEqual(await read(opened), b"short")
        self.assertLess(opened.holdings.budget.peak, 100)

    async def test_read_ahead_is_bounded(self) -> None:
        grid = await grid_with(self, make_shares(TEXT, mdmf=True, segment_size=30))
        opened = await grid.opened()
        download = opened.read(0, 3000)
        self.assertEqual(await anext(download), TEXT[:30])
        self.assertEqual(await anext(download), TEXT[30:60])
        self.assertLessEqual(opened.holdings.budget.used, (MOST_AHEAD + 2) * 60)
        download.stop()
        await all_given_back(opened)

    async def test_stopped(self) -> None:
        """A download that is left gives all back, whatever was in flight."""
        grid = await grid_with(self, make_shares(TEXT, mdmf=True, segment_size=300))
        opened = await grid.opened()
        for number in range(5):
            grid.slots(number).mood = hanging("read")
        download = opened.read(0, 3000)
        reading = Deferred.fromCoroutine(download.__anext__())
        self.assertNoResult(reading)
        reading.cancel()
        self.failureResultOf(reading)
        download.stop()
        await all_given_back(opened)

    async def test_error(self) -> None:
        """What cannot be read raises at its segment, and gives all back."""
        grid = await grid_with(self, make_shares(TEXT, mdmf=True, segment_size=300))
        opened = await grid.opened()
        self.assertEqual(await read(opened, 0, 600), TEXT[:600])
        for number in range(10):
            await grid.remove(number % 5, number)
        with self.assertRaises(NotEnoughMutableShares):
            await read(opened, 900, 1200)
        await all_given_back(opened)
