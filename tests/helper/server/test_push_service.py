"""The helper as its peers see it: every call of the protocol, sensible or not."""

from __future__ import annotations

import hashlib
from typing import Any

from attrs import define, field
from foolscap.api import Referenceable, RemoteException, Violation
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.grids import calm, failing, hanging, new_small_disk, pause, until
from tests.helper.helped import (
    INDEX,
    Content,
    Helped,
    begin,
    cut,
    new_tub,
)
from truckee.codec.geometry import Encoding
from truckee.codec.ueb import parse_ueb
from truckee.helper import wire
from truckee.helper.protocol import RIPushObserver
from truckee.helper.server.limits import HelperLimits
from truckee.helper.server.push_service import PushUpload
from truckee.helper.server.state import is_vouched
from truckee.helper.server.stored_files import StoredFiles
from truckee.helper.server.upload import HelperUpload
from truckee.helper.wire import LARGEST_WINDOW
from truckee.storage.foolscap_schema import serves

SIZE = 200
SHAPE = (2, 1, 3, 64)


@serves(RIPushObserver)
@define(eq=False)
class Observer(Referenceable):  # type: ignore[misc]
    """Remembers what it was told."""

    told: list[tuple[int, int]] = field(factory=list)

    def remote_progress(self, held: int, stored: int) -> None:
        self.told.append((held, stored))


@define(eq=False)
class Peer:
    """Calls a helper and nothing else: no patience, no checks; all are one client."""

    tub: Any
    remote: Any
    secret: bytes | None = bytes(32)  # None: as a gateway of the version before
    observer: Observer = field(factory=Observer)

    @classmethod
    async def of(cls, helped: Helped, number: int = 1) -> Peer:
        tub = new_tub(helped.case, number)
        return cls(tub, await tub.getReference(helped.furl))

    async def open(
        self, size: int | None = SIZE, shape: Any = SHAPE, index: bytes = INDEX
    ) -> Any:
        """Return the whole answer."""
        asked = index, shape, size, self.observer
        if self.secret is None:
            return await self.remote.callRemote("open_push", *asked)
        return await self.remote.callRemote("open_push_v2", *asked, self.secret)

    async def begin(self, size: int | None = SIZE, index: bytes = INDEX) -> Any:
        """Return the upload."""
        state, code, _, _, upload, ueb = await self.open(size, index=index)
        assert (state, code, ueb) == (wire.RECEIVE, wire.OK, b"")
        return upload


class _Case(TestCase):
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        self.content = Content(SIZE)
        self.data = self.content.ciphertext
        await self.start()

    async def start(self, **options: Any) -> None:
        self.helped = Helped.new(self, **options)
        self.helped.listen()
        self.peer = await Peer.of(self.helped)

    def registered(self) -> list[Any]:
        """Return the parts in uploads that the helper still has for its peers."""
        return [
            tracker.obj
            for broker in self.helped.tub.brokers.values()
            for tracker in broker.myReferenceByCLID.values()
            if isinstance(tracker.obj, PushUpload) and tracker.obj._open
        ]


