"""Bytes that are written into an MDMF file where they belong."""

from __future__ import annotations

import os
from collections.abc import Set

from twisted.trial.unittest import TestCase

from tests.codec.mutable_example import PRIVATE_KEY, signing_key
from tests.codec.stock_mutable import Read, work
from tests.grids import LEASE_SECRET, REACTOR
from tests.mutable.slot_grid import SlotGrid, nothing, refusing
from truckee.codec.mdmf import BeyondEnd
from truckee.mutable.errors import UncoordinatedWrite
from truckee.mutable.share_writes import Published
from truckee.mutable.update import Updater
from truckee.mutable.versions import Versions, numbers_of
from truckee.mutable.write_errors import TooFewPlaced
from truckee.storage.interfaces import NoSpace, SlotChange, SlotWrite

SEGMENT = 131_073  # bytes, with k = 3


class UpdateTests(TestCase):
    timeout = 120

    async def make(
        self, size: int, format: str = "MDMF", needed: int = 3, total: int = 10
    ) -> None:
        """Have a file of *size* bytes."""
        self.grid = SlotGrid.new(self, 5, format)
        self.data = os.urandom(size)
        self.asked: list[int] = []
        await self.grid.write(self.data, needed, total)
        for number in range(5):
            self.grid.slots(number).requests.clear()

    async def update(
        self, offset: int, data: bytes, known: Versions | None = None, most: int = 16 << 20
    ) -> Published | None:
        """Write *data* at *offset*."""
        grid, old = self.grid, self.data

        async def read(segments: range) -> list[bytes]:
            self.asked += segments
            return [old[SEGMENT * n : SEGMENT * (n + 1)] for n in segments]

        updater = Updater(LEASE_SECRET, grid.cpu, REACTOR, os.urandom, most)
        known = await grid.look() if known is None else known
        done = await updater.write(grid.cap, signing_key(), known, offset, data, read)
        if done is not None:
            self.data = old[:offset] + data + old[offset + len(data) :]
        return done

    async def check(self) -> None:
        """Fail unless the file is whole, for us and for stock's own code."""
        grid = self.grid
        self.assertTrue((await grid.look()).is_healthy)
        self.assertTrue(await grid.read() == self.data)
        shares = {place.number: share for place, share in (await grid.shares()).items()}
        (answer,) = work(PRIVATE_KEY, [Read(str(grid.cap.read_cap()), shares)])
        self.assertTrue(answer == [True, self.data])

    async def test_places(self) -> None:
        """Anywhere: within a segment, over boundaries, at the end, over powers of two."""
        await self.make(3 * SEGMENT + 5)
        sequence = 1
        for offset, size in (
            (0, 1),
            (SEGMENT - 1, 2),
            (SEGMENT, SEGMENT),
            (10, 2 * SEGMENT),
            (3 * SEGMENT, 5),
            (3 * SEGMENT + 5, 10),
            (3 * SEGMENT + 15, 3 * SEGMENT),
            (0, 0),
        ):
            done = await self.update(offset, os.urandom(size))
            assert done is not None
            sequence += 1
            self.assertEqual(done.prefix.sequence, sequence)
            self.assertEqual(done.placed.keys(), (await self.grid.look()).shares.keys())
            await self.check()
        self.assertEqual(self.grid.requests, 8 * 10)

    async def test_empty(self) -> None:
        """An empty file gets its first bytes."""
        await self.make(0)
        self.assertIsNotNone(await self.update(0, b"first"))
        await self.check()

    async def test_only_what_changes(self) -> None:
        """Of a long file little is read and written, and what is new has new salts."""
        await self.make(8 * SEGMENT)
        before = await self.grid.shares()
        await self.update(5 * SEGMENT + 7, b"some bytes")
        self.assertEqual(self.asked, [5])
        block = SEGMENT // 3 + 16
        for place, share in (await self.grid.shares()).items():
            old, start = before[place], 2167 + 5 * block
            self.assertNotEqual(share[start : start + 16], old[start : start + 16])
            self.assertEqual(share[2167:start], old[2167:start])
            end = start + block
            self.assertEqual(share[end : 2167 + 8 * block], old[end : 2167 + 8 * block])
        for number in range(5):
            for changes in self.grid.slots(number).requests:
                (change,) = changes.values()
                written = sum(len(each.data) for each in change.writes)
                self.assertLess(written, block + 2167 + 15 * 32 + 1)

    async def test_not_possible(self) -> None:
        """Where it takes a whole version nothing is done."""
        await self.make(2 * SEGMENT)
        known = await self.grid.look()
        few = {place: share for place, share in known.shares.items() if place.number}
        self.assertIsNone(await self.update(0, b"x", Versions(shares=few)))
        self.assertIsNone(await self.update(0, b"x", Versions()))
        self.assertIsNone(await self.update(0, bytes(SEGMENT), most=100_000))
        place = next(iter(known.shares))
        await self.grid.meddle(place, SlotChange(writes=[SlotWrite(0, b"\xff")]))
        self.assertIsNone(await self.update(0, b"x"))
        # A block tree that is damaged is found before anything is written.
        await self.make(2 * SEGMENT)
        place = next(iter((await self.grid.look()).shares))
        tree = 2167 + 2 * (SEGMENT // 3 + 16)
        wrong = SlotChange(writes=[SlotWrite(tree + 40, b"\xff" * 8)])
        await self.grid.meddle(place, wrong)
        self.assertIsNone(await self.update(0, b"x"))
        # With so few shares there could be too few of both versions on the way.
        await self.make(2 * SEGMENT, needed=3, total=4)
        self.assertIsNone(await self.update(0, b"x"))
        await self.make(100, "SSK")
        self.assertIsNone(await self.update(0, b"x"))
        self.assertEqual(self.grid.requests, 0)

    async def test_lost_tree(self) -> None:
        """A server that is gone since the map: a whole version finds another one."""
        await self.make(2 * SEGMENT)
        known = await self.grid.look()
        self.grid.servers[0].slots = None
        self.assertIsNone(await self.update(0, b"x", known))

    async def test_beyond_the_end(self) -> None:
        """There are no holes."""
        await self.make(100)
        with self.assertRaises(BeyondEnd):
            await self.update(101, b"x")
        self.assertEqual(self.grid.requests, 0)

    async def test_other_writer(self) -> None:
        """A version that came after the map is not changed."""
        await self.make(2 * SEGMENT)
        known = await self.grid.look()
        await self.grid.write(b"theirs")
        with self.assertRaises(UncoordinatedWrite):
            await self.update(0, b"x", known)
        self.assertEqual(await self.grid.read(), b"theirs")

    async def test_failures(self) -> None:
        """A server that fails leaves its shares behind; k different ones are enough."""
        await self.make(2 * SEGMENT)
        self.grid.slots(1).before = refusing(NoSpace("disk"))
        done = await self.update(7, b"some bytes")
        assert done is not None
        self.assertEqual(len(numbers_of(done.placed)), 8)
        self.assertEqual(self.grid.spread(done.failed).keys(), {"s1"})
        self.assertTrue(await self.grid.read() == self.data)
        await self.make(2 * SEGMENT)
        for number in range(1, 5):
            self.grid.slots(number).before = refusing(NoSpace("disk"))
        with self.assertRaises(TooFewPlaced):
            await self.update(7, b"some bytes")
        for number in range(1, 5):
            self.grid.slots(number).before = nothing
        self.assertTrue(await self.grid.read() == self.data)

    async def test_always_readable(self) -> None:
        """Before and after each request one of both versions can be read."""
        await self.make(2 * SEGMENT)
        seen: list[bytes] = []

        async def look(_numbers: Set[int]) -> None:
            seen.append(await self.grid.read())

        for number in range(5):
            self.grid.slots(number).before = self.grid.slots(number).after = look
        old = self.data
        await self.update(SEGMENT - 3, b"some bytes")
        self.assertEqual(len(seen), 20)
        self.assertEqual(set(seen), {old, self.data})
