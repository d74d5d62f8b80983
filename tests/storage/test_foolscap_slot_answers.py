"""Long answers to requests for slots, over a real connection on loopback."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.contracts.slot_server import SECRETS, writes
from tests.contracts.test_slot_server import foolscap_server, new_disk, slots_of
from tests.grids import pause, until
from tests.storage.slot_requests import Refusal, call_write
from tests.storage.test_foolscap_client import serve
from truckee.storage.foolscap_client import FoolscapServer
from truckee.storage.foolscap_server import FoolscapStorage
from truckee.storage.interfaces import (
    MAX_SLOT_DATA,
    BadSlotRequest,
    SlotAnswer,
    SlotRead,
)
from truckee.storage.slotfiles import OpenSlot

INDEX = b"i" * 16
MIB = 1 << 20
# Of different lengths: many small shares, and some that are read while they are sent.
SIZES = {share: 100 * share for share in range(20)} | {30: 300_000, 31: 3 * MIB}


class _Case(TestCase):
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        disk, self.slots = new_disk(self)
        self.clock = Clock()
        self.storage = FoolscapStorage(disk, self.clock, self.slots)
        self.furl = serve(self, self.storage)
        self.server = await foolscap_server(self, self.furl)
        self.client = slots_of(self.server)
        dice = random.Random(1)
        self.data = {share: dice.randbytes(size) for share, size in SIZES.items()}
        changes = {share: writes((0, data)) for share, data in self.data.items()}
        await self.slots.test_and_write(INDEX, SECRETS, changes, [])
        self.open: set[OpenSlot] = set()
        opening, closing = OpenSlot.of, OpenSlot.close

        def opened(descriptor: int) -> OpenSlot:
            share = opening(descriptor)
            self.open.add(share)
            return share

        def closed(share: OpenSlot) -> None:
            self.open.discard(share)
            closing(share)

        self.patch(OpenSlot, "of", opened)
        self.patch(OpenSlot, "close", closed)

    def fill(self) -> None:
        """Leave no room for answers in memory."""
        ready = self.storage._ready
        ready.reserve(ready.limit)
        self.addCleanup(ready.release, ready.limit)

    def deaf(self, client: FoolscapServer) -> Any:
        """Let a client take nothing any more; return its connection."""
        broker = client.remote.tracker.broker
        broker.transport.pauseProducing()
        return broker


class ReadTests(_Case):
    async def check(self) -> None:
        """All ranges of all shares come whole."""
        for shares in (frozenset[int](), {3, 30, 31, 77}):
            for reads in (
                [SlotRead(0, 1 << 40)],
                [SlotRead(n * 3000, 3000) for n in range(100)],
                [SlotRead(5, 70), SlotRead(0, 0), SlotRead(1 << 50, 9), SlotRead(9, MIB)],
            ):
                found = await self.client.read(INDEX, shares, reads)
                expected = {
                    share: [data[each.offset :][: each.length] for each in reads]
                    for share, data in self.data.items()
                    if share in shares or not shares
                }
                self.assertTrue(found == expected)
        await until(lambda: not self.open)

    async def test_room(self) -> None:
        """While there is room."""
        await self.check()
        await until(lambda: not self.storage._ready.used)

    async def test_no_room(self) -> None:
        """And when there is none."""
        self.fill()
        await self.check()

    async def test_calls(self) -> None:
        """Answers come in order, and others between them."""
        self.fill()
        reads = [SlotRead(0, 1 << 40)]
        calls = [
            Deferred.fromCoroutine(self.client.read(INDEX, {share}, reads))
            for share in (31, 1, 30, 31, 2)
        ]
        for share, call in zip((31, 1, 30, 31, 2), calls, strict=True):
            self.assertTrue(await call == {share: [self.data[share]]})

    async def test_deleted(self) -> None:
        """A share that is deleted before its turn is left out."""
        self.fill()
        measure = self.slots.measure

        async def then_delete(*arguments: Any) -> Any:
            sizes = await measure(*arguments)
            changes = {share: writes(new_length=0) for share in (30, 31)}
            await self.slots.test_and_write(INDEX, SECRETS, changes, [])
            return sizes

        self.patch(type(self.slots), "measure", lambda _, *each: then_delete(*each))
        found = await self.client.read(INDEX, {2, 30, 31}, [SlotRead(0, MIB)] * 10)
        self.assertEqual(found.keys(), {2})

    async def test_grown(self) -> None:
        """A share that grew since it was measured is read as it is now."""
        measure = self.slots.measure

        async def then_grow(*arguments: Any) -> Any:
            sizes = await measure(*arguments)
            change = {2: writes((MIB - 1, b"x"))}
            await self.slots.test_and_write(INDEX, SECRETS, change, [])
            return sizes

        self.patch(type(self.slots), "measure", lambda _, *each: then_grow(*each))
        found = await self.client.read(INDEX, {2}, [SlotRead(0, 2 * MIB)] * 40)
        self.assertEqual({len(each) for each in found[2]}, {MIB})
        await until(lambda: not self.storage._ready.used)

    async def test_lost(self) -> None:
        """With the connection the share is closed that was being sent."""
        big = {40: writes((60 * MIB, b"x"))}
        await self.slots.test_and_write(INDEX, SECRETS, big, [])
        client = await foolscap_server(self, self.furl, "other")
        broker = self.deaf(client)
        for _ in range(3):
            call = client.remote.callRemote("slot_readv", INDEX, [40], [(0, 1 << 40)])
            call.addErrback(lambda _: None)
        await until(lambda: self.open)
        await pause(0.2)
        self.assertEqual(len(self.open), 1)
        broker.transport.abortConnection()
        await until(lambda: not self.open)

    async def test_too_much(self) -> None:
        """The bound of an answer is what it was."""
        with self.assertRaises(BadSlotRequest):
            reads = [SlotRead(0, 3 * MIB)] * (MAX_SLOT_DATA // (3 * MIB) + 1)
            await self.client.read(INDEX, {31}, reads)


class WriteTests(_Case):
    async def write(self, client: FoolscapServer, reads: list[SlotRead]) -> SlotAnswer:
        """Change a share."""
        change = {3: writes((0, b"new"))}
        return await call_write(client.remote, INDEX, SECRETS, change, reads)

    async def test_before(self) -> None:
        """The answer is what shares had before, whether there is room or not."""
        for _ in range(2):
            answer = await self.write(self.server, [SlotRead(0, 4 * MIB)])
            self.assertTrue(answer.data == {n: [data] for n, data in self.data.items()})
            self.data[3] = b"new" + self.data[3][3:]
            self.fill()
        await until(lambda: not self.storage._slot_answers._before.used)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_deaf(self) -> None:
        """One who does not take it in a minute makes room for others."""
        big = {40: writes((50 * MIB, b"x"))}
        await self.slots.test_and_write(INDEX, SECRETS, big, [])
        client = await foolscap_server(self, self.furl, "other")
        broker = self.deaf(client)
        reads, before = [SlotRead(0, 4 * MIB)], self.storage._slot_answers._before
        long = [SlotRead(0, 64 * MIB)]
        greedy = Deferred.fromCoroutine(self.write(client, long))
        greedy.addErrback(lambda _: None)
        await until(self.clock.getDelayedCalls)
        await until(lambda: before.used)
        # Another one waits for its turn, and gets it.
        honest = Deferred.fromCoroutine(self.write(self.server, reads * 3))
        await until(lambda: before._waiting)
        self.assertLess(before.used, MAX_SLOT_DATA)
        self.clock.advance(59)
        self.assertTrue(before._waiting)
        self.clock.advance(1)
        answer = await honest
        self.assertTrue(answer.data[31] == [self.data[31]] * 3)
        self.assertEqual(await self.slots.shares(INDEX), {*SIZES, 40})
        broker.transport.resumeProducing()
        await until(lambda: broker.disconnected)
        await until(lambda: not before.used)

    async def test_busy(self) -> None:
        """Who waits for too long is told so, and nothing is changed."""
        before = self.storage._slot_answers._before
        self.assertTrue(before.try_take(MAX_SLOT_DATA))
        waiting = Deferred.fromCoroutine(self.write(self.server, [SlotRead(0, 4 * MIB)]))
        await until(lambda: before._waiting)
        self.clock.advance(60)
        with self.assertRaisesRegex(Refusal, "busy with other answers"):
            await waiting
        found = await self.slots.read(INDEX, {3}, [SlotRead(0, 3)])
        self.assertEqual(found, {3: [self.data[3][:3]]})
        # A usual one needs no room.
        answer = await self.write(self.server, [SlotRead(0, 100)])
        self.assertTrue(answer.success)
        before.give(MAX_SLOT_DATA)
