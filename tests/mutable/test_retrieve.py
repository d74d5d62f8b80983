"""Tests of truckee.mutable.retrieve, with shares on real directories."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, failing, hanging, until
from tests.mutable.share_grid import (
    SlotGrid,
    flipped,
    make_shares,
    make_unfit_shares,
    read,
    sections,
)
from tests.soak import WHOLE
from truckee.codec.mutable_geometry import SegmentTooLarge
from truckee.codec.mutable_prefix import Prefix
from truckee.codec.rsa_keys import SigningKey
from truckee.errors import TruckeeError
from truckee.mutable.errors import BrokenVersion, NotEnoughMutableShares, VersionGone
from truckee.mutable.opened import OpenVersion
from truckee.mutable.servermap import Purpose

RNG = random.Random(15)
# Not 0 as a number, so that a wrong segment is not a right one by chance.
TEXT = RNG.randbytes(5000)
LONG = RNG.randbytes(20_000)  # of SDMF, so that blocks do not come with the map
SMALL = 300  # bytes of a segment


async def grid_with(case: TestCase, shares: Sequence[bytes], servers: int = 10) -> SlotGrid:
    """Return a grid with share n on server n."""
    grid = SlotGrid.new(case, servers)
    await grid.store(shares, range(len(shares)))
    return grid


class GoodTests(TestCase):
    """Files of all sizes, and of both kinds."""

    async def test_sizes(self) -> None:
        for needed, total in ((1, 1), (2, 3), (3, 10)):
            segment = 60 * needed
            for size in (0, 1, needed - 1, needed, needed + 1, segment - 1, segment):
                for mdmf in (False, True):
                    await self.check(size, needed, total, mdmf, segment)
            for size in (segment + 1, 2 * segment, 5 * segment - 1, 64 * segment + 1):
                await self.check(size, needed, total, True, segment)

    async def check(
        self, size: int, needed: int, total: int, mdmf: bool, segment: int
    ) -> None:
        """Read a file of *size* bytes."""
        text = RNG.randbytes(size)
        shares = make_shares(
            text,
            needed=needed,
            total=total,
            mdmf=mdmf,
            segment_size=segment if mdmf else None,
        )
        grid = await grid_with(self, shares, 5)
        self.assertEqual(await read(await grid.opened(Purpose.CHECK)), text)

    async def test_any_k_shares(self) -> None:
        shares = make_shares(TEXT, mdmf=True, segment_size=SMALL)
        for numbers in ((7, 8, 9), (0, 4, 9), (1, 2, 5)):
            grid = SlotGrid.new(self)
            await grid.store(shares, numbers)
            self.assertEqual(await read(await grid.opened()), TEXT)

    async def test_ordinary_segments(self) -> None:
        text = RNG.randbytes(400_000)
        grid = await grid_with(self, make_shares(text, mdmf=True))
        opened = await grid.opened()
        self.assertEqual(await read(opened), text)
        for start, end in (
            (0, 1),
            (131_072, 131_074),
            (262_145, 262_147),
            (399_999, 400_000),
        ):
            self.assertEqual(await read(opened, start, end), text[start:end])

    async def test_many_segments(self) -> None:
        """Block trees of several pages are read as they are needed."""
        text = RNG.randbytes(9000)
        grid = await grid_with(self, make_shares(text, mdmf=True, segment_size=3))
        opened = await grid.opened()
        for _ in range(20):
            start = RNG.randrange(9000)
            end = RNG.randint(start, 9000)
            self.assertEqual(await read(opened, start, end), text[start:end])

    async def test_adjacent_segments(self) -> None:
        """More than are read at once, and none at all."""
        grid = await grid_with(self, make_shares(TEXT, mdmf=True, segment_size=30))
        opened = await grid.opened()
        self.assertEqual(b"".join(await opened.segments(range(20, 150))), TEXT[600:4500])
        self.assertEqual(await opened.segments(range(5, 5)), [])

    async def test_side_by_side(self) -> None:
        """Several readers of one retriever do not disturb each other."""
        grid = await grid_with(self, make_shares(TEXT, mdmf=True, segment_size=3))
        opened = await grid.opened()
        reading = [
            Deferred.fromCoroutine(read(opened, start, start + 900))
            for start in range(0, 4000, 400)
        ]
        for start, each in zip(range(0, 4000, 400), reading, strict=True):
            self.assertEqual(await each, TEXT[start : start + 900])


class RequestTests(TestCase):
    """How often servers are asked."""

    async def test_short_sdmf_takes_two_rounds(self) -> None:
        """10 KiB: one request to each of 2k servers, then one to each of k."""
        text = RNG.randbytes(10 << 10)
        grid = await grid_with(self, make_shares(text))
        opened = await grid.opened()
        self.assertEqual(grid.count(), 6)
        self.assertEqual(await read(opened), text)
        self.assertEqual(grid.count(), 9)
        rounds = max(len(grid.slots(number).asked) for number in range(10))
        self.assertEqual(rounds, 2)

    async def test_shorter_sdmf_takes_one(self) -> None:
        """A block that came with the map is not read again, and is verified."""
        text = RNG.randbytes(6000)
        grid = await grid_with(self, make_shares(text))
        self.assertEqual(await read(await grid.opened()), text)
        self.assertEqual(grid.count(), 6)

    async def test_long_blocks_are_read_in_pieces(self) -> None:
        """No request takes long, so that timeouts need not know of sizes."""
        text = RNG.randbytes((2 << 20) + 5)
        grid = await grid_with(self, make_shares(text, needed=1, total=2))
        self.assertEqual(await read(await grid.opened()), text)
        longest = max(
            each.length
            for number in (0, 1)
            for _, reads in grid.slots(number).asked
            for each in reads
        )
        self.assertEqual(longest, 1 << 20)

    async def test_range_of_mdmf(self) -> None:
        """A segment's block and what verifies it come with one request to each of k."""
        text = RNG.randbytes(400_000)
        grid = await grid_with(self, make_shares(text, mdmf=True))
        opened = await grid.opened()
        before = grid.count()
        await opened.segments(range(1, 2))
        self.assertEqual(grid.count() - before, 3)
        # The tree is known then.
        await opened.segments(range(2, 3))
        [_, reads] = grid.slots(0).asked[-1]
        self.assertEqual(len(reads), 2)

    async def test_the_first_shares_are_read(self) -> None:
        """They have the segment itself."""
        grid = SlotGrid.new(self)
        shares = make_shares(LONG)
        for number, share in enumerate(reversed(shares)):
            await grid.put(number, 9 - number, share)
        opened = await grid.opened(Purpose.CHECK)
        before = [len(grid.slots(number).asked) for number in range(10)]
        await read(opened)
        asked = [
            9 - number
            for number in range(10)
            if len(grid.slots(number).asked) > before[number]
        ]
        self.assertEqual(sorted(asked), [0, 1, 2])


