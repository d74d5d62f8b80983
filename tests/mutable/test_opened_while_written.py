"""Files that are read while they are written again and again."""

from __future__ import annotations

import os

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.codec.mutable_example import signing_key
from tests.grids import LEASE_SECRET, REACTOR
from tests.mutable.share_grid import SlotGrid, read
from tests.soak import WHOLE
from truckee.mutable.errors import NotEnoughMutableShares, VersionGone
from truckee.mutable.publish import Publisher
from truckee.mutable.servermap import Purpose
from truckee.mutable.versions import Versions

WRITES = 200 if WHOLE else 20


class WrittenTests(TestCase):
    """A reader gets a version that was written, as a whole, or is told to map again."""

    async def check(self, kind: str, size: int) -> None:
        """Write *size* bytes of one value, then of the next; read meanwhile."""
        grid = SlotGrid.new(self)
        cap, key = grid.cap, signing_key()
        publisher = Publisher(
            lambda: grid.servers, LEASE_SECRET, grid.cpu, REACTOR, os.urandom
        )
        if kind == "MDMF":
            cap = type(cap)("MDMF", cap.write_key, cap.fingerprint)
        known, ended = Versions(), False

        async def write() -> None:
            nonlocal known, ended
            try:
                for number in range(WRITES):
                    content = bytes([number]) * (size + number)
                    await publisher.publish(cap, key, known, content, 3, 10)
                    known = await grid.mapper().map(cap, Purpose.WRITE, write_cap=cap)
            finally:
                ended = True

        await publisher.publish(cap, key, known, bytes(size), 3, 10)
        known = await grid.mapper().map(cap, Purpose.WRITE, write_cap=cap)
        writing = Deferred.fromCoroutine(write())
        latest, reads = 0, 0
        while not ended:
            try:
                opened = await grid.opened()
                text = await read(opened)
            except (VersionGone, NotEnoughMutableShares):
                continue
            reads += 1
            # One version, not older than one that was read before.
            self.assertEqual(text, text[:1] * (size + text[0]))
            self.assertGreaterEqual(text[0], latest)
            latest = text[0]
        await writing
        self.assertEqual((await read(await grid.opened()))[0], WRITES - 1)
        self.assertGreater(reads, 1)
        # An overwritten share is no damaged one.
        self.assertEqual([grid.slots(number).advice for number in range(10)], [[]] * 10)

    async def test_sdmf(self) -> None:
        await self.check("SSK", 20_000)

    async def test_short_sdmf(self) -> None:
        await self.check("SSK", 300)

    async def test_mdmf(self) -> None:
        await self.check("MDMF", 300_000)
