"""A gateway and its helper, over a line that breaks at any moment."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, calm, failing, hanging, new_small_disk, pause, until
from tests.helper.helped import (
    INDEX,
    KEY,
    PARAMETERS,
    Content,
    Gateway,
    Helped,
    begin,
    cut,
)
from truckee.codec.geometry import Encoding
from truckee.grid.selection import NotEnoughServers
from truckee.helper.errors import (
    ContentDiffers,
    HelperBusy,
    HelperFull,
    HelperRefuses,
    HelperSilent,
)
from truckee.helper.gateway.connection import NoHelper
from truckee.helper.gateway.push_session import HelperForgot
from truckee.helper.gateway.push_sink import HelperSink
from truckee.helper.gateway.timeouts import HelperPatience
from truckee.helper.ownership import NOBODY
from truckee.helper.server.limits import HelperLimits
from truckee.helper.server.upload import HelperUpload
from truckee.helper.wire import Parameters
from truckee.immutable.upload.sinks import KeyReused, NewFile

SIZE = 300
SHORT = HelperPatience(absent=0.5, silent=0.5, again=0.02)
LARGE = Encoding(2, 3, 1 << 16)
# How a file is opened whose client chose the key, and one whose content did.
GIVEN = {"guarded": True, "resumable": True}
CONVERGENT = {"resumable": True}


class _Case(TestCase):
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        self.content = Content(SIZE)
        await self.start()

    async def start(self, patience: HelperPatience | None = None, **options: Any) -> None:
        """Have a helper and a gateway."""
        self.helped = Helped.new(self, **options)
        self.helped.listen()
        more = {} if patience is None else {"patience": patience}
        self.gateway = await Gateway.of(self.helped, **more)

    @property
    def fetched(self) -> int:
        """Bytes that the helper took so far."""
        return self.helped.uploads.counters.get("fetched_bytes", 0)

    async def hold(self, data: bytes, parameters: Parameters = PARAMETERS) -> None:
        """Have the helper hold the start of a file."""
        upload = await self.helped.uploads.open(
            INDEX, parameters, None, owner=self.gateway.owner
        )
        assert isinstance(upload, HelperUpload)
        await upload.append(0, data)
        upload.leave()
        await self.helped.assert_settled()

    async def settled(self) -> None:
        """Wait until no upload is under way."""
        await until(lambda: not self.helped.uploads.active)
        await self.helped.assert_settled()


class StoreTests(_Case):
    async def test_status(self) -> None:
        """The client can be told which way its file went, and where its shares are."""
        for known in (True, False):
            file = NewFile(INDEX, SIZE if known else None, 1 << 20)
            sink = await self.gateway.sinks.open(file)
            await sink.write(self.content.ciphertext)
            self.assertEqual(file.status.route, "helper")
            cap = await sink.close()
            self.assertEqual(cap.read_cap(KEY), self.content.cap)
            self.assertEqual(file.status.held, SIZE)
            self.assertEqual(sorted(file.status.shares), [0, 1, 2])
            self.assertEqual(file.status.happiness, 3)
            await self.helped.assert_stored(self.content)
            self.helped.remove_shares()

    async def test_shapes(self) -> None:
        """Files of any size and shape get the caps that they have when stored directly."""
        for encoding in (Encoding(1, 1, 64), Encoding(3, 10, 100), Encoding(5, 7, 64)):
            await self.start(encoding=encoding)
            segment = encoding.streaming_segment_size
            for size in (56, segment, segment + 1, 3 * segment, 1001):
                content = Content(size, encoding)
                for known in (True, False):
                    cap = await self.gateway.push(content, known=known, chunk=70)
                    self.assertEqual(cap, content.cap)
                    await self.helped.assert_stored(content)
                    self.helped.remove_shares()

    async def test_large(self) -> None:
        """A file of many messages arrives, each byte once."""
        await self.start(encoding=LARGE)
        content = Content(5_000_000, LARGE)
        self.assertEqual(await self.gateway.push(content, chunk=100_000), content.cap)
        self.assertEqual(self.fetched, content.size)
        await self.helped.assert_stored(content)

    async def test_present(self) -> None:
        """Of a file that is there nothing is sent; with one share missing all is."""
        await self.gateway.push(self.content)
        for known in (True, False):
            before = self.fetched
            cap = await self.gateway.push(self.content, known=known)
            self.assertEqual((cap, self.fetched), (self.content.cap, before))
            await self.helped.assert_stored(self.content)
            file = NewFile(INDEX, SIZE if known else None, 1 << 20)
            sink = await self.gateway.sinks.open(file)
            await sink.write(self.content.ciphertext)
            await sink.close()
            self.assertEqual(sorted(file.status.shares), [0, 1, 2])
            self.assertEqual(file.status.happiness, 3)
            [path, *_] = self.helped.grid.servers[1].directory.home(INDEX).iterdir()
            path.unlink()
            cap = await self.gateway.push(self.content, known=known)
            self.assertEqual((cap, self.fetched), (self.content.cap, before + SIZE))
            await self.helped.assert_stored(self.content)

    async def test_two_gateways(self) -> None:
        """Two push the same file at once: each byte is taken once, both get the cap."""
        await self.start(encoding=LARGE)
        other = await Gateway.of(self.helped, number=2)
        for seed in range(6):
            content = Content(2_000_000, LARGE)
            before = self.fetched
            chance = random.Random(seed)
            work = [
                begin(
                    gateway.push(
                        content,
                        known=seed % 2 == 0,
                        chunk=chance.randrange(10_000, 300_000),
                        **CONVERGENT,
                    )
                )
                for gateway in (self.gateway, other)
            ]
            for each in work:
                self.assertEqual(await each, content.cap)
            self.assertEqual(self.fetched - before, content.size)
            await self.helped.assert_stored(content)
            self.helped.remove_shares()

    async def test_one_of_two_ends(self) -> None:
        """When one of two gateways ends in the middle, the other's file is stored."""
        await self.start(encoding=LARGE)
        other = await Gateway.of(self.helped, number=2)
        content = Content(2_000_000, LARGE)
        for options in (CONVERGENT, {}):
            ending = await other.open(content.size, **options)
            pushing = begin(self.gateway.push(content, chunk=50_000, **CONVERGENT))
            await ending.write(content.ciphertext[:300_000])
            await ending.abort()
            self.assertEqual(await pushing, content.cap)
            await self.helped.assert_stored(content)
            self.helped.remove_shares()


