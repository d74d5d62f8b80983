"""Sessions: the order of requests, how many are in progress, and what is left."""

from __future__ import annotations

import os
import time
from functools import partial
from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.frontends.sftp.client import (
    APPEND,
    ATTRS,
    CREATE,
    EXCLUSIVE,
    HANDLE,
    NO_ATTRS,
    READ,
    STATUS,
    TRUNCATE,
    WRITE,
    Client,
    Place,
    sleep,
)
from tests.grids import calm, failing, hanging, until
from tests.tree.tree_grid import Disturbed
from truckee.frontends.sftp import handles
from truckee.frontends.sftp.pending import AT_ONCE
from truckee.frontends.sftp.replies import Code
from truckee.frontends.sftp.requests import Kind
from truckee.frontends.sftp.session import MAX_DATA
from truckee.frontends.sftp.wire import string, u32, u64
from truckee.mutable.share_writes import Published
from truckee.uploads import written_file

FRESH = WRITE | CREATE | TRUNCATE


class _Case(TestCase):
    timeout = 20
    place: Place
    client: Client

    async def setUp(self) -> None:  # type: ignore[override]
        self.place = await Place.new(self)
        self.client = self.place.connect()

    async def answered(self, *numbers: int) -> None:
        """Return when these requests were answered."""
        for each in numbers:
            await self.client.output.changes.until(partial(self.client.answer, each))

    def code(self, number: int) -> int:
        """Return the code that a request was answered with."""
        found = self.client.answer(number)
        assert found is not None
        return found.code


class FirstPacketTests(_Case):
    async def test_versions(self) -> None:
        """Whatever version a client has, the answer is 3; INIT comes first, and once."""
        for version in (0, 2, 3, 6, 0xFFFFFFFF):
            client = self.place.connect(begun=False)
            client.begin(version)
            self.assertEqual(client.output.packets[0][:5], b"\2" + u32(3))
            number = client.request(Kind.INIT)
            found = client.answer(number)
            assert found is not None
            self.assertEqual(found.code, Code.UNSUPPORTED)
            self.assertFalse(client.output.is_lost)
        await self.place.check_nothing_left()

    async def test_no_init(self) -> None:
        """Whoever begins with something else is sent away."""
        for data in (string(b"\3" + bytes(4)), string(b"\1"), string(b"\1\0\0\0")):
            client = self.place.connect(begun=False)
            client.send(data)
            self.assertTrue(client.output.is_lost)
        await self.place.check_nothing_left()

    async def test_lengths(self) -> None:
        """There is no way on behind a length that cannot be."""
        for data in (u32(0), u32((256 << 10) + 1), u32(0xFFFFFFFF), string(b"\5")):
            client = self.place.connect()
            handle = await client.open(b"/f", FRESH)
            client.request(Kind.WRITE, string(handle), u64(0), string(b"x"))
            client.send(data)
            self.assertTrue(client.output.is_lost)
            client.send(bytes(1000))
        await self.place.gone()


class ManyTests(_Case):
    async def test_seventy_thousand(self) -> None:
        """Requests that need no wait are all answered, and nobody else waits meanwhile."""
        other = self.place.connect()
        packets = [
            string(bytes([Kind.EXTENDED]) + u32(number) + string(b"limits@openssh.com"))
            for number in range(70_000)
        ]
        self.client.sent += sum(map(len, packets))
        begin = time.monotonic()
        self.client.session.received(b"".join(packets))
        self.assertLess(time.monotonic() - begin, 1.0)
        before = len(self.client.output.packets)
        self.assertLess(before, 200)
        await other.ask(Kind.REALPATH, string(b"."))
        self.assertLess(len(self.client.output.packets), 70_000)
        while len(self.client.output.packets) < 70_001:
            await sleep(0.01)
        self.assertEqual(self.client.output.credited, self.client.sent)
        await self.place.check_nothing_left()

    async def test_at_once(self) -> None:
        """So many are in progress; the bytes of those that are done are credited."""
        handle = await self.client.open(b"/f", FRESH)
        await self.client.write(handle, 0, os.urandom(200_000))
        for server in self.place.grid.servers:
            server.mood = hanging("write", "close")
        close = self.client.request(Kind.CLOSE, string(handle))
        credited = self.client.output.credited
        stats = [self.client.request(Kind.REMOVE, string(b"/f")) for _ in range(1000)]
        await sleep(0.1)
        self.assertIsNone(self.client.answer(close))
        self.assertEqual(self.client.session._pending._running, AT_ONCE)
        self.assertEqual(self.client.output.credited, credited)
        self.assertIsNone(self.client.answer(stats[0]))
        await self.place.written.stop()
        await self.place.check_nothing_left()

    async def test_lost_while_thousands_wait(self) -> None:
        """What waits when a client goes is not begun."""
        for _ in range(5000):
            self.client.request(Kind.MKDIR, string(b"/d%d" % _), NO_ATTRS)
        self.client.session.lost()
        await self.place.gone()
        names = await self.place.connect().names(b"/")
        self.assertLess(len(names), 400)


