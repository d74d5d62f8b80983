"""Versions written to real directories, beside other writers and on broken servers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Set

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.codec.mutable_example import PRIVATE_KEY, signing_key, write_cap
from tests.codec.mutable_reader import contents
from tests.codec.stock_mutable import Read, work
from tests.contracts.slot_server import other_lease
from tests.grids import in_chunks, until
from tests.mutable.slot_grid import SlotGrid, nothing, refusing
from truckee.codec.mutable_prefix import MAX_SEQUENCE
from truckee.codec.mutable_segment import LONG
from truckee.codec.rsa_keys import SigningKey
from truckee.flow.together import together
from truckee.mutable.errors import UncoordinatedWrite
from truckee.mutable.versions import Place, Versions, numbers_of
from truckee.mutable.write_errors import (
    LastVersion,
    TooFewPlaced,
    TooLargeForSdmf,
    WrongKey,
)
from truckee.storage.interfaces import (
    CallFailed,
    NoSpace,
    SlotChange,
    SlotWrite,
)

SHAPES = ((1, 1), (1, 2), (3, 10), (2, 5), (10, 20))


class WriteTests(TestCase):
    timeout = 120

    async def new_grid(self, servers: int = 5, format: str = "SSK") -> SlotGrid:
        """Return servers and a file that nobody has written."""
        return SlotGrid.new(self, servers, format)

    async def check_with_stock(self, grid: SlotGrid, content: bytes) -> None:
        """Fail unless stock's own code finds the file whole."""
        shares = {place.number: share for place, share in (await grid.shares()).items()}
        (answer,) = work(PRIVATE_KEY, [Read(str(grid.cap.read_cap()), shares)])
        self.assertEqual(answer, [True, content])

    async def test_new_file(self) -> None:
        """A new file is version 1, in ten shares, each written by one request."""
        grid = await self.new_grid()
        done = await grid.write(b"contents")
        self.assertEqual((done.prefix.sequence, done.failed), (1, {}))
        found = await grid.look()
        self.assertTrue(found.is_healthy)
        self.assertEqual(found.best, done.prefix)
        self.assertEqual(found.shares.keys(), done.placed.keys())
        self.assertEqual([len(each) for each in grid.spread(done.placed).values()], [2] * 5)
        self.assertEqual((grid.requests, await grid.read()), (10, b"contents"))

    async def test_known_shares(self) -> None:
        """What is returned of the shares is what one who reads them knows."""
        for format in ("SSK", "MDMF"):
            grid = await self.new_grid(format=format)
            done = await grid.write(b"contents")
            for place, share in (await grid.look()).shares.items():
                ours = done.placed[place]
                self.assertEqual(
                    (ours.number, ours.header, ours.public_key, ours.signature),
                    (share.number, share.header, share.public_key, share.signature),
                )
                self.assertEqual(
                    (ours.blocks.root, ours.blocks.leaves),
                    (share.blocks.root, share.blocks.leaves),
                )

    async def test_boundaries(self) -> None:
        """Files of lengths around a boundary, of both kinds, are what stock expects."""
        for needed, total in SHAPES:
            segment = -(-131_072 // needed) * needed
            for format, sizes in (
                ("SSK", (0, 1, needed, needed + 1, 1000)),
                ("MDMF", (0, 1, needed + 1, segment - 1, segment, 2 * segment + 1)),
            ):
                grid = await self.new_grid(5, format)
                for size in sizes:
                    content = os.urandom(size)
                    done = await grid.write(content, needed, total)
                    self.assertEqual(done.prefix.geometry.size, size)
                    self.assertEqual(await grid.read(), content)
                    await self.check_with_stock(grid, content)

    async def test_overwrite(self) -> None:
        """Each version replaces the one before where it is; also a shorter one."""
        grid = await self.new_grid()
        first = await grid.write(b"a long first version" * 50)
        second = await grid.write(b"short")
        self.assertEqual(second.prefix.sequence, 2)
        self.assertEqual(second.placed.keys(), first.placed.keys())
        self.assertEqual(await grid.read(), b"short")
        self.assertTrue((await grid.look()).is_healthy)

    async def test_stream(self) -> None:
        """Content comes as bytes or in chunks."""
        grid = await self.new_grid()
        await grid.write(in_chunks(b"contents" * 1000, 77))
        self.assertEqual(await grid.read(), b"contents" * 1000)

    async def test_kind_stays(self) -> None:
        """A file stays SDMF or MDMF, whatever the cap says."""
        for format, other in (("SSK", "MDMF"), ("MDMF", "SSK")):
            grid = await self.new_grid(format=format)
            await grid.write(b"first")
            grid.cap = write_cap(other)
            done = await grid.write(b"second")
            self.assertEqual(done.prefix.format, format)

    async def test_another_shape(self) -> None:
        """A version with fewer shares leaves none of the old ones behind."""
        grid = await self.new_grid()
        await grid.write(b"first", 3, 10)
        await grid.write(b"second", 2, 3)
        found = await grid.look()
        self.assertEqual(numbers_of(found.shares), {0, 1, 2})
        self.assertTrue(found.is_healthy)
        await grid.write(b"third", 4, 7)
        self.assertEqual((len(await grid.shares()), await grid.read()), (7, b"third"))

    async def test_damaged(self) -> None:
        """A damaged share is replaced where it is; so is one of no bytes."""
        grid = await self.new_grid()
        await grid.write(b"first")
        for number, share in ((0, b"\xff" * 200), (1, b"")):
            change = SlotChange(writes=[SlotWrite(0, share)])
            if not share:
                change = evolve(change, new_length=0)
            (place,) = [p for p in await grid.shares() if p.number == number]
            await grid.meddle(place, change)
            if not share:
                await grid.meddle(place, SlotChange())
        known = await grid.look()
        self.assertEqual(numbers_of(known.damaged), {0, 1})
        done = await grid.write(b"second", known=known)
        self.assertLessEqual(known.damaged.keys(), done.placed.keys())
        self.assertTrue((await grid.look()).is_healthy)

    async def test_next_sequence(self) -> None:
        """The new number is above that of versions which cannot be read any more."""
        grid = await self.new_grid()
        for _ in range(3):
            await grid.write(b"version")
        # Two of the shares that are found, of three that it takes: it cannot be read.
        known = await grid.look()
        known.shares = {place: known.shares[place] for place in list(known.shares)[:2]}
        self.assertIsNone(known.best)
        grid.takers = []
        with self.assertRaises(TooFewPlaced):
            await grid.write(b"next", known=known)
        self.assertEqual((await grid.look()).next_sequence, 5)

    async def test_last_version(self) -> None:
        """There is no version 2^64."""
        grid = await self.new_grid()
        await grid.write(b"version")
        known = await grid.look()
        for place, share in known.shares.items():
            prefix = evolve(share.header.prefix, sequence=MAX_SEQUENCE)
            header = evolve(share.header, prefix=prefix)
            known.shares[place] = evolve(share, header=header)
        with self.assertRaises(LastVersion):
            await grid.write(b"next", known=known)

    async def test_too_large(self) -> None:
        """SDMF has a bound, which is found before anything is written or kept."""
        grid = await self.new_grid()
        given = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal given
            while True:
                given += 1
                yield bytes(8 << 20)

        with self.assertRaises(TooLargeForSdmf):
            await grid.write(endless())
        self.assertLess(given, 12)
        with self.assertRaises(TooLargeForSdmf):
            await grid.write(bytes((64 << 20) + 1))
        self.assertEqual(grid.requests, 0)

    async def test_long_sdmf(self) -> None:
        """The shares of a file whose blocks are made one by one are those of any other."""
        content = os.urandom(LONG + 1)
        for servers in (10, 3):
            grid = await self.new_grid(servers)
            await grid.write(content)
            self.assertEqual(numbers_of(await grid.shares()), set(range(10)))
            self.assertTrue(await grid.read() == content)
            # Those without primary blocks are good as well.
            shares = {p.number: s for p, s in (await grid.shares()).items()}
            high = {number: shares[number] for number in (4, 7, 9)}
            self.assertTrue(contents(grid.cap.read_cap(), high) == content)

    async def test_wrong_key(self) -> None:
        """The key of another file signs nothing here."""
        grid = await self.new_grid()
        key = await grid.cpu.run(SigningKey.generate)
        with self.assertRaises(WrongKey):
            await grid.publisher.publish(grid.cap, key, Versions(), b"text", 1, 1)
        self.assertEqual(grid.requests, 0)

    async def test_broken_body(self) -> None:
        """When the content breaks off nothing was written."""
        grid = await self.new_grid()

        async def broken() -> AsyncIterator[bytes]:
            yield b"some"
            raise ZeroDivisionError

        with self.assertRaises(ZeroDivisionError):
            await grid.write(broken())
        self.assertEqual(grid.requests, 0)

    async def test_round_trips(self) -> None:
        """All requests are made at once: a small file takes one round trip."""
        grid = await self.new_grid(10)
        gate: Deferred[None] = Deferred()
        waiting: list[int] = []

        async def wait(numbers: Set[int]) -> None:
            waiting.extend(numbers)
            if len(waiting) == 10:
                gate.callback(None)
            elif not gate.called:
                again: Deferred[None] = Deferred()
                gate.addCallback(again.callback)
                await again

        for number in range(10):
            grid.slots(number).before = wait
        await grid.write(os.urandom(10_240))
        self.assertEqual((sorted(waiting), grid.requests), (list(range(10)), 10))


class FewSharesTests(TestCase):
    """Where k old and k new shares cannot be kept apart in the old places."""

    timeout = 120

    async def test_always_readable(self) -> None:
        """Before and after each request one of both versions can be read."""
        for needed, total, servers in ((2, 2, 2), (7, 10, 10), (3, 4, 2), (3, 10, 5)):
            grid = SlotGrid.new(self, servers)
            await grid.write(b"old", needed, total)
            seen: list[bytes] = []

            async def look(
                _numbers: Set[int], grid: SlotGrid = grid, seen: list[bytes] = seen
            ) -> None:
                seen.append(await grid.read())

            for number in range(servers):
                grid.slots(number).before = grid.slots(number).after = look
            await grid.write(b"new", needed, total)
            self.assertEqual(set(seen), {b"old", b"new"})
            self.assertTrue((await grid.look()).is_healthy)
            self.assertEqual(len(await grid.shares()), total)

    async def test_degraded(self) -> None:
        """So it is with a file that has lost most of its shares."""
        grid = SlotGrid.new(self, 5)
        await grid.write(b"old")
        for place in await grid.shares():
            if place.number > 3:
                await grid.meddle(place, SlotChange(new_length=0))
        before = await grid.shares()
        grid.slots(0).before = grid.slots(1).before = refusing(NoSpace("disk"))
        grid.slots(2).before = grid.slots(3).before = refusing(NoSpace("disk"))
        grid.takers = grid.servers[:4]
        with self.assertRaises(TooFewPlaced):
            await grid.write(b"new")
        self.assertEqual(await grid.shares(), before)
        self.assertEqual(await grid.read(), b"old")

    async def test_at_once(self) -> None:
        """Two writers never take the old version away from each other."""
        for _ in range(10):
            grid = SlotGrid.new(self, 10)
            await grid.write(b"old", 7, 10)
            known = await grid.look()
            written: list[bytes] = []

            async def write(
                text: bytes,
                grid: SlotGrid = grid,
                known: Versions = known,
                written: list[bytes] = written,
            ) -> None:
                with contextlib.suppress(UncoordinatedWrite, TooFewPlaced):
                    await grid.write(text, 7, 10, known)
                    written.append(text)

            await together([write(b"one"), write(b"two")])
            self.assertIn(await grid.read(), written or [b"old"])

    async def test_one_server(self) -> None:
        """On one server there is no other place: what is there is replaced."""
        grid = SlotGrid.new(self, 1)
        await grid.write(b"old", 3, 4)
        await grid.write(b"new", 3, 4)
        self.assertEqual((len(await grid.shares()), await grid.read()), (4, b"new"))


class OtherWriterTests(TestCase):
    """Who else writes is never overwritten unseen."""

    timeout = 120

    def setUp(self) -> None:
        self.grid = SlotGrid.new(self, 5)

    async def test_between(self) -> None:
        """A version that came after the map is not replaced."""
        for before in (Versions(), None):
            grid = SlotGrid.new(self, 5)
            if before is None:
                await grid.write(b"first")
            known = before or await grid.look()
            theirs = await grid.write(b"theirs", known=await grid.look())
            with self.assertRaises(UncoordinatedWrite):
                await grid.write(b"ours", known=known)
            found = await grid.look()
            self.assertEqual((found.best, found.is_healthy), (theirs.prefix, True))
            self.assertEqual(await grid.read(), b"theirs")

    async def test_elsewhere(self) -> None:
        """A share of somebody else, beside those that we write, is noticed."""
        await self.grid.write(b"first", 1, 2)
        known = await self.grid.look()
        zero = next(place for place in known.shares if place.number == 0)
        theirs = SlotChange(writes=[SlotWrite(0, b"the share of another writer")])
        await self.grid.meddle(Place(zero.server, 1), theirs)
        with self.assertRaises(UncoordinatedWrite):
            await self.grid.write(b"ours", 1, 2, known=known)
        # Once it is known it is one more share to be replaced.
        done = await self.grid.write(b"ours", 1, 2)
        self.assertEqual(len(done.placed), 3)

    async def test_surplus(self) -> None:
        """Shares that are to be deleted are not, when somebody has replaced them."""
        grid = SlotGrid.new(self, 10)
        await grid.write(b"first", 3, 10)
        known = await grid.look()
        changed = next(place for place in known.shares if place.number == 9)
        theirs = SlotChange(writes=[SlotWrite(0, b"the share of another writer")])
        server = int(changed.server.name[1:])

        async def interfere(_numbers: Set[int]) -> None:
            grid.slots(server).before = nothing
            await grid.meddle(changed, theirs)

        grid.slots(server).before = interfere
        with self.assertRaises(UncoordinatedWrite):
            await grid.write(b"second", 2, 3, known=known)
        self.assertIn(changed, await grid.shares())

    async def test_at_once(self) -> None:
        """Of writers that write at once at most one is told that it has written."""
        for _ in range(10):
            known = await self.grid.look()
            texts = [b"one", b"two", b"three"]
            outcomes: dict[bytes, bool] = {}

            async def write(
                text: bytes, known: Versions = known, outcomes: dict[bytes, bool] = outcomes
            ) -> None:
                try:
                    await self.grid.write(text, known=known)
                    outcomes[text] = True
                except (UncoordinatedWrite, TooFewPlaced):
                    outcomes[text] = False

            await together(write(text) for text in texts)
            winners = [text for text in texts if outcomes[text]]
            self.assertLessEqual(len(winners), 1)
            if winners:
                self.assertEqual(await self.grid.read(), winners[0])

    async def test_repeated_request(self) -> None:
        """A request that came through twice, with one answer, is no other writer."""
        grid = self.grid
        slots = grid.slots(0)

        async def write_before(numbers: Set[int]) -> None:
            # The transport's first try, whose answer was lost.
            for number in numbers:
                place = Place(grid.servers[0], number)
                await grid.meddle(place, slots.requests[-1][number])

        await grid.write(b"first")
        slots.before = write_before
        done = await grid.write(b"second")
        self.assertEqual((len(done.placed), done.failed), (10, {}))
        self.assertEqual(await grid.read(), b"second")

    async def test_all_requests_end(self) -> None:
        """A surprise breaks off no other request, so that it is known what is where."""
        grid = SlotGrid.new(self, 3)
        known = await grid.look()
        gate: Deferred[None] = Deferred()

        async def wait(_numbers: Set[int]) -> None:
            await gate

        await grid.write(b"theirs", 1, 3)
        grid.slots(2).before = wait
        ours = Deferred.fromCoroutine(grid.write(b"ours", 1, 3, known=known))
        await until(lambda: grid.slots(2).requests[1:])
        self.assertFalse(ours.called)
        gate.callback(None)
        with self.assertRaises(UncoordinatedWrite):
            await ours


class BrokenServerTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.grid = SlotGrid.new(self, 5)

    async def test_replaced(self) -> None:
        """A share that a server did not take goes to another one."""
        self.grid.slots(2).before = refusing(NoSpace("disk"))
        done = await self.grid.write(b"contents")
        self.assertEqual(numbers_of(done.placed), set(range(10)))
        self.assertEqual(self.grid.spread(done.failed).keys(), {"s2"})
        self.assertNotIn("s2", self.grid.spread(done.placed))
        self.assertEqual(self.grid.requests, 12)
        self.assertTrue((await self.grid.look()).is_healthy)

    async def test_unknown_outcome(self) -> None:
        """What may have been written does not count, and does no harm."""
        self.grid.slots(2).after = refusing(CallFailed("s2", "write", "connection lost"))
        done = await self.grid.write(b"contents")
        self.assertEqual(numbers_of(done.placed), set(range(10)))
        self.assertNotIn("s2", self.grid.spread(done.placed))
        found = await self.grid.look()
        self.assertEqual(len(found.shares), 12)
        self.assertTrue(found.is_healthy)
        self.grid.slots(2).after = refusing(CallFailed("s2", "write", "connection lost"))
        await self.grid.write(b"again")
        self.assertEqual((await self.grid.look()).next_sequence, 3)

    async def test_few(self) -> None:
        """k different shares are enough, fewer are not."""
        for number in range(1, 5):
            self.grid.slots(number).before = refusing(NoSpace("disk"))
        # All go to the one server there is.
        done = await self.grid.write(b"contents", 3, 10)
        self.assertEqual(self.grid.spread(done.placed), {"s0": list(range(10))})
        grid = SlotGrid.new(self, 5)
        await grid.write(b"first", 3, 5)
        for number in range(5):
            if number > 1:
                grid.slots(number).before = refusing(NoSpace("disk"))
        grid.takers = []
        with self.assertRaises(TooFewPlaced) as caught:
            await grid.write(b"second", 3, 5)
        self.assertEqual((caught.exception.placed, caught.exception.needed), (2, 3))
        self.assertIn("NotEnoughServersError", str(caught.exception))
        # The old version can still be read.
        self.assertEqual(await grid.read(), b"first")

    async def test_nobody(self) -> None:
        """Without servers nothing is stored."""
        self.grid.takers = []
        with self.assertRaises(TooFewPlaced):
            await self.grid.write(b"contents")

    async def test_without_slots(self) -> None:
        """Servers that have no mutable shares are given none; nor who did not answer."""
        self.grid.servers[0].slots = None
        known = Versions(failed={self.grid.servers[1]: "gone"})
        done = await self.grid.write(b"contents", known=known)
        self.assertEqual(self.grid.spread(done.placed).keys(), {"s2", "s3", "s4"})

    async def test_asked_ones_first(self) -> None:
        """New shares go to servers that were asked, if they are enough."""
        servers = self.grid.servers
        for total in (2, 4):
            known = Versions(empty=[servers[1], servers[3], servers[4]])
            grid = SlotGrid(servers, self.grid.cpu, self.grid.disk)
            done = await grid.write(b"contents", 1, total, known=known)
            names = self.grid.spread(done.placed).keys()
            self.assertEqual(names <= {"s1", "s3", "s4"}, total == 2, names)
            self.assertEqual(len(names), total)
            for place in done.placed:
                await grid.meddle(place, SlotChange(new_length=0))

    async def test_lost_server(self) -> None:
        """A server that is gone since the map fails its share and nothing else."""
        await self.grid.write(b"first")
        known = await self.grid.look()
        self.grid.servers[0].slots = None
        done = await self.grid.write(b"second", known=known)
        self.assertEqual(self.grid.spread(done.failed).keys(), {"s0"})
        self.assertEqual(numbers_of(done.placed), set(range(10)))

    async def test_wrong_enabler(self) -> None:
        """A server where somebody else may write is passed over."""
        slots, index = self.grid.slots(0), self.grid.cap.read_cap().verify_cap()
        change = SlotChange(writes=[SlotWrite(0, b"squatted")])
        await slots.inner.test_and_write(
            index.storage_index, other_lease(1), {0: change}, []
        )
        done = await self.grid.write(b"contents", known=Versions())
        self.assertNotIn("s0", self.grid.spread(done.placed))
        self.assertEqual(numbers_of(done.placed), set(range(10)))

    async def test_silent_server(self) -> None:
        """A server that never answers is given up after a minute."""
        clock = Clock()
        self.grid.publisher = self.grid.new_publisher(clock=clock)
        never: Deferred[None] = Deferred()
        asked: list[int] = []

        async def wait(numbers: Set[int]) -> None:
            asked.extend(numbers)
            await never

        self.grid.slots(0).before = wait
        done = Deferred.fromCoroutine(self.grid.write(b"contents"))
        await until(lambda: self.grid.requests - self.grid.answers == 2)
        self.assertFalse(done.called)
        clock.advance(62)
        published = await done
        self.assertEqual(self.grid.spread(published.failed), {"s0": sorted(asked)})
        self.assertEqual(numbers_of(published.placed), set(range(10)))

    async def test_cancelled(self) -> None:
        """One who gives up waits for no server, and starts nothing more."""
        never: Deferred[None] = Deferred()

        async def wait(_numbers: Set[int]) -> None:
            await never

        for number in range(5):
            self.grid.slots(number).before = wait
        work = Deferred.fromCoroutine(self.grid.write(b"contents"))
        await until(lambda: self.grid.requests == 10)
        work.cancel()
        with self.assertRaises(CancelledError):
            await work
        self.assertEqual(self.grid.requests, 10)


class KeyTests(TestCase):
    async def test_example(self) -> None:
        """The key of these tests is the one whose shares stock has read."""
        self.assertEqual(signing_key().der, PRIVATE_KEY)