class PrefixTests(_Case):
    async def test_same_file(self) -> None:
        """What the helper holds of the file is not sent again."""
        for held in (1, 63, 64, 65, 128, 200, SIZE - 1, SIZE):
            for known in (True, False):
                for options in (GIVEN, CONVERGENT):
                    await self.hold(self.content.ciphertext[:held])
                    before = self.fetched
                    cap = await self.gateway.push(
                        self.content, known=known, chunk=37, **options
                    )
                    self.assertEqual(cap, self.content.cap)
                    self.assertEqual(self.fetched - before, SIZE - held)
                    await self.helped.assert_stored(self.content)
                    self.helped.remove_shares()

    async def test_other_file_with_a_given_key(self) -> None:
        """Under a given key no byte of a second file leaves, and the first one is kept."""
        other = Content(SIZE + 200, seed=5).ciphertext
        for held in (1, 64, 200, SIZE - 1, SIZE, SIZE + 1, SIZE + 200):
            for known in (True, False):
                await self.hold(other[:held])
                before = self.fetched
                with self.assertRaises(KeyReused):
                    await self.gateway.push(self.content, known=known, chunk=50, **GIVEN)
                self.assertEqual(self.fetched, before)
                await self.settled()
                self.assertEqual(self.helped.path("incoming").read_bytes(), other[:held])
                self.helped.path("incoming").unlink()
                self.helped.uploads.give(NOBODY, held)

    async def test_shorter_file_with_a_given_key(self) -> None:
        """Nor is the start of a file taken for the whole of it."""
        longer = Content(SIZE + 100)
        longer.ciphertext = self.content.ciphertext + bytes(100)
        for known in (True, False):
            await self.hold(longer.ciphertext)
            with self.assertRaises(KeyReused):
                await self.gateway.push(self.content, known=known, **GIVEN)
            await self.settled()
            self.assertEqual(list(self.helped.kept.values()), [SIZE + 100])
            self.helped.path("incoming").unlink()
            self.helped.uploads.give(NOBODY, SIZE + 100)

    async def test_other_file_otherwise(self) -> None:
        """Else what is held was damaged: it is forgotten, and the next attempt is well."""
        other = Content(SIZE + 200, seed=5).ciphertext
        for held in (1, 64, 200, SIZE - 1, SIZE, SIZE + 1, SIZE + 200):
            await self.hold(other[:held])
            before = self.fetched
            with self.assertRaises(ContentDiffers):
                await self.gateway.push(self.content, chunk=50, **CONVERGENT)
            self.assertEqual(self.fetched, before)
            await self.helped.assert_nothing_kept()
            await self.gateway.push(self.content, chunk=50, **CONVERGENT)
            await self.helped.assert_stored(self.content)
            self.helped.remove_shares()

    async def test_damaged_behind_us(self) -> None:
        """What goes wrong on the helper's disk is found by the root, and forgotten."""
        for known in (True, False):
            sink = await self.gateway.open(SIZE if known else None, **CONVERGENT)
            gate: Deferred[None] = Deferred()
            turn = begin(self.turn(gate))
            writing = begin(sink.write(self.content.ciphertext))
            await pause(0.02)
            gate.callback(None)
            await turn
            await writing
            await until(lambda: self.helped.upload().held >= 256)
            path = self.helped.path("incoming")
            if not path.exists():
                path = self.helped.path("encoding")
            with path.open("r+b") as file:
                file.seek(10)
                file.write(b"damaged")
            try:
                cap = await sink.close()
            except ContentDiffers:
                await sink.abort()
                await self.helped.assert_nothing_kept()
                self.assertEqual(self.helped.grid.shares(INDEX), {})
            else:
                # Its first segment was coded before.
                self.assertEqual(cap.read_cap(KEY), self.content.cap)
                await self.helped.assert_stored(self.content)
                self.helped.remove_shares()

    async def turn(self, gate: Deferred[None]) -> None:
        async with self.helped.upload()._turn.hold("file"):
            await gate