class SlowTests(TestCase):
    """Servers that do not answer, or fail."""

    async def test_straggler(self) -> None:
        """Another share is read when one does not come, and is preferred from then on."""
        grid = await grid_with(self, make_shares(TEXT, mdmf=True, segment_size=SMALL))
        clock = Clock()
        opened = await grid.opened(clock=clock)
        grid.slots(1).mood = hanging("read")
        before = grid.count()
        reading = Deferred.fromCoroutine(opened.segments(range(1)))
        await until(lambda: grid.count() == before + 3)
        clock.advance(1)
        await until(lambda: reading.called)
        self.assertEqual(await reading, [TEXT[:SMALL]])
        asked = len(grid.slots(1).asked)
        await opened.segments(range(1, 3))
        self.assertEqual(len(grid.slots(1).asked), asked)
        self.assertEqual(clock.getDelayedCalls(), [])

    async def test_failing(self) -> None:
        grid = await grid_with(self, make_shares(TEXT, mdmf=True, segment_size=SMALL))
        opened = await grid.opened()
        grid.slots(0).mood = failing("read")
        grid.slots(1).mood = failing("read", error=RuntimeError("new"))
        grid.servers[2].slots = None
        self.assertEqual(await read(opened), TEXT)
        self.assertTrue(self.flushLoggedErrors(RuntimeError))

    async def test_too_few(self) -> None:
        """It says how many there are, and names what stock calls it."""
        grid = await grid_with(self, make_shares(LONG))
        opened = await grid.opened()
        for number in range(4):
            await grid.remove(number, number)
        with self.assertRaises(NotEnoughMutableShares) as caught:
            await read(opened)
        self.assertEqual((caught.exception.found, caught.exception.needed), (2, 3))
        self.assertIn("UnrecoverableFileError: ", str(caught.exception))
        self.assertIn("insufficient good shares", str(NotEnoughMutableShares(0, 3)))

    async def test_cancelled(self) -> None:
        grid = await grid_with(self, make_shares(LONG))
        clock = Clock()
        opened = await grid.opened(clock=clock)
        for number in range(10):
            grid.slots(number).mood = hanging("read")
        reading = Deferred.fromCoroutine(opened.segments(range(1)))
        reading.cancel()
        self.failureResultOf(reading)
        self.assertEqual(clock.getDelayedCalls(), [])


