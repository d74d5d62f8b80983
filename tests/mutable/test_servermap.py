"""Tests of truckee.mutable.servermap, with servers on real directories."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.codec.mutable_example import signing_key
from tests.grids import REACTOR, calm, failing, hanging, pause, until
from tests.mutable.share_grid import (
    MoodySlots,
    SlotGrid,
    flipped,
    make_shares,
    sections,
)
from truckee.codec.rsa_keys import SigningKey
from truckee.mutable.servermap import Mapper, Purpose
from truckee.mutable.versions import Place, Versions, numbers_of
from truckee.storage.interfaces import IStorageServer, SlotRead
from truckee.storage.limited import LimitedServer

TEXT = b"some text of a file"


def holders(versions: Versions) -> set[IStorageServer]:
    """Return the servers that have good shares."""
    return {place.server for place in versions.shares}


class ReadTests(TestCase):
    """How much is asked to read a file."""

    async def test_good(self) -> None:
        """Six servers are asked once each, whose shares are enough."""
        grid = SlotGrid.new(self)
        await grid.store(make_shares(TEXT), range(10))
        found = await grid.mapper().map(grid.cap, Purpose.READ)
        assert found.best is not None
        self.assertEqual(found.best.geometry.size, len(TEXT))
        self.assertEqual(holders(found), set(grid.servers[:6]))
        self.assertEqual(grid.count(), 6)
        self.assertFalse(found.asked_all)
        self.assertIsNone(found.private_key)

    async def test_mdmf_takes_a_second_read(self) -> None:
        grid = SlotGrid.new(self)
        await grid.store(make_shares(os.urandom(10_000), mdmf=True), range(10))
        found = await grid.mapper().map(grid.cap.read_cap(), Purpose.READ)
        assert found.best is not None
        self.assertEqual(grid.count(), 12)

    async def test_all_shares_on_one_server(self) -> None:
        """Shares that are alike are read together."""
        grid = SlotGrid.new(self, servers=1)
        await grid.store(make_shares(os.urandom(10_000), mdmf=True), range(10))
        found = await grid.mapper().map(grid.cap, Purpose.CHECK)
        self.assertTrue(found.is_healthy)
        self.assertEqual(grid.count(), 2)

    async def test_no_servers(self) -> None:
        grid = SlotGrid.new(self, servers=0)
        found = await grid.mapper().map(grid.cap, Purpose.READ)
        self.assertIsNone(found.best)
        self.assertTrue(found.asked_all)

    async def test_no_shares(self) -> None:
        """All are asked for a file that nobody has."""
        grid = SlotGrid.new(self, servers=25)
        found = await grid.mapper().map(grid.cap, Purpose.READ)
        self.assertEqual(set(found.empty), set(grid.servers))
        self.assertTrue(found.asked_all)

    async def test_far_away(self) -> None:
        """Shares on the last servers are found."""
        grid = SlotGrid.new(self, servers=20)
        shares = make_shares(TEXT)
        for number in range(3):
            await grid.put(17 + number, number, shares[number])
        found = await grid.mapper().map(grid.cap, Purpose.READ)
        self.assertIsNotNone(found.best)

    async def test_newer_one_is_searched(self) -> None:
        """One share of a newer version has all asked, until that one can be read."""
        grid = SlotGrid.new(self)
        old, new = make_shares(TEXT, 1), make_shares(b"new", 2)
        await grid.store(old, range(1, 6))
        await grid.store(new, [0, 8, 9])
        found = await grid.mapper().map(grid.cap, Purpose.READ)
        assert found.best is not None
        self.assertEqual(found.best.sequence, 2)

    async def test_newer_one_hidden(self) -> None:
        grid = SlotGrid.new(self)
        old, new = make_shares(TEXT, 1), make_shares(b"new", 2)
        await grid.store(old, range(2, 10))
        await grid.store(new, [0, 1])
        found = await grid.mapper().map(grid.cap, Purpose.READ)
        assert found.best is not None
        self.assertEqual(found.best.sequence, 1)
        self.assertEqual([prefix.sequence for prefix in found.hidden], [2])
        self.assertTrue(found.asked_all)
        self.assertEqual(found.next_sequence, 3)

    async def test_other_k(self) -> None:
        """k is that of the file, once it is known."""
        grid = SlotGrid.new(self, servers=20)
        await grid.store(make_shares(TEXT, needed=7, total=20), range(20))
        found = await grid.mapper().map(grid.cap, Purpose.READ)
        self.assertGreaterEqual(len(holders(found)), 14)

    async def test_those_of_before_are_asked_first(self) -> None:
        grid = SlotGrid.new(self, servers=30)
        shares = make_shares(TEXT)
        for number in range(10):
            await grid.put(20 + number, number, shares[number])
        mapper = grid.mapper()
        before = await mapper.map(grid.cap, Purpose.CHECK)
        asked = grid.count()
        found = await mapper.map(grid.cap, Purpose.READ, before=before)
        self.assertEqual(holders(found), set(grid.servers[20:]))
        self.assertEqual(grid.count() - asked, 10)


class SlowTests(TestCase):
    """Servers that do not answer, or fail."""

    async def test_silent_one_is_hedged(self) -> None:
        """Another one is asked after a second, and the silent one let go."""
        grid, clock = SlotGrid.new(self), Clock()
        await grid.store(make_shares(TEXT), range(10))
        grid.slots(2).mood = hanging("read")
        mapping = Deferred.fromCoroutine(
            grid.mapper(clock=clock).map(grid.cap, Purpose.READ)
        )
        await until(lambda: clock.getDelayedCalls() and grid.count() == 6)
        self.assertNoResult(mapping)
        clock.advance(1)
        await until(lambda: mapping.called)
        found = await mapping
        self.assertGreater(grid.count(), 6)
        self.assertNotIn(grid.servers[2], found.failed)
        self.assertFalse(found.asked_all)
        self.assertEqual(clock.getDelayedCalls(), [])

    async def test_silent_ones_and_no_others(self) -> None:
        """A reader does without them, if the others have enough."""
        grid = SlotGrid.new(self, servers=5)
        await grid.store(make_shares(TEXT), range(10))
        grid.slots(1).mood = hanging("read")
        found = await grid.mapper(REACTOR).map(grid.cap, Purpose.READ)
        self.assertIsNotNone(found.best)
        self.assertEqual(len(holders(found)), 4)

    async def test_failing(self) -> None:
        grid = SlotGrid.new(self)
        await grid.store(make_shares(TEXT), range(10))
        grid.slots(0).mood = failing("read")
        grid.slots(1).mood = failing("read", error=RuntimeError("something new"))
        grid.servers[2].slots = None
        found = await grid.mapper().map(grid.cap, Purpose.READ)
        self.assertIsNotNone(found.best)
        reasons = [found.failed[server] for server in grid.servers[:3]]
        self.assertIn("the cable was pulled", reasons[0])
        self.assertEqual(reasons[1], "something new")
        self.assertIn("no mutable files", reasons[2])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    async def test_all_asked_counts_failed_ones(self) -> None:
        grid = SlotGrid.new(self)
        await grid.store(make_shares(TEXT), range(10))
        grid.slots(0).mood = failing("read")
        found = await grid.mapper().map(grid.cap, Purpose.CHECK)
        self.assertTrue(found.asked_all)
        self.assertEqual(numbers_of(found.shares), set(range(1, 10)))

    async def test_cancelled(self) -> None:
        """Nothing is left behind of a map that is broken off."""
        grid, clock = SlotGrid.new(self), Clock()
        for number in range(10):
            grid.slots(number).mood = hanging("read")
        mapping = Deferred.fromCoroutine(
            grid.mapper(clock=clock).map(grid.cap, Purpose.READ)
        )
        self.assertEqual(grid.count(), 6)
        mapping.cancel()
        self.failureResultOf(mapping)
        self.assertEqual(clock.getDelayedCalls(), [])


class WriteTests(TestCase):
    """How much is asked to write a file, and where its private key comes from."""

    async def test_good(self) -> None:
        grid = SlotGrid.new(self, servers=30)
        await grid.store(make_shares(TEXT), range(10))
        found = await grid.mapper().map(grid.cap, Purpose.WRITE, write_cap=grid.cap)
        self.assertEqual(found.private_key, signing_key())
        self.assertTrue(found.is_healthy)
        # The key of a short file came with the first read.
        self.assertEqual(grid.count(), 13)

    async def test_a_row_of_empty_ones_ends_it(self) -> None:
        """Three empty servers do not end it while there may be shares before them."""
        grid = SlotGrid.new(self, servers=40)
        shares = make_shares(TEXT)
        for number in range(9):
            await grid.put(number, number, shares[number])
        await grid.put(11, 9, shares[9])
        found = await grid.mapper().map(grid.cap, Purpose.WRITE, write_cap=grid.cap)
        self.assertTrue(found.is_healthy)
        self.assertEqual(set(grid.servers[12:15]) - set(found.empty), set())
        self.assertEqual(grid.count(), 15)

    async def test_those_of_before_leave_no_gap(self) -> None:
        """Known servers come first, and all others in the row are asked as well."""
        grid = SlotGrid.new(self, servers=40)
        shares = make_shares(TEXT)
        for number in range(4):
            await grid.put(30 + number, number, shares[number])
        mapper = grid.mapper()
        before = await mapper.map(grid.cap, Purpose.CHECK)
        for number in range(4):
            await grid.remove(30 + number, number)
        await grid.store(shares, range(10))
        asked = [len(grid.slots(number).asked) for number in range(40)]
        found = await mapper.map(grid.cap, Purpose.WRITE, write_cap=grid.cap, before=before)
        self.assertTrue(found.is_healthy)
        new = [len(grid.slots(number).asked) - asked[number] for number in range(40)]
        self.assertEqual(new[:13], [1] * 13)
        self.assertEqual(new[30:34], [1] * 4)

    async def test_silent_one_is_waited_for(self) -> None:
        grid, clock = SlotGrid.new(self, servers=13), Clock()
        await grid.store(make_shares(TEXT), range(10))
        silence: Deferred[None] = Deferred()

        async def mood(operation: str, share: int) -> None:
            await silence

        grid.slots(9).mood = mood
        mapping = Deferred.fromCoroutine(
            grid.mapper(clock=clock).map(grid.cap, Purpose.WRITE, write_cap=grid.cap)
        )
        await until(lambda: grid.count() == 13 and len(clock.getDelayedCalls()) == 1)
        clock.advance(100)
        self.assertNoResult(mapping)
        silence.callback(None)
        self.assertTrue((await mapping).is_healthy)

    async def test_one_that_hangs_is_waited_for_once(self) -> None:
        """After a timeout, later maps give it a moment, until it answers again."""
        grid, clock = SlotGrid.new(self, servers=13), Clock()
        await grid.store(make_shares(TEXT), range(10))
        limited = [LimitedServer(server, clock) for server in grid.servers]
        mapper = Mapper(lambda: limited, 3, 10, grid.cpu, clock)

        def begin(purpose: Purpose = Purpose.WRITE) -> Deferred[Versions]:
            return Deferred.fromCoroutine(mapper.map(grid.cap, purpose, write_cap=grid.cap))

        async def done(mapping: Deferred[Versions]) -> tuple[Versions, float]:
            """Return what is found, and after how much of the clock's time."""
            began = clock.seconds()
            await until(lambda: sum(each._calls.used for each in limited) <= 1)
            while not mapping.called:
                clock.advance(0.25)
                await pause(0.01)  # what others do takes time of their own
            return await mapping, clock.seconds() - began

        self.assertTrue((await begin()).is_healthy)
        grid.slots(4).mood = hanging("read")
        for least, most, name in (
            (14.0, 100.0, "within 15 seconds"),
            (0.0, 12.0, "nor does it now"),
        ):
            found, seconds = await done(begin())
            self.assertTrue(least <= seconds <= most, seconds)
            self.assertIn(name, found.failed[limited[4]])
            self.assertEqual(numbers_of(found.shares), set(range(10)) - {4})
        for purpose in (Purpose.CHECK, Purpose.REPAIR):
            found, seconds = await done(begin(purpose))
            self.assertLessEqual(seconds, 12.0)
            self.assertIn("nor does it now", found.failed[limited[4]])
        grid.slots(4).mood = calm
        self.assertTrue((await begin()).is_healthy)
        # It has answered since, so it is waited for again.
        grid.slots(4).mood = hanging("read")
        _, seconds = await done(begin())
        self.assertGreaterEqual(seconds, 14.0)

    async def test_key_of_a_long_file(self) -> None:
        """It stands behind the block, and is read from one share."""
        grid = SlotGrid.new(self)
        await grid.store(make_shares(os.urandom(20_000)), range(10))
        found = await grid.mapper().map(grid.cap, Purpose.WRITE, write_cap=grid.cap)
        self.assertEqual(found.private_key, signing_key())
        self.assertEqual(grid.count(), 11)

    async def test_damaged_key(self) -> None:
        """Another share's is taken, and the server hears of it."""
        grid = SlotGrid.new(self)
        shares = make_shares(os.urandom(20_000))
        start, _ = sections(shares[0])["private_key"]
        for number in range(9):
            shares[number] = flipped(shares[number], start + 7)
        await grid.store(shares, range(10))
        for purpose in (Purpose.WRITE, Purpose.REPAIR):
            found = await grid.mapper().map(grid.cap, purpose, write_cap=grid.cap)
            self.assertEqual(found.private_key, signing_key())
            self.assertTrue(found.is_healthy)
            self.assertTrue(any(grid.slots(number).advice for number in range(9)))

    async def test_damaged_keys_are_read_last(self) -> None:
        """A repair goes on to look for a good one when all servers have answered."""
        grid = SlotGrid.new(self)
        shares = make_shares(os.urandom(20_000))
        start, _ = sections(shares[0])["private_key"]
        for number in range(9):
            shares[number] = flipped(shares[number], start + 7)
        await grid.store(shares, range(10))
        answered: list[int] = []

        async def mood(call: str, share: int) -> None:
            if share < 0:
                answered.append(share)
                return
            await until(lambda: len(answered) == len(grid.servers))
            await pause(0.05)

        for number in range(len(grid.servers)):
            grid.slots(number).mood = mood
        found = await grid.mapper(REACTOR).map(grid.cap, Purpose.REPAIR, write_cap=grid.cap)
        self.assertEqual(found.private_key, signing_key())

    async def test_no_good_key(self) -> None:
        grid = SlotGrid.new(self)
        shares = make_shares(TEXT)
        start, _ = sections(shares[0])["private_key"]
        await grid.store([flipped(share, start) for share in shares], range(10))
        found = await grid.mapper().map(grid.cap, Purpose.WRITE, write_cap=grid.cap)
        self.assertIsNone(found.private_key)
        self.assertTrue(found.asked_all)

    async def test_key_of_before(self) -> None:
        grid = SlotGrid.new(self)
        await grid.store(make_shares(os.urandom(20_000)), range(10))
        before = Versions(private_key=signing_key())
        found = await grid.mapper().map(
            grid.cap, Purpose.WRITE, write_cap=grid.cap, before=before
        )
        self.assertIs(found.private_key, before.private_key)
        self.assertEqual(grid.count(), 10)

    async def test_silent_server_has_the_key(self) -> None:
        """Another share's key is read when the first does not come."""
        grid = SlotGrid.new(self)
        await grid.store(make_shares(os.urandom(20_000)), range(10))
        silent: list[MoodySlots] = []

        def mood_of(slots: MoodySlots) -> Any:
            async def mood(operation: str, share: int) -> None:
                if share >= 0 and not silent:
                    silent.append(slots)
                    await Deferred()

            return mood

        for number in range(10):
            grid.slots(number).mood = mood_of(grid.slots(number))
        found = await grid.mapper(REACTOR).map(grid.cap, Purpose.WRITE, write_cap=grid.cap)
        self.assertEqual(found.private_key, signing_key())
        self.assertEqual(len(silent), 1)

    async def test_repair(self) -> None:
        grid = SlotGrid.new(self, servers=30)
        await grid.store(make_shares(TEXT), range(4))
        found = await grid.mapper().map(grid.cap, Purpose.REPAIR, write_cap=grid.cap)
        self.assertTrue(found.asked_all)
        self.assertEqual(found.private_key, signing_key())

    async def test_without_the_cap(self) -> None:
        grid = SlotGrid.new(self)
        with self.assertRaises(ValueError):
            await grid.mapper().map(grid.cap, Purpose.WRITE)


