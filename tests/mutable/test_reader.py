"""Tests of truckee.mutable.reader: files that are written while they are read."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

from attrs import define, field
from twisted.trial.unittest import TestCase

from tests.codec.mutable_example import write_cap
from tests.grids import REACTOR
from tests.mutable.share_grid import SlotGrid, make_shares
from truckee.codec.caps import MutableReadCap
from truckee.flow.limits import Budget
from truckee.immutable.download.memory_budget import Holdings
from truckee.mutable.errors import NotEnoughMutableShares, VersionGone
from truckee.mutable.reader import READS, MutableReader
from truckee.mutable.versions import Versions

CAP = write_cap().read_cap()


@define(eq=False)
class Overtaken(MutableReader):
    """One that finds out what there is, and then others write."""

    then: Callable[[], Awaitable[None]] | None = None
    looks: int = field(default=0, init=False)

    async def look(self, cap: MutableReadCap) -> Versions:
        found = await MutableReader.look(self, cap)
        self.looks += 1
        if self.then is not None:
            await self.then()
        return found


class WriteTests(TestCase):
    """Ten servers, whose shares the test replaces."""

    timeout = 60

    def setUp(self) -> None:
        self.grid = SlotGrid.new(self)
        holdings = Holdings(Budget(64 << 20), REACTOR)
        self.reader = Overtaken(self.grid.mapper(), self.grid.cpu, REACTOR, holdings)
        self.text = b""
        self.sequence = 0

    async def write(self) -> None:
        """Have a new version on all servers."""
        self.text, self.sequence = os.urandom(20_000), self.sequence + 1
        await self.grid.store(make_shares(self.text, self.sequence), range(10))

    def overtake(self, times: int) -> None:
        """Have others write after each of the next looks."""

        async def then() -> None:
            if self.reader.looks <= times:
                await self.write()

        self.reader.then = then

    async def test_written_each_time(self) -> None:
        """A file that somebody writes again and again can be read."""
        await self.write()
        self.overtake(READS - 1)
        _, content = await self.reader.read_newer(CAP, None)
        self.assertEqual(content, self.text)

    async def test_bound(self) -> None:
        """It is not tried for ever."""
        await self.write()
        self.overtake(100)
        with self.assertRaises(VersionGone):
            await self.reader.read_newer(CAP, None)
        self.assertEqual(self.reader.looks, READS)

    async def test_amid_a_write(self) -> None:
        """Of neither version are there enough shares; a moment later there are."""
        old, new = make_shares(b"old", 1), make_shares(b"new", 2)

        async def finish() -> None:
            if self.reader.looks == 2:
                await self.grid.store(new, range(10))

        for whole in (False, True):
            await self.grid.store(old, range(2))
            await self.grid.store(new, range(2, 4))
            self.reader.then, self.reader.looks = finish, 0
            if whole:
                _, content = await self.reader.read_newer(CAP, None)
                self.assertEqual(content, b"new")
            else:
                opened = await self.reader.open(CAP)
                self.assertEqual(await opened.read(0, 3).rest(), b"new")
            self.assertEqual(self.reader.looks, 3)
            for number in range(10):
                await self.grid.remove(number, number)

    async def test_never_enough(self) -> None:
        """What stays so is an error, soon."""
        await self.grid.store(make_shares(b"old", 1), range(2))
        await self.grid.store(make_shares(b"new", 2), range(2, 4))
        with self.assertRaises(NotEnoughMutableShares):
            await self.reader.open(CAP)
        self.assertEqual(self.reader.looks, 4)
        # Of one version alone nothing is waited for.
        for number in (2, 3):
            await self.grid.remove(number, number)
        self.reader.looks = 0
        with self.assertRaises(NotEnoughMutableShares):
            await self.reader.open(CAP)
        self.assertEqual(self.reader.looks, 1)
