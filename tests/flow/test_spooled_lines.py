"""Tests of truckee.flow.spooled_lines."""

from __future__ import annotations

from contextlib import aclosing

from twisted.trial.unittest import TestCase

from tests.grids import new_directory, new_workers
from truckee.flow.spool import Spool, SpoolFull
from truckee.flow.spooled_lines import SpooledLines


class SpooledLinesTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.disk = new_workers(self)
        self.place = new_directory(self)
        self.spools: list[Spool] = []

    def lines(self, limit: int = 1 << 30) -> SpooledLines:
        """Return some whose spools are known."""

        def new() -> Spool:
            self.spools.append(Spool(self.disk, str(self.place), limit))
            return self.spools[-1]

        lines = SpooledLines(new)
        self.addCleanup(lines.close)
        return lines

    async def read(self, lines: SpooledLines) -> list[bytes]:
        """Return all lines."""
        return [line async for some in lines.read() for line in some]

    async def test_short(self) -> None:
        """What is short touches no disk."""
        lines = self.lines()
        await lines.append([b"one", b"", b"two"])
        self.assertEqual(await self.read(lines), [b"one", b"", b"two"])
        self.assertEqual(self.spools, [])

    async def test_long(self) -> None:
        """What is long comes back in order, as often as it is read, also meanwhile."""
        lines, written = self.lines(), []
        for number in range(500):
            some = [b"%d %d " % (number, each) * 20 for each in range(10)]
            await lines.append(some)
            written += some
            if number % 100 == 0:
                self.assertEqual(await self.read(lines), written)
        self.assertEqual(await self.read(lines), written)
        self.assertEqual(await self.read(lines), written)
        [spool] = self.spools
        self.assertGreater(spool.size, 1 << 19)

    async def test_snapshot(self) -> None:
        """Who reads gets what was there when it began."""
        lines = self.lines()
        await lines.append([b"x" * 70_000, b"last"])
        async with aclosing(lines.read()) as found:
            first = await anext(found)
            await lines.append([b"y" * 70_000])
            rest = [line async for some in found for line in some]
        self.assertEqual([*first, *rest], [b"x" * 70_000, b"last"])

    async def test_closed_while_read(self) -> None:
        """The disk is given back when the last reader is through."""
        lines = self.lines()
        written = [b"x" * 1000] * 300
        await lines.append(written)
        async with aclosing(lines.read()) as found:
            first = await anext(found)
            lines.close()
            rest = [line async for some in found for line in some]
        self.assertEqual([*first, *rest], written)
        self.assertEqual(self.spools[0]._descriptor, -1)

    async def test_full(self) -> None:
        lines = self.lines(limit=100_000)
        await lines.append([b"x" * 70_000])
        with self.assertRaises(SpoolFull):
            await lines.append([b"x" * 70_000])