class OpenTests(_Case):
    async def test_states(self) -> None:
        """It takes a file, says what it holds of it, and knows it when it is stored."""
        upload = await self.peer.begin()
        self.assertEqual(await upload.callRemote("push", 0, self.data[:70]), (70, b""))
        cut(self.helped.tub)
        await until(lambda: not self.helped.uploads.active)
        self.peer = await Peer.of(self.helped)
        state, code, held, digest, upload, ueb = await self.peer.open()
        self.assertEqual((state, code, held, ueb), (wire.RECEIVE, b"", 70, b""))
        self.assertEqual(digest, hashlib.sha256(self.data[:70]).digest())
        await upload.callRemote("push", 70, self.data[70:])
        code, detail, ueb, shares = await upload.callRemote(
            "finish", SIZE, self.content.root
        )
        self.assertEqual((code, detail), (b"", b""))
        self.assertEqual(sorted(shares), [0, 1, 2])
        self.assertEqual(
            sorted({name for names in shares.values() for name in names}),
            [b"server 0", b"server 1", b"server 2"],
        )
        await self.helped.assert_stored(self.content)
        answer = await self.peer.open()
        self.assertEqual(answer, (wire.PRESENT, b"", 0, b"", None, ueb))
        self.assertEqual(parse_ueb(ueb).crypttext_root_hash, self.content.root)
        self.assertEqual(self.registered(), [])

    async def test_nonsense(self) -> None:
        """Parameters that no file has begin nothing, and say nothing of this machine."""
        shapes: tuple[Any, ...] = (
            (3, 1, 2, 64),
            (0, 1, 3, 64),
            (-1, 1, 3, 64),
            (2, 0, 3, 64),
            (2, 4, 3, 64),
            (2, 1, 257, 64),
            (2, 1, 3, 0),
            (2, 1, 3, -64),
            (2, 1, 3, 65),
            (2, 1, 3, 2**31 - 1),
        )
        for shape in shapes:
            await self.refused(self.peer.open(shape=shape))
        for size in (0, -1, -(2**63)):
            await self.refused(self.peer.open(size))
        for index in (b"", b"short"):
            await self.refused(self.peer.open(index=index))
        await self.helped.assert_nothing_kept()

    async def test_nonsense_past_our_schema(self) -> None:
        """So do other types and numbers that are too large, which a stranger may send."""
        self.peer.remote.tracker.interface = None
        for asked in (
            (INDEX, (2, 1, 3, 2**64), SIZE, self.peer.observer),
            (INDEX, (2, 1, 3, 2**31), SIZE, self.peer.observer),
            (INDEX, (2, 1, 3), SIZE, self.peer.observer),
            (INDEX, (2, 1, 3, 64, 5), SIZE, self.peer.observer),
            (INDEX, (2, 1, 3, 64.0), SIZE, self.peer.observer),
            (INDEX, SHAPE, 2**64, self.peer.observer),
            (INDEX, SHAPE, 2**3000, self.peer.observer),
            (INDEX, SHAPE, b"200", self.peer.observer),
            (INDEX, SHAPE, SIZE, None),
            (INDEX, SHAPE, SIZE, b"observer"),
            (INDEX, SHAPE, SIZE, Referenceable()),
            (INDEX + b"i", SHAPE, SIZE, self.peer.observer),
            (None, SHAPE, SIZE, self.peer.observer),
            (INDEX, SHAPE, SIZE),
        ):
            await self.refused(begin(self.call(*asked)))
        await self.helped.assert_nothing_kept()

    async def call(self, *asked: Any) -> Any:
        return await self.peer.remote.callRemote("open_push", *asked)

    async def refused(self, answer: Any) -> None:
        try:
            await answer
        except RemoteException as error:
            text = str(error.failure)
        except Violation as error:
            text = str(error)
        else:
            self.fail("it was taken")
        self.assertNotIn(str(self.helped.home), text)
        self.assertNotIn(".py", text)
        self.flushLoggedErrors()

    async def test_too_large_for_any(self) -> None:
        """A file larger than any disk is refused with a code."""
        answer = await self.peer.open(2**64 - 1)
        self.assertEqual(answer[:2], (wire.REFUSED, wire.TOO_LARGE))
        await self.helped.assert_nothing_kept()

    async def test_codes(self) -> None:
        """Each reason to refuse has its code."""
        limits = HelperLimits(spool=500, size=1000, uploads=2)
        await self.start(limits=limits)
        self.assertEqual((await self.peer.open(1001))[1], wire.TOO_LARGE)
        self.assertEqual((await self.peer.open(501))[1], wire.FULL)
        first = await self.peer.begin()
        second = await self.peer.begin(None, b"2" * 16)
        third = await self.peer.open(SIZE, index=b"3" * 16)
        self.assertEqual(third[:2], (wire.REFUSED, wire.BUSY))
        self.assertEqual((await self.peer.open(SIZE + 1))[1], wire.BUSY)
        self.assertEqual(await second.callRemote("push", 0, bytes(501)), (0, wire.FULL))
        await second.callRemote("push", 0, bytes(400))
        self.assertEqual(await first.callRemote("push", 0, bytes(101)), (0, wire.FULL))
        await first.callRemote("abort", True)
        await second.callRemote("abort", True)
        await self.helped.assert_nothing_kept()

    async def test_disk(self) -> None:
        """A disk that is full, or fails, is told without a path."""
        disk = new_small_disk(self, 1 << 16)
        await self.start(home=disk / "helper", encoding=Encoding(2, 3, 1 << 16))
        upload = await self.peer.begin(None)
        (disk / "filler").write_bytes(bytes(40_000))
        answer = await upload.callRemote("push", 0, bytes(50_000))
        self.assertEqual(answer, (0, wire.FULL))
        await upload.callRemote("abort", True)
        await self.helped.assert_nothing_kept()
        for place in ("CHK_incoming", "CHK_encoding"):
            (self.helped.home / place).rename(self.helped.home / f"{place}.gone")
        answer = await self.peer.open()
        self.assertEqual(answer[:2], (wire.REFUSED, wire.FULL))
        self.assertNotIn(str(disk).encode(), repr(answer).encode())
        self.flushLoggedErrors()

    async def test_gone_while_it_opens(self) -> None:
        """Of a gateway that is gone before its upload is open nothing stays."""
        gate: Deferred[None] = Deferred()

        async def slow(operation: str, share: int) -> None:
            if operation == "buckets" and not gate.called:
                await gate

        for server in self.helped.grid.servers:
            server.mood = slow
        opening = begin(self.peer.open())
        opening.addErrback(lambda _: None)
        await pause(0.05)
        cut(self.helped.tub)
        await pause(0.05)
        gate.callback(None)
        await opening
        await pause(0.05)
        await self.helped.assert_nothing_kept()

    async def test_ends_while_it_is_joined(self) -> None:
        """Who joins in the moment in which it ends finds it stored, or begins again."""
        other = await Peer.of(self.helped, 2)
        for steps in range(25):
            upload = await self.peer.begin()
            await upload.callRemote("push", 0, self.data)
            finishing = upload.callRemote("finish", SIZE, self.content.root)
            for _ in range(steps):
                await pause()
            answer = await other.open()
            self.assertIn(answer[0], (wire.PRESENT, wire.RECEIVE), answer)
            self.assertEqual((await finishing)[0], b"")
            if answer[0] == wire.RECEIVE:
                told = await answer[4].callRemote("finish", SIZE, self.content.root)
                self.assertIn(told[0], (wire.OK, wire.CLOSED))
            await self.helped.assert_stored(self.content)
            self.assertEqual(self.registered(), [])
            self.helped.remove_shares()