class CutTests(_Case):
    async def push_with(
        self, content: Content, seed: int, what: Callable[[], Awaitable[None]]
    ) -> None:
        """Push a file, with *what* happening a few times on the way."""
        chance = random.Random(seed)
        options: dict[str, Any] = (GIVEN, CONVERGENT, {})[seed % 3]
        # The last cut may have come when the file before was stored already.
        await until(lambda: self.gateway.connection.connected)
        sink = await self.gateway.open(content.size if seed % 2 else None, **options)
        sent = 0
        moments = sorted(chance.randrange(content.size) for _ in range(3))
        while sent < content.size:
            step = chance.randrange(1, 200_000)
            await sink.write(content.ciphertext[sent : sent + step])
            sent += step
            while moments and moments[0] <= sent:
                moments.pop(0)
                await pause(chance.random() * 0.01)
                await what()
        closing = begin(sink.close())
        if seed % 4 == 0:
            await pause(chance.random() * 0.02)
            await what()
        self.assertEqual((await closing).read_cap(KEY), content.cap)
        await self.helped.assert_stored(content)
        # Each byte was taken once, whatever was sent.
        self.assertLessEqual(sink.session.resent, 4 << 20)
        self.helped.remove_shares()

    async def test_cuts(self) -> None:
        """Broken at any moments, on either side, it goes on and each byte is taken once."""
        await self.start(encoding=LARGE)
        content = Content(1_500_000, LARGE)
        for seed in range(24):
            tub = self.helped.tub if seed % 2 else self.gateway.tub
            before = self.fetched

            async def what(tub: Any = tub) -> None:
                cut(tub)

            await self.push_with(content, seed, what)
            self.assertEqual(self.fetched - before, content.size)

    async def test_cuts_cost_the_grid_nothing(self) -> None:
        """What was stored before a cut is not stored again after it."""
        await self.start(encoding=LARGE, linger=5.0)
        content = Content(1_500_000, LARGE)
        written: list[int] = []

        async def count(operation: str, share: int) -> None:
            if operation in ("allocate", "write"):
                written.append(share)

        for server in self.helped.grid.servers:
            server.mood = count
        sink = await self.gateway.open(content.size)
        await sink.write(content.ciphertext)
        await sink.close()
        usual = len(written)
        self.helped.remove_shares()
        written.clear()

        async def what() -> None:
            cut(self.helped.tub)

        await self.push_with(content, 1, what)
        # Writes may be divided otherwise.
        self.assertLess(len(written), usual + 12)

    async def test_restarts(self) -> None:
        """The helper may end and begin again in between, as another process would."""
        await self.start(encoding=LARGE)
        content = Content(1_500_000, LARGE)
        for seed in range(8):
            await self.push_with(content, seed, self.helped.restart)

    async def test_at_any_byte_of_the_prefix(self) -> None:
        """
        Broken while the client brings what the helper holds already, it goes on, whether
        the helper holds the same then, or more, or less.
        """
        data = self.content.ciphertext
        for now in (200, 260, 130, 128, 100, 0):
            for options in (GIVEN, CONVERGENT):
                await self.hold(data[:200])
                sink = await self.gateway.open(SIZE, **options)
                await sink.write(data[:130])
                await self.helped.stop()
                self.helped.path("incoming").write_bytes(data[:now])
                self.helped.start()
                self.helped.listen()
                try:
                    await sink.write(data[130:])
                    cap = await sink.close()
                except HelperForgot:
                    # These bytes are gone here, or were never compared.
                    self.assertLess(now, 192)
                    await sink.abort()
                    await self.settled()
                    upload = await self.helped.uploads.open(
                        INDEX, PARAMETERS, SIZE, owner=self.gateway.owner
                    )
                    assert isinstance(upload, HelperUpload)
                    upload.leave(forget=True)
                else:
                    self.assertGreaterEqual(now, 128)
                    self.assertEqual(cap.read_cap(KEY), self.content.cap)
                    await self.helped.assert_stored(self.content)
                    self.helped.remove_shares()
                await self.helped.assert_nothing_kept()

    async def test_another_file_meanwhile(self) -> None:
        """What the helper holds after a cut is compared too, before more is sent."""
        data = self.content.ciphertext
        other = Content(SIZE, seed=9).ciphertext
        await self.hold(data[:200])
        sink = await self.gateway.open(SIZE, **GIVEN)
        await sink.write(data[:100])
        await self.helped.stop()
        self.helped.path("incoming").write_bytes(data[:190] + other[190:250])
        self.helped.start()
        self.helped.listen()
        before = self.fetched
        await until(lambda: sink._told is not None)
        with self.assertRaises(KeyReused):
            await sink.write(data[100:])
        await sink.abort()
        self.assertEqual(self.fetched, before)
        await self.settled()

    async def test_cut_at_the_end(self) -> None:
        """Broken while shares are finished, the cap comes over the next connection."""
        for count in range(3):
            gate: Deferred[None] = Deferred()

            async def slow(operation: str, share: int, gate: Any = gate) -> None:
                if operation == "close" and not gate.called:
                    await gate

            self.helped.grid.servers[count].mood = slow
            pushing = begin(self.gateway.push(self.content, known=count % 2 == 0))
            await until(
                lambda: self.helped.under_way() and self.helped.upload().phase == "closing"
            )
            before = self.fetched
            for _ in range(count + 1):
                cut(self.helped.tub)
                await self.gateway.reconnected()
            gate.callback(None)
            self.assertEqual(await pushing, self.content.cap)
            self.assertEqual(self.fetched, before)
            await self.helped.assert_stored(self.content)
            self.helped.remove_shares()

    async def test_nothing_waits_for_a_dead_line(self) -> None:
        """After a cut little memory is held, however much the client would bring."""
        await self.start(encoding=LARGE)
        content = Content(20_000_000, LARGE)
        sink = await self.gateway.open(content.size, **CONVERGENT)
        await sink.write(content.ciphertext[:1_000_000])
        await self.helped.stop()
        writing = begin(sink.write(content.ciphertext[1_000_000:]))
        await pause(0.3)
        self.assertFalse(writing.called)
        pieces = sum(len(piece) for _, piece in sink.session._pieces)
        self.assertLess(pieces, (9 << 20) + 2 * sink.segment_size)
        self.helped.start()
        self.helped.listen()
        await writing
        self.assertEqual((await sink.close()).read_cap(KEY), content.cap)
        await self.helped.assert_stored(content)


