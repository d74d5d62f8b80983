"""Uploads that stay open, on grids of disk servers."""

from __future__ import annotations

import random
import time

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from tests.grids import (
    Grid,
    failing,
    hanging,
    in_chunks,
    until,
)
from tests.uploads.opened import CHOICES, KEY, OpenCase, begin, some_bytes, then_silence
from truckee.codec.caps import ChkReadCap, LiteralCap
from truckee.errors import Unavailable
from truckee.flow.limits import Budget
from truckee.immutable.upload.body import FileTooLarge, UnknownTooLarge
from truckee.immutable.upload.keys import ConvergentKey, GivenKey, RandomKey
from truckee.immutable.upload.options import UploadOptions
from truckee.immutable.upload.sinks import KeyReused
from truckee.status.tasks import LONGEST
from truckee.storage.interfaces import NoSpace
from truckee.uploads.errors import (
    AlreadyStored,
    NoRoomForOpen,
    NotAllThere,
    NotTheEnd,
    PastTheEnd,
    TakenOver,
    TooManyOpen,
    UnknownHandle,
    UploadAborted,
    UploadBroke,
    WrongOffset,
)
from truckee.uploads.registry import OpenLimits
from truckee.uploads.state import State


class BytesTests(OpenCase):
    async def test_pieces(self) -> None:
        """Any number of pieces make one file, with any key, of known size and unknown."""
        data = some_bytes(1000)
        for choice in CHOICES:
            for size in (None, 1000):
                upload = await self.open(choice, size)
                for start in range(0, 1000, 300):
                    piece = data[start : start + 300]
                    self.assertEqual(
                        await upload.append(start, in_chunks(piece, 70)),
                        start + len(piece),
                    )
                    self.assertIs(upload.state, State.OPEN)
                await self.assert_stored(upload, data)
                self.assertEqual(upload.status.route, "servers")

    async def test_literal(self) -> None:
        """A file that fits into its cap does so here, too."""
        for choice in CHOICES:
            for size in (0, 1, 55, 56):
                for known in (True, False):
                    data = some_bytes(size)
                    upload = await self.open(choice, size if known else None)
                    await upload.append(None, in_chunks(data, 20))
                    await self.assert_stored(upload, data)
                    self.assertEqual(isinstance(upload.cap, LiteralCap), size <= 55)

    async def test_same_cap_as_in_one_piece(self) -> None:
        """A convergent file has the cap that it has when it comes in one piece."""
        data = some_bytes(500)
        upload = await self.open(ConvergentKey())
        await upload.append(0, in_chunks(data, 33))
        cap = await upload.close()
        whole = self.grid.uploader.upload(
            in_chunks(data, 500), UploadOptions(ConvergentKey(), 500)
        )
        self.assertEqual(await whole, cap)

    async def test_sent_again(self) -> None:
        """Bytes that are there already are passed over, wherever the piece begins."""
        data = some_bytes(400)
        upload = await self.open()
        await upload.append(0, in_chunks(data[:200], 50))
        for start in (0, 1, 49, 50, 51, 199, 200):
            self.assertEqual(await upload.append(start, in_chunks(data[start:200], 7)), 200)
        self.assertEqual(await upload.append(150, in_chunks(data[150:300], 40)), 300)
        self.assertEqual(await upload.append(0, in_chunks(data, 90)), 400)
        await self.assert_stored(upload, data)
        # The answer was lost.
        self.assertEqual(await upload.append(300, in_chunks(data[300:], 90)), 400)

    async def test_gap(self) -> None:
        """A piece behind a gap is refused, takes nothing, and disturbs nobody."""
        data = some_bytes(300)
        upload = await self.open()
        writer = begin(upload.append(0, then_silence(data[:200])))
        await until(lambda: upload.offset == 200)
        with self.assertRaises(WrongOffset) as caught:
            await upload.append(201, in_chunks(data[201:], 50))
        self.assertEqual((caught.exception.given, caught.exception.offset), (201, 200))
        self.assertFalse(writer.called)
        await upload.append(200, in_chunks(data[200:], 50))
        await self.assertFailure(writer, TakenOver)
        await self.assert_stored(upload, data)

    async def test_without_an_offset(self) -> None:
        """A piece that does not say where it begins comes behind what is there."""
        upload = await self.open()
        for piece in (b"a" * 100, b"", b"b" * 100):
            await upload.append(None, in_chunks(piece, 30))
        await self.assert_stored(upload, b"a" * 100 + b"b" * 100)

    async def test_waits_for_the_slow(self) -> None:
        """A chunk is answered when the servers have room for more, not before."""
        upload = await self.open(GivenKey(KEY), 100_000)
        for server in self.grid.servers:
            server.mood = hanging("write")
        writer = begin(upload.append(0, in_chunks(some_bytes(100_000), 1000)))
        await until(lambda: upload.offset)
        for _ in range(3):
            before = upload.offset
            await until(lambda: True)
        self.assertFalse(writer.called)
        self.assertLess(before, 100_000)
        await upload.abort()
        await self.assertFailure(writer, UploadAborted)
        self.assert_nothing_left()


