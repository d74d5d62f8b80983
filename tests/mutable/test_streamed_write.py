"""Long MDMF files, written while they come, beside the version that is there."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Set

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from tests.codec.mutable_example import PRIVATE_KEY
from tests.codec.stock_mutable import Read, work
from tests.grids import in_chunks, until
from tests.mutable.slot_grid import SlotGrid, nothing, refusing
from truckee.flow.together import together
from truckee.mutable import streamed_write
from truckee.mutable.errors import UncoordinatedWrite
from truckee.mutable.versions import Place, Versions, numbers_of
from truckee.mutable.write_errors import NoPlaceBeside, TooFewPlaced, TooLargeForMdmf
from truckee.storage.interfaces import NoSpace, SlotChange, SlotWrite

SEGMENT = 131_073  # bytes, with k = 3
# Beyond these files are streamed, in pieces of one segment.
AT_ONCE = 40_000  # bytes of all shares
PIECE = 1


def new_grid(case: TestCase, servers: int = 5) -> SlotGrid:
    """Return servers and an MDMF file nobody has written; few bytes are long for it."""
    grid = SlotGrid.new(case, servers, "MDMF")
    grid.publisher = grid.new_publisher(at_once=AT_ONCE, batch=PIECE, random=os.urandom)
    return grid


def heads(grid: SlotGrid) -> Iterable[bytes]:
    """Return how each write that was asked for begins, in the order at each server."""
    for number in range(len(grid.servers)):
        for changes in grid.slots(number).requests:
            for change in changes.values():
                for each in change.writes:
                    if each.offset == 0:
                        yield bytes(each.data[:9])


class NewFileTests(TestCase):
    timeout = 120

    async def test_boundaries(self) -> None:
        """Files of lengths around a boundary are what stock expects, in any shape."""
        for needed, total in ((1, 1), (1, 2), (3, 10), (2, 5), (10, 20)):
            segment = -(-131_072 // needed) * needed
            for size in (segment - 1, segment, segment + 1, 2 * segment, 5 * segment + 7):
                grid = new_grid(self)
                content = os.urandom(size)
                done = await grid.write(in_chunks(content, 77_777), needed, total)
                self.assertEqual((done.prefix.sequence, done.failed), (1, {}))
                self.assertGreater(grid.requests, 2 * total)
                self.assertEqual(await grid.read(), content)
                found = await grid.look()
                self.assertTrue(found.is_healthy)
                self.assertEqual(found.shares.keys(), done.placed.keys())
                shares = {p.number: share for p, share in (await grid.shares()).items()}
                (answer,) = work(PRIVATE_KEY, [Read(str(grid.cap.read_cap()), shares)])
                self.assertEqual(answer, [True, content])

    async def test_bytes(self) -> None:
        """Long contents that are in memory are written in the same way."""
        grid, content = new_grid(self), os.urandom(4 * SEGMENT)
        await grid.write(content)
        self.assertEqual(await grid.read(), content)
        self.assertEqual(grid.requests, 10 * 6)

    async def test_order(self) -> None:
        """No share can be taken for one before all of it is there: its head comes last."""
        grid, readable = new_grid(self), set[int]()

        async def look(_numbers: Set[int]) -> None:
            found = await grid.look()
            readable.add(len(found.shares))
            for place in found.shares:
                self.assertEqual(len(grid.slots(int(place.server.name[1:])).requests), 12)

        for number in range(5):
            grid.slots(number).after = look
        await grid.write(os.urandom(4 * SEGMENT))
        self.assertIn(0, readable)
        begins = list(heads(grid))
        self.assertEqual(len(begins), 20)
        self.assertEqual(set(begins), {b"\x01" + bytes(8), b"\x01" + bytes(7) + b"\x01"})

    async def test_first_failure(self) -> None:
        """What a server does not take at first goes to another one."""
        grid, content = new_grid(self), os.urandom(3 * SEGMENT)
        grid.slots(1).before = refusing(NoSpace("disk"))
        done = await grid.write(content)
        self.assertEqual(numbers_of(done.placed), set(range(10)))
        self.assertNotIn("s1", grid.spread(done.placed))
        self.assertTrue((await grid.look()).is_healthy)
        self.assertEqual(await grid.read(), content)

    async def test_later_failure(self) -> None:
        """A server that fails later loses its shares, and the file is written."""
        grid, content = new_grid(self), os.urandom(3 * SEGMENT)
        slots = grid.slots(1)

        async def fail(_numbers: Set[int]) -> None:
            if len(slots.requests) > 4:
                raise NoSpace("disk")

        slots.before = fail
        done = await grid.write(content)
        self.assertEqual(len(numbers_of(done.placed)), 8)
        self.assertEqual(
            {n: len(p) for n, p in grid.spread(done.failed).items()}, {"s1": 2}
        )
        # Nothing more was sent there.
        self.assertEqual(len(slots.requests), 6)
        self.assertEqual(await grid.read(), content)

    async def test_too_many_failures(self) -> None:
        """With fewer than k shares left it is given up at once, and nothing is left."""
        grid = new_grid(self)
        asked = 0

        async def body() -> AsyncIterator[bytes]:
            nonlocal asked
            for asked in range(1000):
                if asked == 3:
                    for number in range(1, 5):
                        grid.slots(number).before = refusing(NoSpace("disk"))
                yield os.urandom(SEGMENT)

        with self.assertRaises(TooFewPlaced):
            await grid.write(body())
        self.assertLess(asked, 10)
        self.assertEqual(grid.spread(await grid.shares()).keys() & {"s0"}, set())

    async def test_broken_body(self) -> None:
        """When the content breaks off nothing is left of it."""
        grid = new_grid(self)

        async def body() -> AsyncIterator[bytes]:
            for _ in range(5):
                yield os.urandom(SEGMENT)
            raise ZeroDivisionError

        with self.assertRaises(ZeroDivisionError):
            await grid.write(body())
        self.assertGreater(grid.requests, 30)
        self.assertEqual(await grid.shares(), {})

    async def test_cancelled(self) -> None:
        """When it is given up while a server is waited for, nothing is left."""
        grid, never = new_grid(self), Deferred[None]()

        async def wait(_numbers: Set[int]) -> None:
            await never

        async def body() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield os.urandom(SEGMENT)
            grid.slots(2).before = wait
            yield os.urandom(5 * SEGMENT)

        writing = Deferred.fromCoroutine(grid.write(body()))
        await until(lambda: grid.requests >= 40)
        grid.slots(2).before = nothing
        writing.cancel()
        with self.assertRaises(CancelledError):
            await writing
        self.assertEqual(await grid.shares(), {})

    async def test_cancelled_client(self) -> None:
        """When it is given up while the client is waited for, nothing is left."""
        grid = new_grid(self)

        async def body() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield os.urandom(SEGMENT)
            await Deferred()

        writing = Deferred.fromCoroutine(grid.write(body()))
        await until(lambda: grid.answers >= 20)
        writing.cancel()
        with self.assertRaises(CancelledError):
            await writing
        self.assertEqual(await grid.shares(), {})

    async def test_backpressure(self) -> None:
        """As long as a server does not take a piece, only so much more is read."""
        grid, read = new_grid(self), 0
        never: Deferred[None] = Deferred()

        async def wait(_numbers: Set[int]) -> None:
            await never

        async def body() -> AsyncIterator[bytes]:
            nonlocal read
            while True:
                read += 1
                yield os.urandom(SEGMENT)

        grid.slots(3).before = wait
        writing = Deferred.fromCoroutine(grid.write(body()))
        await until(lambda: grid.requests == 10 and grid.answers == 8)
        await until(lambda: read == 2)
        await grid.cpu.run(int)
        await grid.cpu.run(int)
        self.assertEqual((read, grid.requests), (2, 10))
        grid.slots(3).before = nothing
        writing.cancel()
        with self.assertRaises(CancelledError):
            await writing

    async def test_too_large(self) -> None:
        """A file whose trees would not fit in memory is refused when it gets so long."""
        grid = new_grid(self)
        self.patch(streamed_write, "MAX_TREES_SIZE", 10 * 32 * 7)
        await grid.write(os.urandom(4 * SEGMENT))
        with self.assertRaises(TooLargeForMdmf) as caught:
            await grid.write(os.urandom(4 * SEGMENT + 1))
        self.assertEqual(caught.exception.most, 4 * SEGMENT)
        self.assertEqual((await grid.look()).next_sequence, 2)


class OverwriteTests(TestCase):
    timeout = 120

    async def test_always_readable(self) -> None:
        """Before and after each request one of both versions can be read, whatever k is."""
        for needed, total, servers in ((3, 10, 5), (2, 2, 2), (7, 10, 10), (2, 3, 3)):
            grid = new_grid(self, servers)
            old, new = os.urandom(2 * SEGMENT), os.urandom(3 * SEGMENT)
            await grid.write(old, needed, total)
            seen: list[bytes] = []

            async def look(
                _numbers: Set[int], grid: SlotGrid = grid, seen: list[bytes] = seen
            ) -> None:
                seen.append(await grid.read())

            for number in range(servers):
                grid.slots(number).before = grid.slots(number).after = look
            await grid.write(in_chunks(new, SEGMENT), needed, total)
            self.assertEqual(set(seen), {old, new})
            self.assertTrue((await grid.look()).is_healthy)
            self.assertEqual(len(await grid.shares()), total)

    async def test_again_and_again(self) -> None:
        """Each version replaces the one before; a short one in its places, at once."""
        grid = new_grid(self, 3)
        for number, size in enumerate((3, 5, 1, 0, 2, 4)):
            content = os.urandom(size * SEGMENT)
            done = await grid.write(content, 2, 3)
            self.assertEqual(done.prefix.sequence, number + 1)
            self.assertEqual(await grid.read(), content)
            self.assertTrue((await grid.look()).is_healthy)

    async def test_stale_shares(self) -> None:
        """Shares of other versions, and damaged ones, are no hindrance and do not stay."""
        grid = new_grid(self, 2)
        await grid.write(os.urandom(4 * SEGMENT), 1, 2)
        known = await grid.look()
        for place in known.shares:
            other = next(s for s in grid.servers if s is not place.server)
            for data in (b"\xff" * 5000, os.urandom(6 * SEGMENT)):
                change = SlotChange(writes=[SlotWrite(0, data)])
                await grid.meddle(Place(other, place.number), change)
        content = os.urandom(3 * SEGMENT)
        done = await grid.write(content, 1, 2)
        self.assertEqual((await grid.shares()).keys(), done.placed.keys())
        self.assertTrue((await grid.look()).is_healthy)
        self.assertEqual(await grid.read(), content)
        content_size = len(content)
        lengths = {len(share) for share in (await grid.shares()).values()}
        self.assertEqual(lengths, {2167 + content_size + 4 * 16 + 7 * 32})

    async def test_no_place(self) -> None:
        """Where the new version has no place beside the old one, nothing is written."""
        grid = new_grid(self, 1)
        old = os.urandom(SEGMENT)
        await grid.write(old)
        before = grid.requests
        with self.assertRaises(NoPlaceBeside):
            await grid.write(os.urandom(SEGMENT))
        self.assertEqual((grid.requests, await grid.read()), (before, old))

    async def test_failure(self) -> None:
        """When it fails the old version is there, whole, and nothing of the new one."""
        for begins in (1, 30, 40):
            grid = new_grid(self, 5)
            old = os.urandom(2 * SEGMENT)
            await grid.write(old)
            start = grid.requests

            async def fail(
                _numbers: Set[int],
                grid: SlotGrid = grid,
                start: int = start,
                at: int = begins,
            ) -> None:
                if start + at <= grid.requests < start + 60 - 10:
                    raise NoSpace("disk")

            for number in range(5):
                grid.slots(number).before = fail
            with self.assertRaises(TooFewPlaced):
                await grid.write(os.urandom(3 * SEGMENT))
            for number in range(5):
                grid.slots(number).before = nothing
            found = await grid.look()
            self.assertTrue(found.best and found.best.sequence == 1)
            self.assertEqual(await grid.read(), old)


class OtherWriterTests(TestCase):
    timeout = 120

    async def test_short_write(self) -> None:
        """Somebody's short version that comes amid a long one is not lost."""
        for moment in (1, 15, 35):
            grid = new_grid(self, 5)
            await grid.write(b"first")
            other = SlotGrid(grid.servers, grid.cpu, grid.disk, grid.cap)
            start, done = grid.requests, list[bool]()

            async def interfere(
                _numbers: Set[int],
                grid: SlotGrid = grid,
                other: SlotGrid = other,
                at: int = start + moment,
                done: list[bool] = done,
            ) -> None:
                if not done and grid.requests >= at:
                    done.append(True)
                    await other.write(b"theirs")

            for number in range(5):
                grid.slots(number).after = interfere
            with self.assertRaises(UncoordinatedWrite):
                await grid.write(os.urandom(3 * SEGMENT))
            self.assertTrue(done)
            self.assertEqual(await grid.read(), b"theirs")
            self.assertEqual((await grid.look()).damaged, {})

    async def test_after_the_heads(self) -> None:
        """
        One who knows only the old version can replace its shares until they are gone: then
        nobody is told that they have written.
        """
        grid = new_grid(self, 5)
        await grid.write(b"first")
        other = SlotGrid(grid.servers, grid.cpu, grid.disk, grid.cap)
        answers, outcomes, known = 0, list[Exception](), list[Versions]()

        async def interfere(_numbers: Set[int]) -> None:
            nonlocal answers
            if not known:
                known.append(Versions())
                known.append(await other.look())
            answers += 1
            # All heads are there, and the last server has not said so yet.
            if answers == 50:
                try:
                    await other.write(b"theirs", known=known[1])
                except UncoordinatedWrite as error:
                    outcomes.append(error)

        for number in range(5):
            grid.slots(number).after = interfere
        with self.assertRaises(UncoordinatedWrite):
            await grid.write(os.urandom(3 * SEGMENT))
        self.assertEqual(len(outcomes), 1)
        found = await grid.look()
        self.assertTrue(found.is_forked)

    async def test_two_long_ones(self) -> None:
        """Of two who stream at once at most one has written, and then it is there."""
        for known_before in (False, True):
            for delay in (0, 7, 25):
                grid = new_grid(self, 5)
                if known_before:
                    await grid.write(os.urandom(2 * SEGMENT))
                start = grid.requests
                texts = [os.urandom(3 * SEGMENT), os.urandom(3 * SEGMENT)]
                outcomes: dict[bytes, bool] = {}

                async def write(
                    text: bytes,
                    wait: int,
                    grid: SlotGrid = grid,
                    outcomes: dict[bytes, bool] = outcomes,
                ) -> None:
                    await until(lambda: grid.requests >= wait)
                    known: Versions = await grid.look()
                    try:
                        await grid.write(text, known=known)
                        outcomes[text] = True
                    except (UncoordinatedWrite, TooFewPlaced):
                        outcomes[text] = False

                await together([write(texts[0], 0), write(texts[1], start + delay)])
                winners = [text for text in texts if outcomes[text]]
                self.assertLessEqual(len(winners), 1)
                if winners:
                    self.assertEqual(await grid.read(), winners[0])