class EndTests(_Case):
    async def test_abort(self) -> None:
        """Aborted it is kept if somebody may bring the same again, else forgotten."""
        for options, kept in ((GIVEN, [200]), (CONVERGENT, [200]), ({}, [])):
            sink = await self.gateway.open(SIZE, **options)
            await sink.write(self.content.ciphertext[:200])
            await until(lambda: self.helped.upload().held == 200)
            await sink.abort()
            self.assertEqual(self.helped.uploads.active, {})
            self.assertEqual(bool(self.helped.kept), bool(kept))
            for path in (self.helped.path("incoming"),):
                if path.exists():
                    self.helped.uploads.give(NOBODY, path.stat().st_size)
                    path.unlink()
            await self.helped.assert_nothing_kept()

    async def test_cancelled_open(self) -> None:
        """An upload that is opened too late, for a client that is gone, is left."""
        for steps in range(20):
            opening = begin(self.gateway.open(SIZE))
            for _ in range(steps):
                await pause()
            opening.cancel()
            with contextlib.suppress(CancelledError):
                await (await opening).abort()
            await self.gateway.answered()
            await self.helped.assert_nothing_kept()

    async def test_cancelled_reopen(self) -> None:
        """So is one that is opened again after a cut."""
        for steps in range(20):
            sink = await self.gateway.open(SIZE)
            await sink.write(self.content.ciphertext[:100])
            cut(self.helped.tub)
            await self.gateway.reconnected()
            for _ in range(steps):
                await pause()
            await sink.abort()
            await self.gateway.answered()
            await self.settled()
            for path in (self.helped.path("incoming"),):
                if path.exists():
                    # It was gone when the abort came, and is kept like that.
                    self.helped.uploads.give(NOBODY, path.stat().st_size)
                    path.unlink()
            await self.helped.assert_nothing_kept()