class OverwrittenTests(TestCase):
    """Versions that are written while an older one is read."""

    async def test_gone(self) -> None:
        """That is no damage: whoever reads has to look for the new version."""
        grid = await grid_with(self, make_shares(TEXT, mdmf=True, segment_size=SMALL))
        opened = await grid.opened()
        self.assertEqual(await read(opened, 0, 400), TEXT[:400])
        await grid.store(make_shares(RNG.randbytes(5000), 2, mdmf=True), range(10))
        with self.assertRaises(VersionGone):
            await read(opened, 1000, 1500)
        self.assertEqual([grid.slots(n).advice for n in range(10)], [[]] * 10)

    async def test_half_gone(self) -> None:
        """What is left of the old version is read on."""
        grid = await grid_with(self, make_shares(TEXT, mdmf=True, segment_size=SMALL))
        opened = await grid.opened()
        await read(opened, 0, 400)
        new = make_shares(b"new", 2, mdmf=True)
        await grid.store(new, [0, 2, 5])
        self.assertEqual(await read(opened), TEXT)

    async def test_between_two_reads_of_a_server(self) -> None:
        """Where a server answers in parts, a share of two versions is not reported."""
        old = make_shares(TEXT, 1, mdmf=True, segment_size=SMALL)
        new = make_shares(bytes(5000), 2, mdmf=True, segment_size=SMALL)
        grid = await grid_with(self, old)
        opened = await grid.opened()
        slots = grid.slots(0)
        for number in range(1, 4):
            grid.slots(number).mood = failing("read")

        async def overwritten(operation: str, share: int) -> None:
            """Answer the first range of the old version and the others of the new one."""
            await grid.put(0, 0, new[0])
            first, *others = slots.asked[-1][1]
            head = old[0][: first.length]
            rest = [new[0][each.offset : each.offset + each.length] for each in others]
            slots.lie, slots.mood = {0: [head, *rest]}, honest

        async def honest(operation: str, share: int) -> None:
            slots.lie = None

        slots.mood = overwritten
        with self.assertRaises(VersionGone):
            await opened.segments(range(1))
        self.assertEqual(slots.advice, [])


