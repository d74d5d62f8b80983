"""Pushes to a helper over a share channel, and what becomes of them without it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.grids import pause, until
from tests.helper.helped import INDEX, Content, Gateway, Helped, cut
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import Buffer
from truckee.helper.errors import HelperFull
from truckee.helper.server.ciphertext_file import CiphertextFile
from truckee.helper.server.push_handles import PushRefused
from truckee.helper.server.push_service import PushUpload
from truckee.storage.channel_client import Seats
from truckee.storage.channel_frames import Kind
from truckee.storage.interfaces import CallFailed

LARGE = Encoding(2, 3, 1 << 17)
CHUNK = 300_000
CONTENT = Content(12_000_000, LARGE)


class _Case(TestCase):
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        self.over_foolscap = 0  # bytes
        push = PushUpload.remote_push

        def counted(upload: PushUpload, offset: int, data: bytes) -> Any:
            self.over_foolscap += len(data)
            return push(upload, offset, data)

        self.patch(PushUpload, "remote_push", counted)
        self.helped = Helped.new(self, encoding=LARGE, beside=True)
        self.helped.listen()
        self.gateway = await Gateway.of(self.helped, seats=Seats())
        self.way = self.gateway.connection.channels

    async def push_until_beside(self, sink: Any) -> int:
        """Push as much of the file as it takes to have a channel; return how much."""
        sent = 0
        while not (sink._link._way._beside and self.over_foolscap < sent):
            await sink.write(CONTENT.ciphertext[sent : sent + CHUNK])
            sent += CHUNK
            self.assertLess(sent, CONTENT.size, "there is no channel")
        return sent

    async def finish(self, sink: Any, sent: int) -> None:
        """Push the rest, and find the file on the grid."""
        for start in range(sent, CONTENT.size, CHUNK):
            await sink.write(CONTENT.ciphertext[start : start + CHUNK])
        cap = await sink.close()
        self.assertEqual(cap.read_cap(b"k" * 16), CONTENT.cap)
        await self.helped.assert_stored(CONTENT)


class BesideTests(_Case):
    async def test_beside(self) -> None:
        """Once it is worth a channel, nothing more is pushed over foolscap."""
        self.way.prepare(Kind.WRITE)
        await until(lambda: self.way.is_open(Kind.WRITE))
        sink = await self.gateway.open(CONTENT.size)
        sent = await self.push_until_beside(sink)
        before = self.over_foolscap
        await self.finish(sink, sent)
        self.assertEqual(self.over_foolscap, before)
        self.assertEqual(self.helped.uploads.counters["fetched_bytes"], CONTENT.size)

    async def test_small(self) -> None:
        """A short file has no channel opened."""
        content = Content(1_500_000, LARGE)
        self.assertEqual(await self.gateway.push(content, chunk=CHUNK), content.cap)
        self.assertEqual(self.over_foolscap, content.size)
        self.assertFalse(self.way.is_open(Kind.WRITE))
        assert self.helped.channels is not None
        self.assertEqual(len(self.helped.channels), 0)

    async def test_not_wanted(self) -> None:
        """A gateway without channels pushes as before, and so does one of before."""
        gateway = await Gateway.of(self.helped, number=2)
        self.assertEqual(await gateway.push(CONTENT, chunk=CHUNK), CONTENT.cap)
        self.assertEqual(self.over_foolscap, CONTENT.size)

    async def test_forgotten(self) -> None:
        """A handle is good while its upload is open, and for nothing else."""
        self.way.prepare(Kind.WRITE)
        await until(lambda: self.way.is_open(Kind.WRITE))
        sink = await self.gateway.open(CONTENT.size)
        sent = await self.push_until_beside(sink)
        way = sink._link._way
        assert way is not None
        handle = way._handle
        self.assertEqual(len(handle), 32)
        await sink.abort()
        await until(lambda: not self.helped.uploads.active)
        for wrong in (handle, bytes(32)):
            with self.assertRaises(CallFailed) as caught:
                await self.way.write(INDEX, 0, wrong, sent, [b"more"])
            # The first one, if the channel has carried something of it.
            self.assertIn(caught.exception.kind, ("PushRefused", "BadKeptRequest"))

    async def test_no_shares(self) -> None:
        """A helper without storage has no shares to be read."""
        self.way.prepare(Kind.READ)
        await until(lambda: self.way.is_open(Kind.READ))
        with self.assertRaises(CallFailed) as caught:
            await self.way.read(INDEX, 0, 0, 10)
        self.assertEqual(caught.exception.kind, "NoSuchShare")


class CutTests(_Case):
    async def test_channel_is_cut(self) -> None:
        """What a channel lost goes over foolscap; the client notices nothing."""
        sink = await self.gateway.open(CONTENT.size)
        sent = await self.push_until_beside(sink)
        assert self.helped.channels is not None
        for _ in range(3):
            for channel in self.helped.channels.open:
                channel.cut()
            await sink.write(CONTENT.ciphertext[sent : sent + CHUNK])
            sent += CHUNK
        await self.finish(sink, sent)

    async def test_connection_is_cut(self) -> None:
        """After a cut of both the upload is opened again, with another handle."""
        sink = await self.gateway.open(CONTENT.size)
        sent = await self.push_until_beside(sink)
        first = sink._link._way
        cut(self.gateway.tub)
        await self.finish(sink, sent)
        self.assertIsNot(sink._link._way, first)

    async def test_goodbye_does_not_overtake(self) -> None:
        """What is on its way when a client goes is kept, and not sent again."""
        sink = await self.gateway.open(CONTENT.size, resumable=True)
        sent = await self.push_until_beside(sink)
        await until(lambda: sink.session.done)
        append, go = CiphertextFile.append, Deferred[None]()

        async def late(file: CiphertextFile, data: Buffer) -> None:
            if not go.called:
                await go
            await append(file, data)

        self.patch(CiphertextFile, "append", late)
        await sink.write(CONTENT.ciphertext[sent : sent + CHUNK])
        self.assertGreater(sink.session.in_flight, 0)
        ending = Deferred.fromCoroutine(sink.abort())
        await pause(0.1)  # as much as a call takes that overtakes
        go.callback(None)
        await ending
        await until(lambda: not self.helped.uploads.active)
        self.assertEqual(sum(self.helped.kept.values()), sent + CHUNK)

    async def test_tail_of_a_lost_gateway(self) -> None:
        """While a gateway that was lost is waited for, its bytes on a channel count."""
        self.patch(self.helped.helper, "_linger", 60.0)
        sink = await self.gateway.open(CONTENT.size, resumable=True)
        sent = await self.push_until_beside(sink)
        await until(lambda: sink.session.done)
        handles = self.helped.helper.handles
        [(handle, push)] = handles._pushes.items()
        assert isinstance(push, PushUpload)
        self.gateway.connection.stop()
        cut(self.gateway.tub)
        await until(lambda: not push._open)
        await handles.push(handle, sent, CONTENT.ciphertext[sent : sent + CHUNK])
        self.assertEqual(self.helped.upload().held, sent + CHUNK)
        push.end()
        with self.assertRaises(PushRefused):
            await handles.push(handle, sent + CHUNK, b"more")
        await sink.abort()
        await self.helped.upload().give_up()

    async def test_helper_restarts(self) -> None:
        """A helper that comes back gets the rest."""
        sink = await self.gateway.open(CONTENT.size)
        sent = await self.push_until_beside(sink)
        await self.helped.restart()
        await self.finish(sink, sent)

    async def test_refused(self) -> None:
        """Why the helper does not take something is said over foolscap."""
        sink = await self.gateway.open(CONTENT.size)
        await self.push_until_beside(sink)

        async def full(*_: object) -> None:
            raise HelperFull

        self.patch(CiphertextFile, "append", full)
        with self.assertRaises(HelperFull):
            for _ in range(20):
                await sink.write(CONTENT.ciphertext[:CHUNK])
        await sink.abort()