class NotTakenTests(_Case):
    async def test_nothing_is_made_for_who_takes_nothing(self) -> None:
        """Whatever a client asks for, little is in memory while it takes no answers."""
        data = os.urandom(3_000_000)
        await self.client.put(b"/f", data)
        handle = await self.client.open(b"/f", READ)
        path = b"/" + b"x" * 16_000
        kinds: dict[str, tuple[int, int, tuple[bytes, ...]]] = {
            "read": (600, Kind.READ, (string(handle), u64(0), u32(MAX_DATA))),
            "realpath": (600, Kind.REALPATH, (string(path),)),
            "stat": (12_000, Kind.FSTAT, (string(handle),)),
            "nothing": (12_000, Kind.REMOVE, (string(b"/\0"),)),
        }
        for name, (count, kind, parts) in kinds.items():
            client = self.client
            client.output.takes, client.output.unread = False, 0
            credited, sent = client.output.credited, client.sent
            numbers = [client.request(kind, *parts) for _ in range(count)]
            before = -1
            while before != client.output.unread:
                before = client.output.unread
                await sleep(0.1)
            self.assertLess(client.output.unread, 2 << 20, name)
            used = client.output.credited - credited
            self.assertLess(used, client.sent - sent, name)
            client.output.takes = True
            client.output.changes.wake()
            while client.answer(numbers[-1]) is None:
                await sleep(0.05)
            client.output.packets.clear()
        await self.place.check_nothing_left()

    async def test_lost_while_it_takes_nothing(self) -> None:
        """Nothing is left of a client that goes with its answers."""
        await self.client.put(b"/f", os.urandom(1_000_000))
        handle = await self.client.open(b"/f", READ)
        self.client.output.takes = False
        for number in range(600):
            offset = number * 1000
            self.client.request(Kind.READ, string(handle), u64(offset), u32(100_000))
        await sleep(0.1)
        self.client.output.lose()
        await self.place.gone()