class SizeTests(OpenCase):
    async def test_too_short(self) -> None:
        """Closed before all is there, it says so, stays open, and can go on."""
        data = some_bytes(300)
        upload = await self.open(size=300)
        await self.assertFailure(begin(upload.close()), NotAllThere)
        await upload.append(0, in_chunks(data[:299], 50))
        await self.assertFailure(begin(upload.close()), NotAllThere)
        self.assertIs(upload.state, State.OPEN)
        await upload.append(299, in_chunks(data[299:], 50))
        await self.assert_stored(upload, data)

    async def test_another_end(self) -> None:
        """Closed by one who thinks that it ends elsewhere, it says so and stays open."""
        upload = await self.open()
        await upload.append(0, in_chunks(bytes(200), 50))
        for end in (0, 199, 201):
            await self.assertFailure(begin(upload.close(end)), NotTheEnd)
        self.assertIs(upload.state, State.OPEN)
        cap = await upload.close(200)
        self.assertEqual(await upload.close(200), cap)
        await self.assertFailure(begin(upload.close(0)), NotTheEnd)

    async def test_too_long(self) -> None:
        """Bytes behind the promised end are refused; those before it count."""
        data = some_bytes(300)
        upload = await self.open(size=300)
        await self.assertFailure(
            begin(upload.append(0, in_chunks(data + b"more", 100))), PastTheEnd
        )
        self.assertEqual(upload.offset, 300)
        await self.assert_stored(upload, data)
        await self.assertFailure(
            begin(upload.append(300, in_chunks(b"more", 100))), PastTheEnd
        )

    async def test_larger_than_its_bound(self) -> None:
        """One of unknown size fails when it grows past its bound, and nothing is kept."""
        upload = await self.new().open(UploadOptions(RandomKey(), max_size=500))
        await self.assertFailure(self.filled(upload, bytes(600)), UnknownTooLarge)
        self.assertIs(upload.state, State.FAILED)
        await until(lambda: len(self.kept()) == 1)  # the reason
        self.assert_nothing_running()

    async def test_larger_than_any(self) -> None:
        """One that would be too large is not opened."""
        uploads = self.new(Grid.new(self, max_size=1000))
        await self.assertFailure(
            begin(uploads.open(UploadOptions(RandomKey(), 1001))), FileTooLarge
        )
        self.assertEqual(len(uploads), 0)


