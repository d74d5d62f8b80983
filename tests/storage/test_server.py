"""A server over one directory: space, leases, and what it leaves behind."""

from __future__ import annotations

import random
from itertools import count
from struct import unpack_from

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import blockingCallFromThread
from twisted.trial.unittest import TestCase

from tests.grids import (
    NOW,
    OTHER_SECRETS,
    REACTOR,
    SECRETS,
    MoodyServer,
    files_below,
    new_directory,
    new_server,
    new_small_disk,
    new_workers,
    pause,
    put_share,
    space_used,
)
from truckee.codec.secrets import LeaseSecrets
from truckee.flow.together import together
from truckee.storage.interfaces import NoSpace

INDEX = b"i" * 16
MIB = 1 << 20
OVERHEAD = 12 + 72


class _Case(TestCase):
    timeout = 120

    def new(self, reserved: int = 0) -> MoodyServer:
        """Return a server."""
        return new_server(new_directory(self), new_workers(self), reserved_space=reserved)

    def leases(self, server: MoodyServer, share: int = 0) -> list[tuple[int, int]]:
        """Return owner and expiry of all leases of a share."""
        data = (server.directory.home(INDEX) / str(share)).read_bytes()
        (count,) = unpack_from(">L", data, 8)
        found = [
            unpack_from(">L64xL", data, len(data) - 72 * n) for n in range(count, 0, -1)
        ]
        return [(owner, expires) for owner, expires in found]


class LeaseTests(_Case):
    async def test_allocation_renews(self) -> None:
        """Asking for shares renews the leases of all that are there, or adds them."""
        server = self.new()
        for share in (0, 1):
            put_share(server, INDEX, share, b"share")
        await server.allocate(INDEX, SECRETS, set(), 8)
        until = int(NOW) + 31 * 86400
        for share in (0, 1):
            self.assertEqual(self.leases(server, share), [(0, until)])
        await server.allocate(INDEX, SECRETS, {0}, 8)
        self.assertEqual(self.leases(server), [(0, until)])
        await server.allocate(INDEX, OTHER_SECRETS, {0}, 8)
        self.assertEqual(self.leases(server), [(0, until), (0, until)])

    async def test_add_lease(self) -> None:
        """An added lease has another owner; adding it again renews it."""
        server = self.new()
        put_share(server, INDEX, 0, b"share")
        await server.add_lease(INDEX, SECRETS)
        await server.add_lease(INDEX, SECRETS)
        self.assertEqual([owner for owner, _ in self.leases(server)], [1])

    async def test_added_at_once(self) -> None:
        """Leases that are added at the same moment are all there."""
        server = self.new()
        for share in range(3):
            put_share(server, INDEX, share, b"share")
        clients = [LeaseSecrets(b"%032d" % i, b"%032d" % i) for i in range(20)]
        await together(server.add_lease(INDEX, secrets) for secrets in clients)
        for share in range(3):
            self.assertEqual(len(self.leases(server, share)), 20)
        readers = await server.buckets(INDEX)
        self.assertEqual(await readers[0].read(0, 100), b"share")


class StartTests(_Case):
    async def test_start(self) -> None:
        """A start removes what was being written, and nothing else."""
        server = self.new()
        path = put_share(server, INDEX, 0, b"share")
        answer = await server.allocate(INDEX, SECRETS, {1, 2}, 8)
        await answer.writers[1].write(0, [b"half"])
        self.assertEqual(len(files_below(server.directory.root)), 3)
        new_server(server.directory.root, new_workers(self))
        self.assertEqual(files_below(server.directory.root), [path])

    async def test_broken_share_is_replaced(self) -> None:
        """What is no container does not keep a share from being stored."""
        server = self.new()
        path = put_share(server, INDEX, 0, b"share")
        path.write_bytes(b"")
        answer = await server.allocate(INDEX, SECRETS, {0}, 4)
        await answer.writers[0].write(0, [b"good"])
        await answer.writers[0].close(4)
        readers = await server.buckets(INDEX)
        self.assertEqual(await readers[0].read(0, 9), b"good")