class HandleTests(_Case):
    async def test_unknown(self) -> None:
        """Handles that are not open, or of another kind, are refused, whatever is asked."""
        await self.client.put(b"/f", b"x" * 1000)
        reading = await self.client.open(b"/f", READ)
        writing = await self.client.open(b"/g", WRITE | CREATE)
        reply = await self.client.ask(Kind.OPENDIR, string(b"/"))
        listing = reply.fields.string()
        closed = await self.client.open(b"/f", READ)
        await self.client.ok(Kind.CLOSE, string(closed))
        bad = (closed, b"", b"\0" * 4, b"\xff" * 4, b"x" * 16_384)
        for handle in bad:
            name = string(handle)
            for kind, rest in (
                (Kind.CLOSE, b""),
                (Kind.READ, u64(0) + u32(10)),
                (Kind.WRITE, u64(0) + string(b"x")),
                (Kind.FSTAT, b""),
                (Kind.FSETSTAT, NO_ATTRS),
                (Kind.FSETSTAT, u32(1) + u64(5)),
                (Kind.READDIR, b""),
            ):
                reply = await self.client.ask(kind, name, rest)
                self.assertEqual(reply.code, Code.FAILURE, (handle, kind))
            for what in (b"fsync@openssh.com",):
                reply = await self.client.ask(Kind.EXTENDED, string(what), name)
                self.assertNotEqual(reply.code, Code.OK)
        for handle, kind, rest in (
            (listing, Kind.READ, u64(0) + u32(10)),
            (listing, Kind.WRITE, u64(0) + string(b"x")),
            (reading, Kind.WRITE, u64(0) + string(b"x")),
            (reading, Kind.READDIR, b""),
            (writing, Kind.READDIR, b""),
            (reading, Kind.FSETSTAT, u32(1) + u64(5)),
            (listing, Kind.FSETSTAT, u32(1) + u64(5)),
        ):
            reply = await self.client.ask(kind, string(handle), rest)
            self.assertNotEqual(reply.code, Code.OK, kind)
        await self.place.check_nothing_left()

    async def test_most(self) -> None:
        """A session has so many handles, also when they are asked for all at once."""
        self.patch(handles, "MOST_HANDLES", 100)
        numbers = [self.client.request(Kind.OPENDIR, string(b"/")) for _ in range(150)]
        await self.answered(*numbers)
        found = [self.client.answer(each) for each in numbers]
        opened = [each for each in found if each is not None and each.kind == HANDLE]
        self.assertEqual(len(opened), 100)
        self.assertEqual(len(self.client.session._handles._open), 100)
        await self.client.ok(Kind.CLOSE, string(opened[0].fields.string()))
        reply = await self.client.ask(Kind.OPENDIR, string(b"/"))
        self.assertEqual(reply.kind, HANDLE)
        await self.place.check_nothing_left()

    async def test_removed_and_replaced_while_open(self) -> None:
        """Files that no name leads to any more are given up with their client, too."""
        await self.client.put(b"/b", b"before")
        one = await self.client.open(b"/a", WRITE | CREATE)
        await self.client.write(one, 0, os.urandom(200_000))
        two = await self.client.open(b"/b", WRITE)
        await self.client.write(two, 0, os.urandom(200_000))
        await self.client.ok(Kind.REMOVE, string(b"/a"))
        await self.client.put(b"/c", b"c")
        rename = string(b"posix-rename@openssh.com") + string(b"/c") + string(b"/b")
        await self.client.ok(Kind.EXTENDED, rename)
        self.assertEqual(len(self.place.written._files), 2)
        self.client.session.lost()
        await self.place.gone()
        self.assertEqual(await self.place.connect().get(b"/b"), b"c")

    async def test_numbers(self) -> None:
        """Offsets and sizes up to the last one are answered, and nothing is written."""
        await self.client.put(b"/f", b"x" * 1000)
        reading = await self.client.open(b"/f", READ)
        writing = await self.client.open(b"/g", WRITE | CREATE)
        await self.client.write(writing, 0, b"y" * 100)
        for offset in (1000, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
            for handle in (reading, writing):
                self.assertEqual(await self.client.read(handle, offset, 0xFFFFFFFF), b"")
            if offset <= 1 << 30:
                continue
            for data in (b"", b"x"):
                reply = await self.client.ask(
                    Kind.WRITE, string(writing), u64(offset), string(data)
                )
                self.assertEqual(reply.code, Code.FAILURE)
            for kind, what in ((Kind.FSETSTAT, writing), (Kind.SETSTAT, b"/f")):
                size = string(what) + u32(1) + u64(offset)
                reply = await self.client.ask(kind, size)
                self.assertEqual(reply.code, Code.FAILURE)
        self.assertEqual(await self.client.get(b"/f"), b"x" * 1000)
        # A part of it is missing, so nothing is stored.
        reply = await self.client.ask(Kind.CLOSE, string(writing))
        self.assertEqual(reply.code, Code.FAILURE)
        reply = await self.client.ask(Kind.STAT, string(b"/g"))
        self.assertEqual(reply.code, Code.NO_SUCH_FILE)
        await self.place.check_nothing_left()

    async def test_paths(self) -> None:
        """Odd paths are answered, and none leads out of the root."""
        await self.client.put(b"/f", b"x")
        for path, same in (
            (b"/../../f", True),
            (b"../f", True),
            (b"//./f//.", True),
            (b"a/" * 4000 + b"../" * 4000 + b"f", False),
            (b"/" + b"a/" * 2000 + b"../" * 2000 + b"f", True),
            (b"/f/../f", True),
            (b"/f\0", False),
            (b"/\xff", False),
            (b"/\xed\xa0\x80", False),
            (b"/" + b"x" * 16_000, False),
            (b"/" + b"x/" * 5000, False),
            (b"", False),
        ):
            reply = await self.client.ask(Kind.STAT, string(path))
            found = reply.kind != STATUS and len(path) > 0
            self.assertEqual(found, same, path[:20])
            handle = await self.client.ask(Kind.OPEN, string(path), u32(READ), NO_ATTRS)
            self.assertEqual(handle.kind == HANDLE, same, path[:20])
        await self.place.check_nothing_left()


class OrderTests(_Case):
    async def test_changes_and_looks(self) -> None:
        """Each look sees the changes that were asked for before it, and no later ones."""
        numbers = []
        for number in range(8):
            name = string(b"/d%d" % number)
            self.client.request(Kind.MKDIR, name, NO_ATTRS)
            numbers.append((self.client.request(Kind.STAT, name), True))
            self.client.request(Kind.RMDIR, name)
            numbers.append((self.client.request(Kind.STAT, name), False))
        await self.answered(numbers[-1][0])
        for number, there in numbers:
            reply = self.client.answer(number)
            assert reply is not None
            self.assertEqual(reply.kind != STATUS, there)

    async def test_directories(self) -> None:
        """Those that are asked for at once are made side by side."""
        store, begun = Disturbed.publish, 0

        async def publish(publisher: Disturbed, *args: Any) -> Published:
            nonlocal begun
            begun += 1
            await until(lambda: begun >= 8)
            return await store(publisher, *args)

        self.patch(Disturbed, "publish", publish)
        names = [b"d%d" % number for number in range(8)]
        requests = [(Kind.MKDIR, string(b"/" + name), NO_ATTRS) for name in names]
        numbers = [self.client.request(*each) for each in requests]
        await self.answered(*numbers)
        self.assertEqual({self.code(number) for number in numbers}, {Code.OK})
        self.assertEqual(await self.client.names(b"/"), [b".", b"..", *names])

    async def test_directories_in_directories(self) -> None:
        """One can be asked for before the one that it is in has been answered."""
        paths = (b"/a", b"/a/b", b"/x/y", b"/a/b/c", b"/a", b"/x", b"/a/b/c/d", b"/x/y")
        numbers = [self.client.request(Kind.MKDIR, string(p), NO_ATTRS) for p in paths]
        look = self.client.request(Kind.STAT, string(b"/a/b/c/d"))
        await self.answered(*numbers, look)
        ok, taken, nowhere = Code.OK, Code.FAILURE, Code.NO_SUCH_FILE
        self.assertEqual(
            [self.code(number) for number in numbers],
            [ok, ok, nowhere, ok, taken, ok, ok, ok],
        )
        reply = self.client.answer(look)
        assert reply is not None
        self.assertEqual(reply.kind, ATTRS)

    async def test_all_at_once(self) -> None:
        """A whole file may be sent without waiting for any answer but that of OPEN."""
        handle, data = await self.client.open(b"/f", FRESH), os.urandom(3_000_000)
        size = 30_000
        for start in range(0, len(data), size):
            part = data[start : start + size]
            self.client.request(Kind.WRITE, string(handle), u64(start), string(part))
        self.client.request(Kind.FSETSTAT, string(handle), u32(1), u64(len(data) - 5))
        close = self.client.request(Kind.CLOSE, string(handle))
        await self.answered(close)
        self.assertEqual(self.code(close), Code.OK)
        self.assertEqual(await self.client.get(b"/f"), data[:-5])
        await self.place.check_nothing_left()


class ClockTests(TestCase):
    timeout = 20

    async def test_signs_of_life(self) -> None:
        """A client that waits hears something every 5 seconds, and nothing otherwise."""
        clock = Clock()
        place = await Place.new(self, clock)
        client = place.connect()
        number = client.request(Kind.OPEN, string(b"/f"), u32(FRESH), NO_ATTRS)
        await client.output.changes.until(lambda: client.answer(number))
        await sleep(0)
        clock.advance(60)
        self.assertEqual(client.output.alive, 0)
        reply = client.answer(number)
        assert reply is not None
        handle = string(reply.fields.string())
        client.request(Kind.WRITE, handle, u64(0), string(b"x" * 1000))
        for server in place.grid.servers:
            server.mood = hanging("allocate")
        close = client.request(Kind.CLOSE, handle)
        await sleep(0.1)
        for seconds in range(1, 31):
            clock.advance(1)
            self.assertEqual(client.output.alive, seconds // 5)
        self.assertIsNone(client.answer(close))

    async def test_listing_expires(self) -> None:
        """A listing that nobody goes on with is forgotten after 5 minutes."""
        clock = Clock()
        place = await Place.new(self, clock)
        client = place.connect()

        async def listing() -> bytes:
            return string((await client.ask(Kind.OPENDIR, string(b"/"))).fields.string())

        one, two = await listing(), await listing()
        clock.advance(299)
        await client.ask(Kind.READDIR, one)
        clock.advance(1)
        self.assertEqual((await client.ask(Kind.READDIR, two)).code, Code.FAILURE)
        self.assertEqual((await client.ask(Kind.READDIR, one)).code, Code.EOF)
        await client.ok(Kind.CLOSE, two)
        await client.ok(Kind.CLOSE, one)
        client.session.lost()
        self.assertEqual(clock.getDelayedCalls(), [])


class StoringTests(_Case):
    async def test_full_disk(self) -> None:
        """When the disk is full WRITE and CLOSE say so, and the old file stays."""
        await self.client.put(b"/f", b"before")
        handle = await self.client.open(b"/f", FRESH)
        await self.client.write(handle, 0, b"a" * 1000)
        real = os.pwrite

        def full(*_: object) -> int:
            raise OSError(28, "full")

        self.patch(os, "pwrite", full)
        write = string(handle) + u64(1000) + string(b"b")
        self.assertEqual((await self.client.ask(Kind.WRITE, write)).code, Code.FAILURE)
        self.patch(os, "pwrite", real)
        reply = await self.client.ask(Kind.CLOSE, string(handle))
        self.assertEqual(reply.code, Code.FAILURE)
        self.assertIn(b"disk", reply.fields.string())
        self.assertEqual(await self.client.get(b"/f"), b"before")
        await self.place.check_nothing_left()

    async def test_no_servers(self) -> None:
        """When nobody stores the file CLOSE says so, and the old file stays."""
        self.patch(written_file, "_TRIES", 2)
        self.patch(written_file, "_FIRST_WAIT", 0.01)
        await self.client.put(b"/f", b"before")
        for data in (b"x" * 1000, os.urandom(1_000_000)):
            handle = await self.client.open(b"/f", FRESH)
            for server in self.place.grid.servers:
                server.mood = failing("write", "close", "allocate")
            for start in range(0, len(data), 100_000):
                await self.client.write(handle, start, data[start : start + 100_000])
            reply = await self.client.ask(Kind.CLOSE, string(handle))
            self.assertEqual(reply.code, Code.FAILURE)
            for server in self.place.grid.servers:
                server.mood = calm
            self.assertEqual(await self.client.get(b"/f"), b"before")
        await self.place.check_nothing_left()

    async def test_cancelled(self) -> None:
        """A file whose task is cancelled is refused from then on, and the old one stays."""
        await self.client.put(b"/f", b"before")
        handle = await self.client.open(b"/f", FRESH)
        await self.client.write(handle, 0, os.urandom(200_000))
        [task] = self.place.tasks.active()
        task.cancel("somebody said so")
        while self.place.written._files:
            await sleep(0.01)
        write = string(handle) + u64(0) + string(b"b")
        self.assertEqual((await self.client.ask(Kind.WRITE, write)).code, Code.FAILURE)
        self.assertEqual((await self.client.ask(Kind.FSTAT, string(handle))).kind, 105)
        reply = await self.client.ask(Kind.CLOSE, string(handle))
        self.assertEqual(reply.code, Code.FAILURE)
        self.assertEqual(await self.client.get(b"/f"), b"before")
        await self.place.check_nothing_left()

    async def test_node_stops(self) -> None:
        """Files that are written when the node stops are given up, and none is begun."""
        handle = await self.client.open(b"/f", FRESH)
        await self.client.write(handle, 0, os.urandom(200_000))
        await self.place.written.stop()
        reply = await self.client.ask(Kind.CLOSE, string(handle))
        self.assertEqual(reply.code, Code.FAILURE)
        what = string(b"/g") + u32(FRESH) + NO_ATTRS
        self.assertEqual((await self.client.ask(Kind.OPEN, what)).code, Code.FAILURE)
        await self.place.check_nothing_left()

    async def test_account_removed(self) -> None:
        """Whoever loses the account loses the session with the next path, all of it."""
        handle = await self.client.open(b"/f", FRESH)
        await self.client.write(handle, 0, os.urandom(200_000))
        self.place.account = None
        await self.client.write(handle, 200_000, b"x")
        self.client.request(Kind.STAT, string(b"/"))
        self.assertTrue(self.client.output.is_lost)
        await self.place.gone()

    async def test_gone_while_another_handle_is_closed(self) -> None:
        """What was closed is stored though another handle of the file was not."""
        one = await self.client.open(b"/f", FRESH)
        two = await self.client.open(b"/f", WRITE)
        await self.client.write(one, 0, b"x" * 1000)
        self.client.request(Kind.CLOSE, string(one))
        self.client.session.lost()
        await self.place.gone()
        self.assertEqual(await self.place.connect().get(b"/f"), b"x" * 1000)
        self.assertNotEqual(one, two)


class RandomTests(_Case):
    async def test_against_a_model(self) -> None:
        """Whatever two sessions do with files in whatever order, each has what it wrote."""
        for seed in range(4):
            random, model = Random(seed), dict[bytes, bytearray]()
            await self.run_one(random, model, b"/%d" % seed)
        await self.place.check_nothing_left()

    async def run_one(
        self, random: Random, model: dict[bytes, bytearray], at: bytes
    ) -> None:
        """Do some things in a directory, then see that it is as it has to be."""
        await self.client.ok(Kind.MKDIR, string(at), NO_ATTRS)
        client = self.place.connect()
        opened: dict[bytes, bytes] = {}  # handles and the paths at which they are
        content: dict[bytes, bytearray] = {}  # of what is open, by path
        paths = [at + b"/%c" % name for name in b"abc"]
        for _ in range(60):
            what, path = random.randrange(8), random.choice(paths)
            handle = random.choice(list(opened)) if opened else b""
            if what == 0 and path not in content:
                flags = random.choice([FRESH, WRITE | CREATE, WRITE | CREATE | APPEND])
                handle = await client.open(path, flags)
                opened[handle] = path
                there = bytearray() if flags & TRUNCATE else bytearray(model.get(path, b""))
                content[path] = there
                if flags & APPEND:
                    await client.write(handle, 0, b"end")
                    there += b"end"
                    await self.close(client, handle, opened, content, model)
            elif what in (1, 2, 3) and handle:
                offset, data = random.randrange(300_000), random.randbytes(9000)
                there = content[opened[handle]]
                there += bytes(max(0, offset + len(data) - len(there)))
                there[offset : offset + len(data)] = data
                await client.write(handle, offset, data)
                self.assertEqual(await client.read(handle, offset, 9000), data)
            elif what == 4 and handle:
                there, size = content[opened[handle]], random.randrange(300_000)
                there += bytes(max(0, size - len(there)))
                del there[size:]
                await client.ok(Kind.FSETSTAT, string(handle), u32(1), u64(size))
            elif what == 5 and handle:
                await client.ok(Kind.EXTENDED, string(b"fsync@openssh.com"), string(handle))
                path = opened[handle]
                model[path] = bytearray(content[path])
            elif what == 6 and handle:
                await self.close(client, handle, opened, content, model)
            elif what == 7 and path in model and path not in content:
                other = random.choice(paths)
                if other in content or other == path:
                    continue
                name = string(b"posix-rename@openssh.com") + string(path) + string(other)
                await client.ok(Kind.EXTENDED, name)
                model[other] = model.pop(path)
        for handle in list(opened):
            await self.close(client, handle, opened, content, model)
        reader = self.place.connect()
        found = {
            at + b"/" + n: b"" for n in await reader.names(at) if n not in (b".", b"..")
        }
        self.assertEqual(set(found), set(model))
        for path, expected in model.items():
            self.assertEqual(await reader.get(path), bytes(expected))

    async def close(
        self,
        client: Client,
        handle: bytes,
        opened: dict[bytes, bytes],
        content: dict[bytes, bytearray],
        model: dict[bytes, bytearray],
    ) -> None:
        """Close one."""
        await client.ok(Kind.CLOSE, string(handle))
        path = opened.pop(handle)
        model[path] = content.pop(path)


class ExclusiveTests(_Case):
    async def test_exclusive(self) -> None:
        """A file that must not be there replaces none that came meanwhile."""
        flags = FRESH | EXCLUSIVE
        one = await self.client.open(b"/f", flags)
        other = self.place.connect()
        await other.put(b"/f", b"theirs")
        await self.client.write(one, 0, b"ours")
        reply = await self.client.ask(Kind.CLOSE, string(one))
        self.assertEqual(reply.code, Code.FAILURE)
        self.assertEqual(await other.get(b"/f"), b"theirs")
        await self.place.check_nothing_left()