class WriterTests(OpenCase):
    async def test_takeover(self) -> None:
        """Who comes later goes on at once, and who hangs is cut off; its bytes count."""
        data = some_bytes(600)
        upload = await self.open()
        writers = []
        for start in range(0, 500, 100):
            writers.append(begin(upload.append(start, then_silence(data[start:][:100]))))
            await self.taken(upload, start + 100)
            self.assertEqual([each.called for each in writers].count(False), 1)
        began = time.monotonic()
        await upload.append(500, in_chunks(data[500:], 100))
        self.assertLess(time.monotonic() - began, 2)
        for writer in writers:
            await self.assertFailure(writer, TakenOver)
        await self.assert_stored(upload, data)

    async def test_takeover_while_servers_hang(self) -> None:
        """One who waits for servers is cut off as well; the next one waits in its place."""
        data = some_bytes(20_000)
        upload = await self.open(GivenKey(KEY), 20_000)
        gates: list[Deferred[None]] = []

        async def gated(operation: str, share: int) -> None:
            if operation == "write" and gates is not None:
                gate: Deferred[None] = Deferred()
                gates.append(gate)
                await gate

        for server in self.grid.servers:
            server.mood = gated
        first = begin(upload.append(0, in_chunks(data, 1000)))
        await until(lambda: gates)
        second = begin(upload.append(0, in_chunks(data, 1000)))
        await self.assertFailure(first, TakenOver)
        while not second.called:
            await until(lambda: gates or second.called)
            while gates:
                gates.pop().callback(None)
        self.assertEqual(await second, 20_000)
        for server in self.grid.servers:
            server.mood = failing()
        await self.assert_stored(upload, data)

    async def test_client_gone(self) -> None:
        """What a client brought before it went away counts."""
        data = some_bytes(300)
        upload = await self.open()
        writer = begin(upload.append(0, then_silence(data[:150])))
        await until(lambda: upload.offset == 150)
        writer.cancel()
        await self.assertFailure(writer, CancelledError)
        self.assertIs(upload.state, State.OPEN)
        await upload.append(100, in_chunks(data[100:], 50))
        await self.assert_stored(upload, data)

    async def test_random_cuts(self) -> None:
        """Cut anywhere and any number of times, what comes out is the file."""
        chance = random.Random(7)
        for turn in range(40):
            data = some_bytes(chance.randrange(3000), turn)
            size = chance.choice((None, len(data)))
            upload = await self.open(chance.choice(CHOICES), size)
            while upload.offset < len(data):
                start = chance.randint(0, upload.offset)
                end = chance.randint(upload.offset, len(data))
                writer = begin(
                    upload.append(
                        start, then_silence(data[start:end], chance.randint(1, 99))
                    )
                )
                goal = chance.randint(upload.offset, end)
                await self.taken(upload, goal)
                if chance.random() < 0.5:
                    writer.cancel()
                writer.addErrback(lambda _: None)
            await self.assert_stored(upload, data)


class EndTests(OpenCase):
    async def test_close_goes_on(self) -> None:
        """A client that goes away while it waits for the cap can ask for it again."""
        data = some_bytes(300)
        upload = await self.open()
        await upload.append(0, in_chunks(data, 100))
        closing = begin(upload.close())
        self.assertIs(upload.state, State.CLOSING)
        closing.cancel()
        await self.assertFailure(closing, CancelledError)
        others = [begin(upload.close()) for _ in range(3)]
        self.assertEqual({await each for each in others}, {await upload.close()})
        await self.assert_stored(upload, data)

    async def test_append_behind_the_end(self) -> None:
        """A closed upload takes the same bytes again, and no others."""
        data = some_bytes(300)
        upload = await self.open()
        await upload.append(0, in_chunks(data, 100))
        closing = begin(upload.close())
        self.assertEqual(await upload.append(200, in_chunks(data[200:], 9)), 300)
        await self.assertFailure(begin(upload.append(300, in_chunks(b"x", 9))), PastTheEnd)
        await closing
        await self.assertFailure(begin(upload.append(299, in_chunks(b"xy", 9))), PastTheEnd)
        await self.assertFailure(begin(upload.append(301, in_chunks(b"x", 9))), WrongOffset)

    async def test_abort(self) -> None:
        """Aborted at any moment, nothing is left within a second, and all are told."""
        data = some_bytes(300)
        for choice in CHOICES:
            for taken in (0, 1, 150, 300):
                upload = await self.open(choice)
                writer = begin(upload.append(0, then_silence(data[:taken])))
                await self.taken(upload, taken)
                began = time.monotonic()
                await upload.abort()
                self.assertLess(time.monotonic() - began, 1)
                self.assert_nothing_left()
                self.assertIs(upload.state, State.ABORTED)
                await self.assertFailure(writer, UploadAborted)
                await upload.abort()
                await self.assertFailure(
                    begin(upload.append(0, in_chunks(data, 100))), UploadAborted
                )
                await self.assertFailure(begin(upload.close()), UploadAborted)

    async def test_abort_while_closing(self) -> None:
        """It can be aborted until it is stored, by several at once."""
        upload = await self.open()
        await upload.append(0, in_chunks(some_bytes(300), 100))
        for server in self.grid.servers:
            server.mood = hanging("close")
        closing = begin(upload.close())
        await until(lambda: True)
        both = [begin(upload.abort()) for _ in range(2)]
        for each in both:
            await each
        await self.assertFailure(closing, UploadAborted)
        self.assert_nothing_left()

    async def test_stored_while_aborting(self) -> None:
        """A run that ends while its upload is aborted changes nothing any more."""
        upload = await self.open()
        await upload.append(0, in_chunks(some_bytes(300), 100))
        for server in self.grid.servers:
            server.mood = hanging("close")
        closing = begin(upload.close())
        run = upload.run
        assert run is not None
        aborting = begin(upload.abort())
        upload.run_ended(run, LiteralCap(b"x"))
        self.assertIs(upload.state, State.ABORTED)
        self.assertIsNone(upload.cap)
        await run.stop()  # it has not ended by itself
        await aborting
        await self.assertFailure(closing, UploadAborted)
        self.assert_nothing_left()

    async def test_abort_too_late(self) -> None:
        """What is stored is not aborted any more."""
        upload = await self.open()
        await upload.append(0, in_chunks(some_bytes(300), 100))
        await upload.close()
        await self.assertFailure(begin(upload.abort()), AlreadyStored)
        self.assertIs(upload.state, State.STORED)