class SpaceTests(_Case):
    def new_small(self, size: int = 4 * MIB, reserved: int = 0) -> MoodyServer:
        """Return a server on a disk of its own."""
        room = new_small_disk(self, size)
        server = new_server(room, new_workers(self), reserved_space=reserved)
        self.empty = space_used(room)
        return server

    def used(self, server: MoodyServer) -> int:
        return space_used(server.directory.root) - self.empty

    async def test_promised(self) -> None:
        """What a writer was promised is nobody else's, until it is written or given up."""
        server = self.new_small()
        before = await server.available_space()
        first = (await server.allocate(INDEX, SECRETS, {0}, MIB)).writers[0]
        self.assertEqual(before - await server.available_space(), MIB + OVERHEAD)
        second = (await server.allocate(INDEX, SECRETS, {1, 2, 3}, MIB)).writers
        self.assertEqual(set(second), {1, 2})
        for start in range(0, MIB, MIB // 4):
            await first.write(start, [bytes(MIB // 4)])
            # Blocks of the disk are larger than bytes.
            taken = before - await server.available_space()
            self.assertLess(abs(taken - 3 * (MIB + OVERHEAD)), 65536)
        await first.close(MIB)
        for writer in second.values():
            await writer.abort()
        taken = before - await server.available_space()
        self.assertLess(abs(taken - MIB), 65536)

    async def test_reserved(self) -> None:
        """Reserved space is never promised, and open-ended shares stop before it."""
        server = self.new_small(reserved=3 * MIB)
        self.assertLessEqual(await server.available_space(), MIB)
        self.assertEqual((await server.allocate(INDEX, SECRETS, {0}, 2 * MIB)).writers, {})
        answer = await server.allocate(INDEX, SECRETS, {0}, 1 << 40, open_ended=True)
        with self.assertRaises(NoSpace):
            for start in range(0, 4 * MIB, 65536):
                await answer.writers[0].write(start, [bytes(65536)])
        self.assertLessEqual(self.used(server), MIB + 2 * 65536)
        await answer.writers[0].abort()
        self.assertLessEqual(self.used(server), 0)

    async def test_all_reserved(self) -> None:
        """A server whose disk is all reserved takes nothing."""
        server = self.new(reserved=1 << 60)
        self.assertEqual(await server.available_space(), 0)
        for open_ended in (False, True):
            answer = await server.allocate(INDEX, SECRETS, {0}, 1, open_ended)
            self.assertEqual(answer.writers, {})
        self.assertEqual(files_below(server.directory.root), [])

    async def test_full_disk(self) -> None:
        """A disk that runs full is NoSpace, and the abort gives all of it back."""
        server = self.new_small()
        writers = (
            await server.allocate(INDEX, SECRETS, {0, 1}, 1 << 40, open_ended=True)
        ).writers
        offset = 0
        with self.assertRaises(NoSpace):
            while True:
                for writer in writers.values():
                    await writer.write(offset, [bytes(100_000)] * 3)
                offset += 300_000
        self.assertLess(await server.available_space(), 65536)
        for writer in writers.values():
            await writer.abort()
        self.assertLessEqual(self.used(server), 0)
        self.assertEqual(files_below(server.directory.root), [])

    async def test_full_at_the_close(self) -> None:
        """A close for which there is no space is NoSpace, and nothing is shown."""
        server = self.new_small()
        writer = (await server.allocate(INDEX, SECRETS, {0}, MIB, open_ended=True)).writers[
            0
        ]
        filler = server.directory.root / "filler"
        try:
            with filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        except OSError:
            pass
        with self.assertRaises(NoSpace):
            await writer.write(0, [bytes(4096)])
        with self.assertRaises(NoSpace):
            await writer.close(0)
        await writer.abort()
        self.assertEqual(dict(await server.buckets(INDEX)), {})
        self.assertEqual(files_below(server.directory.root), [filler])

    async def test_allocation_cancelled_twice(self) -> None:
        """However often an allocation is cancelled, none of its shares is left behind."""
        for begin in range(1, 8):
            await self.cancel_allocation(begin)

    async def cancel_allocation(self, begin: int) -> None:
        """Cancel an allocation in each job that it has done, from number *begin* on."""
        jobs = count(1)

        def watch() -> None:
            if next(jobs) >= begin:
                # The event loop comes to it when the name is bound, a fast job before.
                blockingCallFromThread(REACTOR, lambda: asking.cancel())

        server = new_server(new_directory(self), new_workers(self, watch=watch))
        asking = Deferred.fromCoroutine(server.allocate(INDEX, SECRETS, {0, 1, 2, 3}, 8))
        await self.assertFailure(asking, CancelledError)
        self.assertEqual(server._writers, {})
        self.assertEqual(files_below(server.directory.root), [])

    async def test_abort_cancelled(self) -> None:
        """An abort that is cancelled while a write is under way is done all the same."""
        server = self.new()
        writer = (await server.allocate(INDEX, SECRETS, {0}, MIB)).writers[0]
        writing = Deferred.fromCoroutine(writer.write(0, [bytes(MIB)]))
        aborting = Deferred.fromCoroutine(writer.abort())
        for _ in range(2):
            aborting.cancel()
        await self.assertFailure(aborting, CancelledError)
        await writing
        self.assertEqual(server._writers, {})
        self.assertEqual(files_below(server.directory.root), [])

    async def test_nothing_is_promised_in_the_end(self) -> None:
        """However writers end, what they were promised is free again."""
        server = self.new()
        rng = random.Random(1)
        for turn in range(60):
            shares = {rng.randrange(5) for _ in range(3)}
            asking = Deferred.fromCoroutine(
                server.allocate(bytes([turn] * 16), SECRETS, shares, 50_000)
            )
            if turn % 3 == 0:
                await pause(rng.random() * 0.002)
                asking.cancel()
            try:
                writers = (await asking).writers
            except CancelledError:
                continue
            for writer in writers.values():
                working = Deferred.fromCoroutine(writer.write(0, [bytes(50_000)]))
                if turn % 3 == 1:
                    working.cancel()
                    await self.assertFailure(working, CancelledError)
                    await writer.abort()
                else:
                    await working
                    await writer.close(50_000)
        self.assertEqual(server._writers, {})
        self.assertEqual(files_below(server.directory.root / "shares" / "incoming"), [])