class RefusalTests(_Case):
    async def test_limits(self) -> None:
        """What the helper does not take fails with the reason, and nothing is left."""
        limits = HelperLimits(spool=250, size=400, uploads=1)
        await self.start(limits=limits)
        with self.assertRaises(HelperRefuses):
            await self.gateway.open(401)
        with self.assertRaises(HelperFull):
            await self.gateway.open(251)
        with self.assertRaises(HelperFull):
            await self.gateway.push(self.content, known=False, chunk=50)
        await self.helped.assert_nothing_kept()
        taken = await self.helped.uploads.open(b"o" * 16, PARAMETERS, 100)
        assert isinstance(taken, HelperUpload)
        with self.assertRaises(HelperBusy):
            await self.gateway.open(100)
        taken.leave()
        await self.helped.assert_nothing_kept()

    async def test_too_large_on_the_way(self) -> None:
        """So does a file of unknown size that becomes too large for it."""
        await self.start(limits=HelperLimits(size=200))
        with self.assertRaises(HelperRefuses):
            await self.gateway.push(self.content, known=False, chunk=50)
        await self.helped.assert_nothing_kept()

    async def test_disk_full(self) -> None:
        """A helper whose disk is full says so; with space again the file goes on."""
        disk = new_small_disk(self, 1 << 20)
        await self.start(home=disk / "helper", encoding=LARGE)
        content = Content(900_000, LARGE)
        filler = disk / "filler"
        filler.write_bytes(bytes(500_000))
        with self.assertRaises(HelperFull):
            await self.gateway.push(content, chunk=50_000, **CONVERGENT)
        await self.settled()
        [held] = self.helped.kept.values()
        self.assertGreater(held, 300_000)
        filler.unlink()
        before = self.fetched
        cap = await self.gateway.push(content, chunk=50_000, **CONVERGENT)
        self.assertEqual(cap, content.cap)
        self.assertEqual(self.fetched - before, content.size - held)
        await self.helped.assert_stored(content)

    async def test_disk_full_and_the_rest(self) -> None:
        """What was on its way behind it is refused as well; all is forgotten then."""
        disk = new_small_disk(self, 1 << 20)
        await self.start(home=disk / "helper", encoding=LARGE)
        content = Content(2_000_000, LARGE)
        sink = await self.gateway.sinks.open(NewFile(INDEX, None, 1 << 30))
        writing = begin(sink.write(content.ciphertext))
        with self.assertRaises(HelperFull):
            await writing
        # Nobody is told until the last answer is there.
        await until(lambda: not sink._link._flying)
        await sink.abort()
        await self.helped.assert_nothing_kept()

    async def test_servers(self) -> None:
        """Without servers the reason is told, and what came is kept for another time."""
        for server in self.helped.grid.servers:
            server.mood = failing("allocate")
        for known in (True, False):
            with self.assertRaises(NotEnoughServers):
                await self.gateway.push(self.content, known=known, **CONVERGENT)
            await self.settled()
            self.assertEqual(self.helped.uploads.used, SIZE)
        # Nobody has the key of this one any more.
        self.helped.path("encoding").unlink()
        self.helped.path("encoding").with_suffix(".json").unlink()
        self.helped.uploads.give(NOBODY, SIZE)
        with self.assertRaises(NotEnoughServers):
            await self.gateway.push(self.content)
        await self.helped.assert_nothing_kept()
        with self.assertRaises(NotEnoughServers):
            await self.gateway.push(self.content, **GIVEN)
        for server in self.helped.grid.servers:
            server.mood = calm
        before = self.fetched
        self.assertEqual(await self.gateway.push(self.content, **GIVEN), self.content.cap)
        self.assertEqual(self.fetched, before)
        await self.helped.assert_stored(self.content)

    async def test_servers_fail_on_the_way(self) -> None:
        """Servers that fail in the middle and come back cost the client nothing."""
        await self.start(encoding=LARGE)
        content = Content(3_000_000, LARGE)
        sink = await self.gateway.open(content.size)
        await sink.write(content.ciphertext[:1_500_000])
        for server in self.helped.grid.servers:
            server.mood = failing("write")
        await sink.write(content.ciphertext[1_500_000:2_500_000])
        await until(lambda: not self.helped.upload().coding)
        for server in self.helped.grid.servers:
            server.mood = calm
        await sink.write(content.ciphertext[2_500_000:])
        self.assertEqual((await sink.close()).read_cap(KEY), content.cap)
        await self.helped.assert_stored(content)