class DamageTests(TestCase):
    """Shares that belong to no version."""

    async def check(self, share: bytes, number: int = 0, reason: str = "") -> None:
        """Look at a server that has *share* as *number*, beside good ones."""
        grid = SlotGrid.new(self)
        good = make_shares(TEXT)
        await grid.store(good, range(1, 10))
        await grid.put(0, number, share)
        found = await grid.mapper().map(grid.cap, Purpose.CHECK)
        [(place, damaged)] = found.damaged.items()
        self.assertEqual(place, Place(grid.servers[0], number))
        self.assertEqual(damaged.head, share[:75])
        self.assertIn(reason, damaged.reason)
        self.assertEqual(numbers_of(found.shares), set(range(1, 10)))
        self.assertTrue(found.asked_all)
        await until(lambda: grid.slots(0).advice)
        self.assertEqual(grid.slots(0).advice, [(number, damaged.reason)])

    async def test_flipped_bytes(self) -> None:
        """A change in what the map reads is noticed, whatever the section and the kind."""
        for mdmf in (False, True):
            share = make_shares(TEXT, mdmf=mdmf)[0]
            for name, (start, end) in sections(share).items():
                if name in ("data", "private_key"):
                    continue  # nothing of the map
                for at in {start, (start + end) // 2, end - 1}:
                    if name == "offsets" and at == end - 1:
                        continue  # the end of the share, behind which may be more
                    await self.check(flipped(share, at))

    async def test_truncated(self) -> None:
        for mdmf in (False, True):
            share = make_shares(TEXT, mdmf=mdmf)[0]
            parts = sections(share)
            for end in (1, 58, 74, 106, 122, parts["signature"][1] - 1):
                await self.check(share[:end], reason="it ends in")

    async def test_wrong_key(self) -> None:
        """Another file's share, under this file's name."""
        other = make_shares(TEXT, key=SigningKey.generate())[0]
        await self.check(other, reason="public key")

    async def test_misnumbered(self) -> None:
        await self.check(make_shares(TEXT)[3], reason="chain")

    async def test_number_beyond_n(self) -> None:
        await self.check(make_shares(TEXT)[3], 13, reason="no share 13")

    async def test_rubbish(self) -> None:
        await self.check(os.urandom(5000) + b"x")
        await self.check(b"\x07" * 5000, reason="version 7")

    async def test_many_damaged_shares(self) -> None:
        """A server with 256 bad shares is not sent as many reports at once."""
        grid = SlotGrid.new(self)
        await grid.store(make_shares(TEXT), range(1, 10))
        await grid.put_all(0, dict.fromkeys(range(256), b"rubbish" * 600))
        found = await grid.mapper().map(grid.cap, Purpose.CHECK)
        self.assertEqual(len(found.damaged), 256)
        self.assertLess(len(grid.slots(0).advice), 10)

    async def test_reported_once(self) -> None:
        grid = SlotGrid.new(self)
        await grid.store(make_shares(TEXT), range(1, 10))
        await grid.put(0, 0, b"rubbish" * 20)
        mapper = grid.mapper()
        for _ in range(3):
            await mapper.map(grid.cap, Purpose.CHECK)
        self.assertEqual(len(grid.slots(0).advice), 1)

    async def test_server_that_does_not_hear_it(self) -> None:
        """Nobody waits for the answer to a report."""
        grid = SlotGrid.new(self)
        await grid.store(make_shares(TEXT), range(1, 10))
        await grid.put(0, 0, b"rubbish" * 20)
        grid.slots(0).mood = hanging("advise_corrupt")
        found = await grid.mapper().map(grid.cap, Purpose.CHECK)
        self.assertEqual(len(found.damaged), 1)


class OverwrittenTests(TestCase):
    """Shares that are written while they are read."""

    async def look(self, change: int) -> tuple[SlotGrid, Versions]:
        """Overwrite the share of a server before each of the first further reads."""
        grid = SlotGrid.new(self, servers=1)
        first = make_shares(os.urandom(9000), 1, mdmf=True)
        await grid.put(0, 0, first[0])
        slots, changes = grid.slots(0), iter(range(2, 2 + change))

        async def mood(operation: str, share: int) -> None:
            sequence = next(changes, None) if share >= 0 else None
            if sequence is not None:
                size = 5000 * sequence
                again = make_shares(os.urandom(size), sequence, mdmf=True)
                await grid.put(0, 0, again[0])

        slots.mood = mood
        return grid, await grid.mapper().map(grid.cap, Purpose.CHECK)

    async def test_once(self) -> None:
        """The new version is seen, and no damage."""
        _, found = await self.look(1)
        self.assertEqual([p.sequence for p in found.by_prefix()], [2])
        self.assertEqual(found.damaged, {})

    async def test_again_and_again(self) -> None:
        """There is an end to it, and the server is not to blame."""
        grid, found = await self.look(50)
        self.assertEqual(len(found.damaged), 1)
        self.assertEqual(grid.slots(0).advice, [])

    async def test_deleted(self) -> None:
        grid = SlotGrid.new(self, servers=1)
        await grid.put(0, 0, make_shares(os.urandom(9000), mdmf=True)[0])

        async def mood(operation: str, share: int) -> None:
            if share >= 0:
                await grid.remove(0, 0)

        grid.slots(0).mood = mood
        found = await grid.mapper().map(grid.cap, Purpose.CHECK)
        self.assertEqual(found.empty, grid.servers)


class LyingTests(TestCase):
    """What a server makes up."""

    async def test_shares_without_bytes(self) -> None:
        grid = SlotGrid.new(self)
        await grid.store(make_shares(TEXT), range(1, 10))
        grid.slots(0).lie = {number: [b""] for number in range(256)}
        found = await grid.mapper().map(grid.cap, Purpose.CHECK)
        self.assertEqual(len(found.damaged), 256)
        self.assertIsNotNone(found.best)

    async def test_impossible_numbers(self) -> None:
        grid = SlotGrid.new(self, servers=1)
        grid.slots(0).lie = {-1: [b"x"], 1 << 70: [b"x"]}
        found = await grid.mapper().map(grid.cap, Purpose.CHECK)
        self.assertEqual(found.empty, grid.servers)

    async def test_asks_nothing_of_offsets_it_makes_up(self) -> None:
        """A share whose offsets lead nowhere costs one more read of little."""
        grid = SlotGrid.new(self)
        share = bytearray(make_shares(bytes(9000), mdmf=True)[0])
        share[107:123] = (1 << 40).to_bytes(8, "big") + ((1 << 40) + 32).to_bytes(8, "big")
        await grid.put(0, 0, bytes(share))
        found = await grid.mapper().map(grid.cap, Purpose.CHECK)
        self.assertEqual(len(found.damaged), 1)
        [_, (_, reads)] = grid.slots(0).asked
        self.assertLess(sum(read.length for read in reads), 1000)
        self.assertIsInstance(reads[0], SlotRead)