class ErrorTests(OpenCase):
    async def test_every_step(self) -> None:
        """
        An error of servers reaches who appends or closes; the upload stays open, and is
        stored when they are well again.
        """
        data = some_bytes(3000)
        for operation in ("allocate", "write", "close"):
            upload = await self.open()
            for server in self.grid.servers:
                server.mood = failing(operation, error=NoSpace("server"))
            with self.assertRaises(Unavailable) as caught:
                await upload.append(0, in_chunks(data, 100))
                await upload.close()
            self.assertIs(caught.exception, upload.error)
            self.assertFalse(upload.ended)
            for server in self.grid.servers:
                server.mood = failing()
            await upload.append(upload.offset, in_chunks(data[upload.offset :], 100))
            await self.assert_stored(upload, data)
            self.assertIs(upload.error, None)

    async def test_tried_again(self) -> None:
        """One that was closed is tried again by itself, and at once when it is asked."""
        data = some_bytes(3000)
        clock = Clock()
        uploads = self.new(clock=clock)
        for ask in (False, True):
            upload = await uploads.open(UploadOptions(RandomKey()))
            await upload.append(0, in_chunks(data, 100))
            for server in self.grid.servers:
                server.mood = failing("write")
            await self.assertFailure(begin(upload.close()), Unavailable)
            self.assertEqual((upload.state, upload.run), (State.CLOSING, None))
            for server in self.grid.servers:
                server.mood = failing()
            if not ask:
                clock.advance(2)
                await self.ended(upload)
            await self.assert_stored(upload, data)

    async def test_never_well(self) -> None:
        """One that cannot be stored is tried less and less often, and expires."""
        clock = Clock()
        uploads = self.new(clock=clock, limits=OpenLimits(expire_after=86400))
        upload = await uploads.open(UploadOptions(RandomKey()))
        await upload.append(0, in_chunks(some_bytes(300), 100))
        for server in self.grid.servers:
            server.mood = failing("write")
        await self.assertFailure(begin(upload.close()), Unavailable)
        for delay in (2, 4, 8, 16, 32, 64, 128, 256, 300, 300):
            clock.advance(delay - 1)
            self.assertIs(upload.run, None)
            clock.advance(1)
            self.assertIsNot(upload.run, None)
            await self.set_back(upload)
        clock.advance(86400)
        self.assertRaises(UnknownHandle, uploads.find, upload.handle)
        await until(lambda: not self.kept())

    async def test_while_nobody_is_there(self) -> None:
        """What is in the way while nobody waits is told, and tried again when one asks."""
        upload = await self.open()
        await upload.append(0, in_chunks(some_bytes(300), 100))
        for server in self.grid.servers:
            server.mood = failing("write")
        closing = begin(upload.close())
        closing.cancel()
        await self.assertFailure(closing, CancelledError)
        await until(lambda: upload.error)
        await self.assertFailure(begin(upload.close()), Unavailable)

    async def test_key_reused(self) -> None:
        """Another file under the same key is refused, here as in one piece."""
        uploads = self.new()
        for seed, error in ((0, None), (0, None), (1, KeyReused)):
            upload = await uploads.open(UploadOptions(GivenKey(KEY)))
            data = some_bytes(500, seed)
            if error is None:
                await upload.append(0, in_chunks(data, 100))
                await self.assert_stored(upload, data)
            else:
                with self.assertRaises(error):
                    await upload.append(0, in_chunks(data, 100))
                    await upload.close()
                await self.assertFailure(begin(upload.close()), error)

    async def test_mistakes_of_ours(self) -> None:
        """An error that is none of the user's business is logged, and told in general."""
        upload = await self.open()

        async def broken(*_: object) -> None:
            raise ZeroDivisionError

        self.grid.uploader._sinks = broken  # type: ignore[assignment]
        with self.assertRaises(UploadBroke):
            await upload.append(0, in_chunks(some_bytes(300), 100))
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        self.assertEqual(self.grid.budget.used, 0)