class DamageTests(TestCase):
    """Right bytes or a clean error, whatever is wrong with shares."""

    async def read(self, grid: SlotGrid) -> bytes:
        """Map and read a file."""
        return await read(await grid.opened(Purpose.CHECK))

    async def test_every_section_of_one_share(self) -> None:
        """Other shares are read; the server hears of it if what was read is damaged."""
        for text, mdmf in ((TEXT, False), (LONG, False), (TEXT, True)):
            shares = make_shares(text, mdmf=mdmf)
            for name, (start, end) in sections(shares[0]).items():
                for at in {start, (start + end) // 2, end - 1} if WHOLE else {end - 1}:
                    grid = await grid_with(self, [flipped(shares[0], at), *shares[1:]])
                    self.assertEqual(await self.read(grid), text, (name, at))
                    if name not in ("private_key", "offsets"):
                        self.assertEqual(len(grid.slots(0).advice), 1, (name, at))

    async def test_every_section_of_all_shares(self) -> None:
        """The file cannot be read then, but for what no reader needs."""
        for mdmf in (False, True):
            shares = make_shares(TEXT, mdmf=mdmf)
            for name, (start, _) in sections(shares[0]).items():
                grid = await grid_with(self, [flipped(share, start) for share in shares])
                if name == "private_key":
                    self.assertEqual(await self.read(grid), TEXT)
                    continue
                with self.assertRaises(NotEnoughMutableShares):
                    await self.read(grid)

    async def test_truncated(self) -> None:
        for mdmf in (False, True):
            shares = make_shares(TEXT, mdmf=mdmf)
            start, end = sections(shares[0])["data"]
            for cut in (1, start + 1, end - 1):
                grid = await grid_with(self, [shares[0][:cut], *shares[1:]])
                self.assertEqual(await self.read(grid), TEXT)
                grid = await grid_with(self, [share[:cut] for share in shares])
                with self.assertRaises(TruckeeError):
                    await self.read(grid)

    async def test_one_bad_block_in_each_share(self) -> None:
        """Each segment has k good blocks, though no share is good as a whole."""
        shares = make_shares(TEXT, mdmf=True, segment_size=SMALL)
        start, _ = sections(shares[0])["data"]
        damaged = [
            flipped(share, start + number * 116 + 20) for number, share in enumerate(shares)
        ]
        grid = await grid_with(self, damaged)
        self.assertEqual(await self.read(grid), TEXT)

    async def test_missing(self) -> None:
        shares = make_shares(TEXT)
        grid = SlotGrid.new(self)
        await grid.store(shares, [3, 8])
        with self.assertRaises(NotEnoughMutableShares):
            await self.read(grid)
        await grid.store(shares, [5])
        self.assertEqual(await self.read(grid), TEXT)

    async def test_stale_and_rolled_back(self) -> None:
        """k - 1 servers that show an old version change nothing."""
        old, new = make_shares(b"old", 4), make_shares(TEXT, 5)
        grid = await grid_with(self, new)
        await grid.store(old, [0, 1])
        self.assertEqual(await self.read(grid), TEXT)
        self.assertEqual(await read(await grid.opened()), TEXT)

    async def test_fork(self) -> None:
        """Of two versions of one number, the larger root hash is read."""
        forks = sorted(
            ((make_shares(text, 7), text) for text in (b"one", b"two")),
            key=lambda fork: Prefix.parse(fork[0][0]).root,
        )
        grid = SlotGrid.new(self)
        await grid.store(forks[0][0], range(0, 10, 2))
        await grid.store(forks[1][0], range(1, 10, 2))
        self.assertEqual(await self.read(grid), forks[1][1])

    async def test_foreign_shares(self) -> None:
        """Shares of another file, and of another place, are none of this one."""
        shares = make_shares(TEXT)
        other = make_shares(RNG.randbytes(5000), key=SigningKey.generate())
        grid = await grid_with(self, other)
        with self.assertRaises(NotEnoughMutableShares):
            await self.read(grid)
        await grid.store(shares, range(4, 10))
        await grid.put(0, 0, shares[1])
        await grid.put(1, 1, shares[0])
        self.assertEqual(await self.read(grid), TEXT)

    async def test_blocks_of_another_version(self) -> None:
        """A block of an older version, in its place and of its length, is not taken."""
        old = make_shares(RNG.randbytes(5000), 1, mdmf=True, segment_size=SMALL)
        new = make_shares(TEXT, 2, mdmf=True, segment_size=SMALL)
        start, end = sections(new[0])["data"]
        mixed = [
            share[:start] + before[start:end] + share[end:]
            for share, before in zip(new, old, strict=True)
        ]
        grid = await grid_with(self, mixed[:7] + new[7:])
        self.assertEqual(await self.read(grid), TEXT)
        grid = await grid_with(self, mixed[:8] + new[8:])
        with self.assertRaises(NotEnoughMutableShares):
            await self.read(grid)

    async def test_swapped_blocks(self) -> None:
        """Two segments in each other's place."""
        shares = make_shares(TEXT, mdmf=True, segment_size=SMALL)
        start, _ = sections(shares[0])["data"]
        cut = [start, start + 116, start + 232]
        swapped = [
            s[: cut[0]] + s[cut[1] : cut[2]] + s[cut[0] : cut[1]] + s[cut[2] :]
            for s in shares
        ]
        grid = await grid_with(self, swapped)
        opened = await grid.opened()
        with self.assertRaises(NotEnoughMutableShares):
            await opened.segments(range(1))
        self.assertEqual(await opened.segments(range(2, 3)), [TEXT[600:900]])

    async def test_by_chance(self) -> None:
        """Any damage to any shares: the bytes of the file, or an error of ours."""
        outcomes, rng = set(), random.Random(16)
        for case in range(400 if WHOLE else 20):
            mdmf = bool(case % 2)
            shares = make_shares(TEXT, mdmf=mdmf, segment_size=SMALL if mdmf else None)
            for number in rng.sample(range(10), rng.randint(1, 10)):
                share = bytearray(shares[number])
                for _ in range(rng.choice((1, 3, 20))):
                    share[rng.randrange(len(share))] ^= rng.randint(1, 255)
                length = rng.choice((len(share), rng.randrange(1, len(share))))
                shares[number] = bytes(share[:length])
            grid = await grid_with(self, shares)
            try:
                self.assertEqual(await self.read(grid), TEXT)
                outcomes.add("read")
            except TruckeeError:
                outcomes.add("refused")
        self.assertEqual(outcomes, {"read", "refused"})


class OwnerTests(TestCase):
    """What the owner of a file can do wrong, whose signature is good."""

    async def test_segments_too_large(self) -> None:
        """A file that takes too much memory is refused before anything is reserved."""
        shares = make_shares(TEXT, mdmf=True, segment_size=5001)
        grid = await grid_with(self, shares)
        opened = await grid.opened()
        self.assertEqual(opened.segment_size, 5000)
        large = evolve(opened.geometry, size=1 << 40, segment_size=3 << 30)
        prefix = evolve(opened.prefix, geometry=large)
        with self.assertRaises(SegmentTooLarge):
            OpenVersion(prefix, opened._retriever, opened.holdings, opened.clock)

    async def test_shares_that_do_not_fit_together(self) -> None:
        """Salts differ between the shares of a segment, and all of it is signed."""
        grid = await grid_with(self, make_unfit_shares(TEXT))
        with self.assertRaises(BrokenVersion):
            await read(await grid.opened())


class LyingTests(TestCase):
    """What servers make up once they are known to have a share."""

    async def test_answers(self) -> None:
        for answer in ({}, {0: [b"", b"", b""]}, {0: [os.urandom(57), b"", b"x" * 6667]}):
            grid = await grid_with(self, make_shares(LONG))
            opened = await grid.opened(clock=REACTOR)
            grid.slots(0).lie = answer
            self.assertEqual(await read(opened), LONG)