class PushTests(_Case):
    async def test_offsets(self) -> None:
        """Gaps and what is past the end are refused, overlaps are passed over."""
        upload = await self.peer.begin()
        self.assertEqual(await upload.callRemote("push", 1, b"x"), (0, wire.GAP))
        await upload.callRemote("push", 0, self.data[:50])
        for offset in (51, SIZE, 2**63, 2**64 - 1, -1, -(2**63)):
            answer = await upload.callRemote("push", offset, b"x")
            self.assertEqual(answer, (50, wire.GAP), offset)
        answer = await upload.callRemote("push", 50, bytes(SIZE))
        self.assertEqual(answer, (50, wire.GAP))
        answer = await upload.callRemote("push", 20, self.data[20:90])
        self.assertEqual(answer, (90, b""))
        self.assertEqual(await upload.callRemote("push", 90, b""), (90, b""))
        self.assertEqual(await upload.callRemote("push", 0, b""), (90, b""))
        await upload.callRemote("push", 90, self.data[90:])
        await upload.callRemote("finish", SIZE, self.content.root)
        await self.helped.assert_stored(self.content)

    async def test_messages_too_large(self) -> None:
        """More than a megabyte in one message is not taken."""
        upload = await self.peer.begin(None)
        answer = await upload.callRemote("push", 0, bytes(1 << 20))
        self.assertEqual(answer, (1 << 20, b""))
        upload.tracker.interface = None
        with self.assertRaises((RemoteException, Violation)):
            await upload.callRemote("push", 1 << 20, bytes((1 << 20) + 1))
        self.assertEqual(self.helped.upload().held, 1 << 20)
        await upload.callRemote("abort", True)
        await self.helped.assert_nothing_kept()

    async def test_flood(self) -> None:
        """Of a peer that waits for no answer it keeps no more than two windows."""
        upload = await self.peer.begin(None)
        [part] = self.registered()
        gate: Deferred[None] = Deferred()
        turn = begin(self.hold(gate))
        piece = 1 << 20
        pushes = [upload.callRemote("push", at * piece, bytes(piece)) for at in range(40)]
        await until(
            lambda: sum(each.called for each in pushes) >= 40 - 2 * LARGEST_WINDOW // piece
        )
        self.assertLessEqual(part._pending, 2 * LARGEST_WINDOW)
        gate.callback(None)
        await turn
        answers = [await each for each in pushes]
        taken = [held for held, code in answers if not code]
        self.assertEqual(
            taken, [piece * (at + 1) for at in range(2 * LARGEST_WINDOW // piece)]
        )
        self.assertEqual({code for _, code in answers}, {b"", wire.GAP})
        self.assertEqual(part._pending, 0)
        await upload.callRemote("abort", True)
        await self.helped.assert_nothing_kept()

    async def hold(self, gate: Deferred[None]) -> None:
        """Keep the disk busy."""
        async with self.helped.upload()._turn.hold("file"):
            await gate

    async def test_two_gateways(self) -> None:
        """Two push the same file at once: each byte is taken once, both get the answer."""
        content = Content(3_000_000, Encoding(2, 3, 1 << 16))
        await self.start(encoding=content.encoding)
        peers = [self.peer, await Peer.of(self.helped, 2)]
        shape = (2, 1, 3, 1 << 16)
        uploads = [(await peer.open(content.size, shape))[4] for peer in peers]

        async def push(upload: Any, step: int) -> Any:
            for at in range(0, content.size, step):
                data = content.ciphertext[at : at + step]
                held, code = await upload.callRemote("push", at, data)
                if code == wire.CLOSED:
                    return [code]
                assert code == b""
                assert held >= at + len(data)
            return await upload.callRemote("finish", content.size, content.root)

        work = [begin(push(uploads[0], 50_000)), begin(push(uploads[1], 70_001))]
        codes = sorted([(await each)[0] for each in work])
        # The later one may come when it is over; then it asks again and finds it stored.
        self.assertEqual(codes[0], b"")
        self.assertIn(codes[1], (b"", wire.CLOSED))
        taken = self.helped.uploads.counters["fetched_bytes"]
        self.assertEqual(taken, content.size)
        await self.helped.assert_stored(content)
        self.assertEqual(self.registered(), [])

    async def test_progress(self) -> None:
        """The gateway is told how much is held, and how much of it is stored."""
        upload = await self.peer.begin()
        await upload.callRemote("push", 0, self.data[:130])
        await until(lambda: self.peer.observer.told)
        [held, _] = self.peer.observer.told[-1]
        self.assertEqual(held, 130)
        await until(lambda: self.helped.upload().stored == 128)
        await until(lambda: self.peer.observer.told[-1] == (130, 128))
        count = len(self.peer.observer.told)
        await pause(1.2)
        self.assertEqual(len(self.peer.observer.told), count)
        await upload.callRemote("abort", True)
        await self.helped.assert_nothing_kept()


class FinishTests(_Case):
    async def test_wrong(self) -> None:
        """Sizes that lie are refused, a root that lies has it forgotten."""
        upload = await self.peer.begin()
        await upload.callRemote("push", 0, self.data)
        root = self.content.root
        for size in (0, 1, SIZE - 1, SIZE + 1, 2**63, -1, -SIZE):
            told = await upload.callRemote("finish", size, root)
            self.assertEqual(told, (wire.GAP, b"", b"", {}), size)
        told = await upload.callRemote("finish", SIZE, b"r" * 32)
        self.assertEqual(told, (wire.DIFFERS, b"", b"", {}))
        told = await upload.callRemote("finish", SIZE, root)
        self.assertEqual(told, (wire.CLOSED, b"", b"", {}))
        await self.helped.assert_nothing_kept()
        self.assertEqual(self.registered(), [])

    async def test_twice(self) -> None:
        """Asked twice at once both answers are the same; asked later it is over."""
        upload = await self.peer.begin()
        await upload.callRemote("push", 0, self.data)
        asked = [upload.callRemote("finish", SIZE, self.content.root) for _ in range(2)]
        told = [await each for each in asked]
        self.assertEqual(told[0][0], b"")
        self.assertEqual(told[0], told[1])
        late = await upload.callRemote("finish", SIZE, self.content.root)
        self.assertEqual(late[0], wire.CLOSED)
        answer = await upload.callRemote("push", 0, self.data)
        self.assertEqual(answer[1], wire.CLOSED)
        await upload.callRemote("abort", True)
        await self.helped.assert_stored(self.content)

    async def test_servers(self) -> None:
        """What is wrong with the grid is told, and it can be asked again."""
        servers = self.helped.grid.servers
        for server in servers:
            server.mood = failing("write")
        upload = await self.peer.begin()
        await upload.callRemote("push", 0, self.data)
        told = await upload.callRemote("finish", SIZE, self.content.root)
        self.assertEqual(told, (wire.NO_SERVERS, b"0 1", b"", {}))
        for server in servers:
            server.mood = calm
            server.reserved_space = 1 << 60
        told = await upload.callRemote("finish", SIZE, self.content.root)
        self.assertEqual(told[0], wire.NO_SPACE)
        names = sorted(told[1].split(b", "))
        self.assertEqual(names, [b"server 0", b"server 1", b"server 2"])
        self.assertEqual(told[2:], (b"", {}))
        for server in servers:
            server.reserved_space = 0
        told = await upload.callRemote("finish", SIZE, self.content.root)
        self.assertEqual(told[0], b"")
        await self.helped.assert_stored(self.content)

    async def test_gone_while_it_finishes(self) -> None:
        """Whose client goes away in the end is stored without it."""
        gate: Deferred[None] = Deferred()

        async def slow(operation: str, share: int) -> None:
            if operation == "close" and not gate.called:
                await gate

        self.helped.grid.servers[0].mood = slow
        upload = await self.peer.begin()
        await upload.callRemote("push", 0, self.data)
        finishing = upload.callRemote("finish", SIZE, self.content.root)
        finishing.addErrback(lambda _: None)
        await until(lambda: self.helped.upload().phase == "closing")
        cut(self.helped.tub)
        await finishing
        await pause(0.05)
        gate.callback(None)
        await self.helped.assert_stored(self.content)


class LingerTests(_Case):
    """A gateway whose connection broke is waited for."""

    async def start(self, **options: Any) -> None:
        await super().start(linger=5.0, **options)

    async def lose(self, size: int | None = SIZE, count: int = 130) -> HelperUpload:
        """Push the start of the file, and break the connection; return the upload."""
        upload = await self.peer.begin(size)
        await upload.callRemote("push", 0, self.data[:count])
        await self.cut()
        return self.helped.upload()

    async def cut(self) -> None:
        """Break the connection, and make another one."""
        cut(self.helped.tub)
        await until(lambda: not self.registered())
        self.peer = await Peer.of(self.helped)

    async def test_comes_back(self) -> None:
        """What it comes back to is coded already, and no server is asked again."""
        asked: list[str] = []

        async def count(operation: str, share: int) -> None:
            asked.append(operation)

        for server in self.helped.grid.servers:
            server.mood = count
        lost = await self.lose()
        before = asked.count("allocate")
        for at in range(130, SIZE, 20):
            upload = await self.peer.begin()
            self.assertIs(self.helped.upload(), lost)
            await upload.callRemote("push", at, self.data[at : at + 20])
            await self.cut()
        state, _, held, digest, upload, _ = await self.peer.open()
        self.assertEqual((state, held), (wire.RECEIVE, SIZE))
        self.assertEqual(digest, hashlib.sha256(self.data).digest())
        told = await upload.callRemote("finish", SIZE, self.content.root)
        self.assertEqual(told[0], b"")
        self.assertEqual(asked.count("allocate"), before)
        await self.helped.assert_stored(self.content)

    async def test_stays_away(self) -> None:
        """After a while it is waited for no more, and what it brought is kept."""
        self.helped.helper._linger = 2.0
        await self.lose()
        self.assertEqual(len(self.helped.uploads.active), 1)
        await pause(0.1)
        self.assertEqual(len(self.helped.uploads.active), 1)
        await until(lambda: not self.helped.uploads.active)
        await self.helped.assert_settled()
        self.assertEqual(list(self.helped.kept.values()), [130])

    async def test_stays_away_from_a_complete_file(self) -> None:
        """A file that is complete is stored then, without anybody."""
        self.helped.helper._linger = 0.3
        await self.lose(count=SIZE)
        await self.helped.assert_stored(self.content)

    async def test_wants_it_forgotten(self) -> None:
        """What it wants forgotten when it is back is, though it was waited for."""
        for count in (130, SIZE):
            await self.lose(count=count)
            upload = await self.peer.begin()
            await upload.callRemote("abort", True)
            await self.helped.assert_nothing_kept()
            self.assertEqual(self.helped.grid.shares(INDEX), {})

    async def test_with_another_size(self) -> None:
        """Whoever comes instead, and knows more or says something else, need not wait."""
        lost = await self.lose(None)
        upload = await self.peer.begin(SIZE)
        self.assertTrue(lost.ended)
        self.assertEqual(self.helped.upload().held, 130)
        await self.cut()
        answer = await self.peer.open(shape=(2, 2, 3, 64))
        self.assertEqual((answer[0], answer[2]), (wire.RECEIVE, 130))
        await answer[4].callRemote("push", 130, self.data[130:])
        self.assertIsNotNone(upload)
        told = await answer[4].callRemote("finish", SIZE, self.content.root)
        self.assertEqual(told[0], b"")
        await self.helped.assert_stored(self.content)

    async def test_makes_room(self) -> None:
        """Nobody is refused for want of a place that is kept for one who is away."""
        await self.start(limits=HelperLimits(uploads=2))
        first = await self.lose()
        second = await self.peer.begin(SIZE, b"2" * 16)
        third = await self.peer.begin(SIZE, b"3" * 16)
        self.assertTrue(first.ended)
        answer = await self.peer.open(SIZE, index=b"4" * 16)
        self.assertEqual(answer[1], wire.BUSY)
        for upload in (second, third):
            await upload.callRemote("abort", True)
        await self.helped.assert_settled()
        self.assertEqual(list(self.helped.kept.values()), [130])

    async def test_answer_lost(self) -> None:
        """
        It learns what became of its file while it was away, also if a share was lost then;
        others are not told that such a file is there, nor is it told so for long.
        """
        grid = self.helped.grid
        grid.servers[0].mood = failing("close")
        gate: Deferred[None] = Deferred()

        async def wait(operation: str, share: int) -> None:
            if operation == "close":
                await gate

        grid.servers[1].mood = wait
        upload = await self.peer.begin()
        await upload.callRemote("push", 0, self.data)
        finishing = upload.callRemote("finish", SIZE, self.content.root)
        finishing.addErrback(lambda _: None)
        await until(lambda: is_vouched(self.helped.upload().state))
        cut(self.helped.tub)
        gate.callback(None)
        await until(lambda: not self.helped.uploads.active)
        self.assertEqual(len(grid.shares(INDEX)), 2)
        self.peer = await Peer.of(self.helped)
        state, _, _, _, _, ueb = await self.peer.open()
        self.assertEqual(state, wire.PRESENT)
        self.assertEqual(parse_ueb(ueb).crypttext_root_hash, self.content.root)
        # Not if a server has lost its share meanwhile, and happiness with it.
        answer = await self.peer.open(shape=(2, 3, 3, 64))
        self.assertEqual(answer[0], wire.RECEIVE)
        await answer[4].callRemote("abort", True)
        self.helped.uploads._present._stored = StoredFiles()
        answer = await self.peer.open()
        self.assertEqual(answer[0], wire.RECEIVE)
        await answer[4].callRemote("abort", True)


class AbortTests(_Case):
    async def test_answered_at_the_end(self) -> None:
        """When an abort is answered all is over, kept or forgotten as it said."""
        for forget in (False, True):
            for at in (0, 1, 64, 150, SIZE):
                upload = await self.peer.begin(None)
                await upload.callRemote("push", 0, self.data[:at])
                await upload.callRemote("abort", forget)
                self.assertEqual(self.helped.uploads.active, {})
                self.assertEqual(self.helped.open_files(), [])
                kept = [] if forget or not at else [at]
                self.assertEqual(list(self.helped.kept.values()), kept)
                self.assertEqual(self.helped.uploads.used, sum(kept))
                self.assertEqual(self.registered(), [])

    async def test_in_the_middle(self) -> None:
        """Also while servers are written to, and while they hang."""
        for server in self.helped.grid.servers:
            server.mood = hanging("write")
        upload = await self.peer.begin()
        await upload.callRemote("push", 0, self.data)
        finishing = upload.callRemote("finish", SIZE, self.content.root)
        await pause(0.05)
        await upload.callRemote("abort", True)
        await self.helped.assert_nothing_kept()
        self.assertEqual((await finishing)[0], wire.CLOSED)

    async def test_twice(self) -> None:
        """A second abort does nothing, whatever it says."""
        other = await Peer.of(self.helped, 2)
        upload, theirs = await self.peer.begin(), await other.begin()
        await upload.callRemote("push", 0, self.data[:100])
        for _ in range(3):
            await upload.callRemote("abort", True)
        self.assertEqual(self.helped.upload().users, 1)
        await theirs.callRemote("abort", False)
        await self.helped.assert_settled()
        self.assertEqual(list(self.helped.kept.values()), [100])

    async def test_disconnect(self) -> None:
        """A connection that breaks is an abort that keeps all, in any moment."""
        for at in (0, 1, 100, SIZE - 1):
            for steps in range(5):
                upload = await self.peer.begin()
                held = self.helped.upload().held
                pushing = upload.callRemote("push", held, self.data[held:at])
                pushing.addErrback(lambda _: None)
                for _ in range(steps):
                    await pause()
                cut(self.helped.tub)
                await pushing
                await until(lambda: not self.helped.uploads.active)
                await self.helped.assert_settled()
                self.peer = await Peer.of(self.helped)
        kept = self.helped.path("incoming").read_bytes()
        self.assertEqual(kept, self.data[: len(kept)])

    async def test_nothing_runs_on(self) -> None:
        """When others have ended it, nobody is told of it any more."""
        other = await Peer.of(self.helped, 2)
        upload, theirs = await self.peer.begin(), await other.begin()
        await upload.callRemote("push", 0, self.data)
        await upload.callRemote("finish", SIZE, self.content.root)
        # Theirs says nothing, and does not know.
        self.assertIsNotNone(theirs)
        await until(lambda: not self.registered())
        await self.helped.assert_stored(self.content)