class TableTests(OpenCase):
    async def test_handles(self) -> None:
        """Handles are unguessable, of URL-safe ASCII, and in no representation."""
        uploads = self.new(limits=OpenLimits(open=50))
        made = [await uploads.open(UploadOptions(RandomKey())) for _ in range(50)]
        self.assertEqual(len({each.handle for each in made}), 50)
        for each in made:
            self.assertRegex(each.handle, r"\A[A-Za-z0-9_-]{24}\Z")
            self.assertIs(uploads.find(each.handle), each)
            self.assertNotIn(each.handle, repr(each) + repr(uploads))
        for handle in ("", "open", made[0].handle[:-1], made[0].handle.swapcase()):
            self.assertRaises(UnknownHandle, uploads.find, handle)

    async def test_too_many(self) -> None:
        """There is a bound on those that are open; one that ended makes room."""
        uploads = self.new(limits=OpenLimits(open=2))
        first = await uploads.open(UploadOptions(RandomKey()))
        second = await uploads.open(UploadOptions(RandomKey()))
        for each in (first, second):
            await each.append(0, in_chunks(b"x", 1))
        await self.assertFailure(
            begin(uploads.open(UploadOptions(RandomKey()))), TooManyOpen
        )
        await first.close()
        third = await uploads.open(UploadOptions(RandomKey()))
        await third.append(0, in_chunks(b"x", 1))
        await uploads.abort(second)
        self.assertRaises(UnknownHandle, uploads.find, second.handle)
        await uploads.open(UploadOptions(RandomKey()))
        self.assertEqual(len(uploads), 3)
        self.assertIs(uploads.find(third.handle), third)

    async def test_half_of_the_memory(self) -> None:
        """Idle handles leave room for files in one piece; who finds none is kept."""
        grid = Grid.new(self, budget=Budget(16 << 20))
        uploads = self.new(grid)
        most = grid.uploader.most_active
        self.assertGreater(most, 4)
        made = [await uploads.open(UploadOptions(RandomKey())) for _ in range(most)]
        for each in made:
            await each.append(0, in_chunks(bytes(100), 100))
        self.assertEqual(grid.uploader.active, most // 2)
        cap = await grid.uploader.upload(
            in_chunks(bytes(100), 9), UploadOptions(RandomKey(), 100)
        )
        assert isinstance(cap, ChkReadCap)
        late = made[-1]
        closing = begin(late.close())
        self.assertIs(late.run, None)
        await uploads.abort(made[0])
        await closing
        self.assertEqual(await late.close(), late.cap)

    async def test_room_of_the_idle(self) -> None:
        """Who waits for its client for long gives its memory to one who closes."""
        clock = Clock()
        grid = Grid.new(self, budget=Budget(16 << 20))
        uploads = self.new(grid, clock)
        most = grid.uploader.most_active
        made = []
        for _ in range(most // 2 + 1):
            made.append(await uploads.open(UploadOptions(RandomKey())))
            await made[-1].append(0, in_chunks(bytes(100), 100))
            clock.advance(1)
        clock.advance(10)
        await self.assert_closed(made[-1], bytes(100))
        self.assertIs(made[0].run, None)
        self.assertIsNot(made[1].run, None)
        await self.assert_closed(made[0], bytes(100))

    async def test_parked(self) -> None:
        """Ten minutes without a client free memory and servers; then it goes on."""
        data = some_bytes(3000)
        for choice in CHOICES:
            clock = Clock()
            uploads = self.new(clock=clock)
            upload = await uploads.open(UploadOptions(choice))
            await upload.append(0, in_chunks(data[:2000], 100))
            self.assertIsNot(upload.run, None)
            clock.advance(600)
            await until(lambda: not self.grid.uploader.active)
            self.assert_nothing_running()
            await upload.append(2000, in_chunks(data[2000:], 100))
            await self.assert_stored(upload, data)

    async def test_no_memory_now(self) -> None:
        """Chunks are kept while others have the memory."""
        grid = Grid.new(self, budget=Budget(1))
        uploads = self.new(grid)
        upload = await uploads.open(UploadOptions(RandomKey()))
        other = begin(
            grid.uploader.upload(
                then_silence(bytes(100)), UploadOptions(RandomKey(), 200)
            )  # busy
        )
        await upload.append(0, in_chunks(bytes(100), 100))
        self.assertEqual((upload.offset, upload.run), (100, None))
        other.cancel()
        await self.assertFailure(other, CancelledError)
        await self.assert_stored(upload, bytes(100))

    async def test_no_space(self) -> None:
        """All that are open have so many bytes of the disk, and no more."""
        uploads = self.new(Grid.new(self, spool_limit=1000))
        first, second = [await uploads.open(UploadOptions(RandomKey())) for _ in range(2)]
        await first.append(0, in_chunks(bytes(600), 100))
        await self.assertFailure(
            begin(second.append(0, in_chunks(bytes(600), 100))), NoRoomForOpen
        )
        self.assertEqual(second.offset, 400)
        await self.assert_closed(first, bytes(600))
        await second.append(400, in_chunks(bytes(200), 100))
        await self.assert_closed(second, bytes(600))

    async def test_same_key(self) -> None:
        """To open one under a key gives up an older one that nobody has the handle of."""
        uploads = self.new()
        lost = await uploads.open(UploadOptions(GivenKey(KEY)))
        await lost.append(0, in_chunks(bytes(100), 100))
        other = await uploads.open(UploadOptions(GivenKey(b"f" * 16)))
        upload = await uploads.open(UploadOptions(GivenKey(KEY)))
        self.assertIs(lost.state, State.ABORTED)
        self.assertIs(other.state, State.OPEN)
        self.assertRaises(UnknownHandle, uploads.find, lost.handle)
        await upload.append(0, in_chunks(some_bytes(200), 100))
        await self.assert_stored(upload, some_bytes(200))

    async def test_expiry(self) -> None:
        """One that nobody goes on with is given up, from its last byte on."""
        clock = Clock()
        uploads = self.new(clock=clock, limits=OpenLimits(expire_after=100, keep=30))
        upload = await uploads.open(UploadOptions(RandomKey()))
        idle = await uploads.open(UploadOptions(RandomKey()))
        clock.advance(60)
        await upload.append(0, in_chunks(bytes(100), 100))
        self.assertEqual(uploads.time_left(upload), 100)
        clock.advance(39)
        self.assertIs(uploads.find(idle.handle), idle)
        clock.advance(1)
        self.assertRaises(UnknownHandle, uploads.find, idle.handle)
        self.assertIs(uploads.find(upload.handle), upload)
        clock.pump([1] * 61)
        self.assertRaises(UnknownHandle, uploads.find, upload.handle)
        await until(lambda: not (self.grid.uploader.active or self.kept()))
        self.assertIs(upload.state, State.ABORTED)
        self.assertEqual(len(uploads), 0)
        self.assert_nothing_left()
        await until(lambda: not self.tasks.active())
        clock.advance(LONGEST)  # its task is looked at no more
        self.assertEqual(clock.getDelayedCalls(), [])

    async def test_kept(self) -> None:
        """A cap can be fetched again for a while; of many, the last ones."""
        clock = Clock()
        uploads = self.new(clock=clock, limits=OpenLimits(keep=30, kept=2))
        made = []
        for _ in range(4):
            upload = await uploads.open(UploadOptions(RandomKey()))
            await upload.close()
            made.append(upload)
            clock.advance(1)
        clock.advance(25)
        self.assertIs(uploads.find(made[0].handle), made[0])
        clock.advance(2)
        self.assertRaises(UnknownHandle, uploads.find, made[0].handle)
        for each in made[2:]:
            self.assertIs(uploads.find(each.handle), each)
        clock.pump([10] * 4)
        self.assertEqual(len(uploads), 0)

    async def test_closing_does_not_expire(self) -> None:
        """An upload that has all its bytes waits for slow servers as long as it takes."""
        clock = Clock()
        uploads = self.new(clock=clock, limits=OpenLimits(expire_after=10, keep=30))
        upload = await uploads.open(UploadOptions(RandomKey()))
        await upload.append(0, in_chunks(bytes(100), 100))
        closing = begin(upload.close())
        clock.pump([5] * 10)
        self.assertIs(uploads.find(upload.handle), upload)
        await closing

    async def test_stop(self) -> None:
        """At the end of the node nothing goes on, and nothing more is opened."""
        uploads = self.new()
        made = [await uploads.open(UploadOptions(each)) for each in CHOICES]
        for each in made:
            await each.append(0, in_chunks(bytes(300), 100))
        await uploads.stop()
        self.assert_nothing_running()
        await self.assertFailure(
            begin(uploads.open(UploadOptions(RandomKey()))), TooManyOpen
        )
