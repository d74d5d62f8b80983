"""Tests of truckee.mutable.files."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from tests.codec.mutable_example import PRIVATE_KEY, write_cap
from tests.contracts.test_slot_server import slots_of
from tests.grids import pause, until
from tests.mutable.share_grid import SlotGrid, make_shares, read
from tests.mutable.test_repair import new_files
from truckee.codec.caps import MutableWriteCap
from truckee.codec.mdmf import BeyondEnd
from truckee.codec.mutable_prefix import Prefix
from truckee.immutable.upload.body import Body, FileTooLarge
from truckee.mutable.errors import NotEnoughMutableShares
from truckee.mutable.files import KeyInUse, MutableFiles
from truckee.mutable.reader import MAX_WHOLE
from truckee.storage.interfaces import SlotRead

SEGMENT = 131_073  # bytes, with k = 3


async def chunks(parts: Sequence[bytes]) -> AsyncIterator[bytes]:
    """Give *parts* one by one."""
    for part in parts:
        yield part


def body(*parts: bytes) -> Body:
    """Return *parts* as what is stored."""
    return Body(chunks(parts), 1 << 40)


async def content(files: MutableFiles, cap: MutableWriteCap) -> bytes:
    """Return what the file has."""
    return await read(await files.reader.open(cap.read_cap()))


class FileTests(TestCase):
    """One gateway, ten servers."""

    timeout = 120

    def setUp(self) -> None:
        self.grid = SlotGrid.new(self)
        self.files = new_files(self.grid)

    async def test_create(self) -> None:
        for format in ("SSK", "MDMF"):
            cap = await self.files.create(format, body(b"some ", b"text"))
            self.assertEqual(cap.format, format)
            self.assertEqual(await content(self.files, cap), b"some text")

    async def test_key_in_use(self) -> None:
        cap = await self.files.create("SSK", body(b"text"), PRIVATE_KEY)
        self.assertEqual(cap, write_cap())
        with self.assertRaises(KeyInUse):
            await self.files.create("SSK", body(b"other"), PRIVATE_KEY)
        self.assertEqual(await content(self.files, cap), b"text")

    async def test_shape_is_kept(self) -> None:
        """A file that is 2-of-5 stays so, though new ones are 3-of-10."""
        await self.grid.store(make_shares(b"old", needed=2, total=5), range(5))
        await self.files.overwrite(write_cap(), body(b"new"))
        best = (await self.files.reader.look(write_cap().read_cap())).best
        assert best is not None
        self.assertEqual((best.geometry.needed, best.geometry.total), (2, 5))
        self.assertEqual(await content(self.files, write_cap()), b"new")

    async def test_write_at(self) -> None:
        cap = await self.files.create("SSK", body(b"0123456789"))
        await self.files.write_at(cap, 3, body(b"abc"))
        await self.files.write_at(cap, 9, body(b"xyz"))
        self.assertEqual(await content(self.files, cap), b"012abc678xyz")
        with self.assertRaises(BeyondEnd):
            await self.files.write_at(cap, 13, body(b"a"))
        self.assertEqual(await content(self.files, cap), b"012abc678xyz")

    async def test_modify_again(self) -> None:
        """What was written here is not read again, unless others wrote meanwhile."""
        cap = await self.files.create("SSK", body(b"text" * 20_000))
        asked = [self.grid.slots(number).asked for number in range(10)]
        for _ in range(3):
            for each in asked:
                each.clear()
            await self.files.modify(cap, lambda old: old + b"more")
            # Which version there is, and neither private keys nor blocks.
            self.assertLessEqual(max(map(len, asked)), 1)
        await new_files(self.grid).modify(cap, lambda old: old + b"theirs")
        await self.files.modify(cap, lambda old: old + b"ours")
        self.assertTrue((await content(self.files, cap)).endswith(b"moretheirsours"))

    async def test_modify_what_the_caller_had(self) -> None:
        """A version that the caller read is not read again, unless it is there no more."""
        cap = await self.files.create("SSK", body(b"text" * 20_000))
        version, had = await new_files(self.grid).reader.read_newer(cap.read_cap(), None)
        assert had is not None
        for expected in (had + b"!", had + b"!!"):
            files = new_files(self.grid)
            given: list[bytes] = []

            def add(old: bytes, given: list[bytes] = given) -> bytes:
                given.append(old)
                return old + b"!"

            await files.modify(cap, add, had=(version, had))
            self.assertEqual(given[0] is had, expected == had + b"!")
            self.assertTrue(await content(files, cap) == expected)

    async def test_write_at_of_mdmf(self) -> None:
        """Only what is touched is written anew; when a share is missing, all of it."""
        data = bytearray(os.urandom(4 * SEGMENT))
        cap = await self.files.create("MDMF", body(bytes(data)), PRIVATE_KEY)

        async def salts() -> list[bytes]:
            # Of the segments, as one of the shares has them.
            places = [SlotRead(2167 + n * (SEGMENT // 3 + 16), 16) for n in range(4)]
            for server in self.grid.servers:
                found = await slots_of(server).read(index, frozenset(), places)
                if 0 in found:
                    return [bytes(each) for each in found[0]]
            raise AssertionError("there is no share 0")

        index = cap.verify_cap().storage_index
        before = await salts()
        for offset, piece in ((SEGMENT + 7, b"some"), (2 * SEGMENT - 1, b"bytes")):
            await self.files.write_at(cap, offset, body(piece))
            data[offset : offset + len(piece)] = piece
            self.assertTrue(await content(self.files, cap) == data)
        same = [a == b for a, b in zip(before, await salts(), strict=True)]
        self.assertEqual(same, [True, False, False, True])
        for place in range(10):
            if 9 in await slots_of(self.grid.servers[place]).shares(index):
                await self.grid.remove(place, 9)
        before = await salts()
        await self.files.write_at(cap, 0, body(b"x"))
        data[0:1] = b"x"
        self.assertTrue(await content(self.files, cap) == data)
        self.assertFalse(set(before) & set(await salts()))

    async def test_no_change(self) -> None:
        """A change that changes nothing writes nothing."""
        cap = await self.files.create("SSK", body(b"text"))
        before = (await self.files.reader.look(cap.read_cap())).best
        await self.files.modify(cap, lambda _: None)
        self.assertEqual((await self.files.reader.look(cap.read_cap())).best, before)

    async def test_change_fails(self) -> None:
        def fail(_: bytes) -> bytes:
            raise FileTooLarge(1)

        cap = await self.files.create("SSK", body(b"text"))
        with self.assertRaises(FileTooLarge):
            await self.files.modify(cap, fail)
        self.assertEqual(await content(self.files, cap), b"text")

    async def test_condition(self) -> None:
        """It is asked with the version that is replaced, and can forbid that."""
        seen: list[Prefix | None] = []

        def check(best: Prefix | None) -> None:
            seen.append(best)
            if len(seen) > 1:
                raise FileTooLarge(1)

        cap = await self.files.create("SSK", body(b"one"))
        await self.files.overwrite(cap, body(b"two"), check)
        with self.assertRaises(FileTooLarge):
            await self.files.overwrite(cap, body(b"three"), check)
        self.assertEqual([best and best.sequence for best in seen], [1, 2])
        self.assertEqual(await content(self.files, cap), b"two")

    async def test_lost(self) -> None:
        await self.grid.store(make_shares(b"text"), range(2))
        for work in (
            self.files.reader.open(write_cap().read_cap()),
            self.files.modify(write_cap(), lambda old: old + b"!"),
        ):
            with self.assertRaises(NotEnoughMutableShares) as caught:
                await work
            self.assertEqual((caught.exception.found, caught.exception.needed), (2, 3))

    async def test_too_large(self) -> None:
        part = bytes(1 << 20)
        with self.assertRaises(FileTooLarge):
            long = self.files.body(chunks([part] * 65), "SSK")
            await self.files.create("SSK", long)
        with self.assertRaises(FileTooLarge):
            self.files.check_size("SSK", MAX_WHOLE + 1)
        self.files.check_size("MDMF", MAX_WHOLE + 1)


class Slow:
    """A body that never ends; it counts what was asked of it."""

    def __init__(self) -> None:
        self.given = 0

    def __aiter__(self) -> Slow:
        return self

    async def __anext__(self) -> bytes:
        if self.given >= 40:
            await Deferred()
        self.given += 1
        await pause()
        return bytes(1 << 20)


class BodyTests(TestCase):
    """What is in memory of bodies that come slowly."""

    timeout = 60

    async def test_bounded(self) -> None:
        """All clients together get a bounded room; those who want little do not wait."""
        grid = SlotGrid.new(self)
        files = new_files(grid)
        slow = [Slow() for _ in range(8)]
        works = [
            Deferred.fromCoroutine(files.create("SSK", files.body(each, "SSK")))
            for each in slow
        ]
        await until(lambda: sorted(each.given for each in slow)[-2:] == [40, 40])
        await until(lambda: all(each.given for each in slow))
        await pause()
        self.assertEqual(sorted(each.given for each in slow), [1] * 6 + [40] * 2)
        cap = await files.create("SSK", body(b"little"))
        self.assertEqual(await content(files, cap), b"little")
        for work in works:
            work.addErrback(lambda _: None)
            work.cancel()
        # What they had is free again.
        long = os.urandom(2 << 20)
        cap = await files.create("SSK", body(long))
        self.assertEqual(await content(files, cap), long)


class ContentionTests(TestCase):
    """Gateways that know nothing of each other change one file at once."""

    timeout = 120

    async def test_no_change_is_lost(self) -> None:
        """Every change that was answered with success is there afterwards."""
        grid = SlotGrid.new(self)
        gateways = [new_files(grid) for _ in range(3)]
        await gateways[0].create("SSK", body(b""), PRIVATE_KEY)
        done: list[bytes] = []

        async def work(name: int) -> None:
            for number in range(8):
                line = b"%d %d\n" % (name, number)

                def add(old: bytes, line: bytes = line) -> bytes:
                    return old if line in old else old + line

                await gateways[name].modify(write_cap(), add)
                done.append(line)

        works = [Deferred.fromCoroutine(work(name)) for name in range(3)]
        await gatherResults(works, consumeErrors=True)
        self.assertEqual(len(done), 24)
        lines = (await content(gateways[0], write_cap())).splitlines(keepends=True)
        self.assertEqual(sorted(lines), sorted(done))

    async def test_writes_at_offsets(self) -> None:
        """The same holds for bytes that are written into a long MDMF file."""
        grid = SlotGrid.new(self)
        gateways = [new_files(grid) for _ in range(2)]
        cap = await gateways[0].create("MDMF", body(bytes(2 * SEGMENT)))
        done: list[int] = []

        async def work(which: int) -> None:
            for number in range(5):
                at = SEGMENT - 5 + 2 * number + which
                await gateways[which].write_at(cap, at, body(b"%d" % (which + 1)))
                done.append(at)

        works = [Deferred.fromCoroutine(work(which)) for which in range(2)]
        await gatherResults(works, consumeErrors=True)
        self.assertEqual(len(done), 10)
        data = await content(gateways[0], cap)
        self.assertEqual(data[SEGMENT - 5 : SEGMENT + 5], b"12" * 5)
        self.assertEqual(data.count(0), 2 * SEGMENT - 10)

    async def test_one_gateway(self) -> None:
        """Writers of one gateway wait for each other and never collide."""
        grid = SlotGrid.new(self)
        files = new_files(grid)
        await files.create("MDMF", body(b"start"), PRIVATE_KEY)
        cap = MutableWriteCap("MDMF", write_cap().write_key, write_cap().fingerprint)
        works = [
            Deferred.fromCoroutine(files.modify(cap, lambda old: old + b"."))
            for _ in range(6)
        ]
        await gatherResults(works, consumeErrors=True)
        self.assertEqual(await content(files, cap), b"start......")
        best = (await files.reader.look(cap.read_cap())).best
        assert best is not None
        self.assertEqual(best.sequence, 7)