class PatienceTests(_Case):
    async def start(self, patience: HelperPatience | None = SHORT, **options: Any) -> None:
        await super().start(patience, **options)

    async def fails(self, error: type[Exception], work: Any, seconds: float = 5.0) -> None:
        """Check that *work* fails in this way, soon."""
        waiting = begin(work)
        waiting.addTimeout(seconds, REACTOR)
        with self.assertRaises(error):
            await waiting

    async def test_no_connection(self) -> None:
        """Without one nothing is begun."""
        await self.helped.stop()
        await until(lambda: not self.gateway.connection.connected)
        with self.assertRaises(NoHelper):
            await self.gateway.open(SIZE)

    async def test_lost_while_it_opens(self) -> None:
        """A helper that is lost while it is asked is not there."""
        for server in self.helped.grid.servers:
            server.mood = hanging("buckets")
        opening = begin(self.gateway.open(SIZE))
        await pause(0.05)
        cut(self.helped.tub)
        with self.assertRaises(NoHelper):
            await opening
        for server in self.helped.grid.servers:
            server.mood = calm

    async def test_does_not_come_back(self) -> None:
        """After so long without a helper the upload fails."""
        sink = await self.gateway.open(SIZE)
        await sink.write(self.content.ciphertext[:100])
        await self.helped.stop()
        await self.fails(NoHelper, self.rest(sink))
        await sink.abort()
        self.assertFalse(self.gateway.connection._changes.waited_for)

    async def rest(self, sink: HelperSink) -> None:
        await sink.write(self.content.ciphertext[100:])
        await sink.close()

    async def test_opens_in_vain(self) -> None:
        """So does one that the helper never opens, at first or again."""
        await self.start(HelperPatience(absent=5.0, silent=0.5, again=0.02))
        gate = self.close_gate()
        await self.fails(HelperSilent, self.gateway.open(SIZE))
        gate.callback(None)
        sink = await self.gateway.open(SIZE)
        await sink.write(self.content.ciphertext[:100])
        await until(lambda: self.helped.upload().held)
        gate = self.close_gate()
        cut(self.helped.tub)
        await self.fails(HelperSilent, self.rest(sink))
        await sink.abort()
        gate.callback(None)
        await until(lambda: not self.helped.kept)
        await self.helped.assert_nothing_kept()

    def close_gate(self) -> Deferred[None]:
        """Let no server answer until what is returned fires."""
        gate: Deferred[None] = Deferred()

        async def mood(operation: str, share: int) -> None:
            if operation == "buckets" and not gate.called:
                passed: Deferred[None] = Deferred()
                gate.addCallback(passed.callback)
                await passed

        for server in self.helped.grid.servers:
            server.mood = mood
        return gate

    async def test_no_answer(self) -> None:
        """So does one of which the helper says nothing, and even the abort has an end."""
        sink = await self.gateway.open(SIZE)
        gate: Deferred[None] = Deferred()
        turn = begin(self.hold_turn(gate))
        await self.fails(HelperSilent, self.all_of(sink))
        aborting = begin(sink.abort())
        aborting.addTimeout(5.0, REACTOR)
        await aborting
        gate.callback(None)
        await turn
        await self.helped.assert_nothing_kept()

    async def all_of(self, sink: HelperSink) -> None:
        await sink.write(self.content.ciphertext)
        await sink.close()

    async def hold_turn(self, gate: Deferred[None]) -> None:
        async with self.helped.upload()._turn.hold("file"):
            await gate

    async def test_no_end(self) -> None:
        """So does one that is never stored."""
        for server in self.helped.grid.servers:
            server.mood = hanging("close")
        await self.fails(HelperSilent, self.gateway.push(self.content))
        await self.helped.assert_nothing_kept()

    async def test_slow_client(self) -> None:
        """A client may take its time; nobody waits for the helper then."""
        sink = await self.gateway.open(SIZE)
        for at in range(0, SIZE, 100):
            await sink.write(self.content.ciphertext[at : at + 100])
            await pause(0.8)
        self.assertEqual((await sink.close()).read_cap(KEY), self.content.cap)

    async def test_slow_grid(self) -> None:
        """A helper that works all the time may take longer than that to end."""
        await self.start(HelperPatience(3.0, 3.0), encoding=LARGE)
        content = Content(1_200_000, LARGE)

        async def slow(operation: str, share: int) -> None:
            if operation == "write":
                await pause(0.3)

        for server in self.helped.grid.servers:
            server.mood = slow
        sink = await self.gateway.open(None)
        await sink.write(content.ciphertext)
        clock = REACTOR
        began = clock.seconds()
        self.assertEqual((await sink.close()).read_cap(KEY), content.cap)
        self.assertGreater(clock.seconds() - began, 3.0)
