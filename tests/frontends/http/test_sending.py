"""Files, and parts of them, on their way to clients that read, wait and go away."""

from __future__ import annotations

import random
import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory
from twisted.trial.unittest import TestCase

from tests.grids import (
    REACTOR,
    Grid,
    MadeFile,
    failing,
    make_file,
    new_events,
    pause,
    put_share,
    until,
)
from tests.integration.range_cases import parts_of
from tests.net.http.wire import HOSTS, Reply, Wire
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import storage_index_of
from truckee.frontends.web.root import STATUSES, RootResource
from truckee.frontends.web.welcome import GridStatus
from truckee.immutable.download.read_ahead import MOST_AHEAD
from truckee.net.http.respond import Responder
from truckee.net.http.site import StreamingSite

KEY = b"k" * 16
MIB = 1 << 20


class ReadingTests(TestCase):
    timeout = 120

    def serve(self, segment: int, segments: int) -> MadeFile:
        """Have a grid with one file served over HTTP; return the file."""
        plaintext = random.Random(1).randbytes(segment * segments - 7)
        file = make_file(plaintext, KEY, Encoding(2, 3, segment))
        self.grid = Grid.new(self)
        for number, share in enumerate(file.shares):
            put_share(self.grid.servers[number], storage_index_of(KEY), number, share)
        root = RootResource(
            self.grid.uploader,
            self.grid.downloader,
            Responder(STATUSES),
            lambda: GridStatus([]),
            events=new_events(self),
        )
        self.site = StreamingSite(root, Responder(STATUSES), reactor=REACTOR, hosts=HOSTS)
        self.port = REACTOR.listenTCP(0, self.site, interface="127.0.0.1")
        self.addCleanup(self.stop)
        return file

    async def stop(self) -> None:
        """End the server."""
        await self.port.stopListening()
        self.site.abort()
        await self.site.drain()

    async def ask(self, file: MadeFile, *headers: str) -> Wire:
        """Return a connection on which the file was asked for."""
        endpoint = TCP4ClientEndpoint(REACTOR, "127.0.0.1", self.port.getHost().port)
        wire: Any = await endpoint.connect(Factory.forProtocol(Wire))
        assert isinstance(wire, Wire)
        self.addCleanup(self.leave, wire)
        lines = [f"GET /uri/{file.cap} HTTP/1.1", "Host: x", *headers, "", ""]
        wire.write("\r\n".join(lines).encode())
        return wire

    async def leave(self, wire: Wire) -> None:
        """Have the client go away."""
        if wire.lost is None:
            wire.transport.abortConnection()
            await wire.closed()

    def reads(self) -> int:
        """Return how often servers were asked for bytes of a share."""
        return sum(server.reads for server in self.grid.servers)

    async def reads_for_paused(self, wire: Wire) -> int:
        """Have a client read a little and pause; return how often servers were asked."""
        handle: Any = wire.transport.getHandle()
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        await wire.until(lambda: len(wire.data) > 1000)
        wire.transport.pauseProducing()
        before = -1
        while before != self.reads():
            before = self.reads()
            await pause(0.3)
        return before

    def bodies(self, reply: Reply) -> list[bytes]:
        """Return the parts of a body."""
        return [data for _, data in parts_of(reply)]  # type: ignore[arg-type]

    async def test_shares_are_found_once(self) -> None:
        """Parts of one file share what is known of its shares, and of its hash trees."""
        file = self.serve(64, 40)
        asked: list[str] = []

        async def mood(operation: str, share: int) -> None:
            asked.append(operation)

        for server in self.grid.servers:
            server.mood = mood
        wire = await self.ask(file, "Range: bytes=0-9,640-649,1280-1289,2000-2009")
        reply = await wire.reply()
        starts = (0, 640, 1280, 2000)
        self.assertEqual(self.bodies(reply), [file.plaintext[i : i + 10] for i in starts])
        self.assertEqual(asked.count("buckets"), len(self.grid.servers))
        # Header and proof of two shares, three trees, and the blocks of four segments; and
        # what was guessed wrong, or asked of a third one by a slow machine.
        self.assertLessEqual(asked.count("read"), 2 * 2 + 3 + 4 * 2 + 4)

    async def test_segment_is_read_once(self) -> None:
        """Parts of one segment that follow each other cost it once."""
        file = self.serve(1000, 3)
        spec = ",".join(f"{start}-{start}" for start in range(1000, 1960, 30))
        reply = await (await self.ask(file, f"Range: bytes={spec}")).reply()
        self.assertEqual(len(self.bodies(reply)), 32)
        self.assertLessEqual(self.reads(), 2 * 2 + 3 + 2)

    async def test_gone_between_parts(self) -> None:
        """When the client goes away, what servers have not answered is given up at once."""
        file = self.serve(64, 40)
        hung, ended = [], []

        async def mood(operation: str, share: int) -> None:
            if operation == "read" and self.reads() > 12:
                hung.append(share)
                try:
                    await Deferred()
                finally:
                    ended.append(share)

        for server in self.grid.servers:
            server.mood = mood
        spec = ",".join(f"{start}-{start + 99}" for start in range(0, 2500, 250))
        wire = await self.ask(file, f"Range: bytes={spec}")
        await until(lambda: wire.data and hung)
        await pause(0.05)
        self.assertEqual(ended, [])
        await self.leave(wire)
        await until(lambda: len(ended) == len(hung))
        before = self.reads()
        await pause(0.05)
        self.assertEqual(self.reads(), before)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def check_gone_in(self, operation: str) -> None:
        """Go away while servers hang in *operation*; check that nobody waits for them."""
        file = self.serve(64, 40)
        hung, ended = [], []

        async def mood(what: str, share: int) -> None:
            if what == operation:
                hung.append(share)
                try:
                    await Deferred()
                finally:
                    ended.append(share)

        for server in self.grid.servers:
            server.mood = mood
        wire = await self.ask(file, "Range: bytes=0-99,200-299")
        await until(lambda: hung)
        await pause(0.05)
        self.assertEqual((ended, wire.data), ([], b""))
        await self.leave(wire)
        await until(lambda: len(ended) == len(hung))
        before = self.reads()
        await pause(0.05)
        self.assertEqual(self.reads(), before)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_gone_while_shares_are_asked_for(self) -> None:
        """The same before it is known where the shares are."""
        await self.check_gone_in("buckets")

    async def test_gone_before_the_head(self) -> None:
        """The same before the first byte of a share."""
        await self.check_gone_in("read")

    async def test_slow_reader(self) -> None:
        """While a client does not read, neither does the gateway, in a part and between."""
        segments = 40
        file = self.serve(MIB, segments)
        size = file.cap.size
        ranges = [(start, start + 3 * MIB // 2) for start in range(0, size, 2 * MIB)]
        spec = ",".join(f"{start}-{end - 1}" for start, end in ranges)
        wire = await self.ask(file, f"Range: bytes={spec}")
        before = await self.reads_for_paused(wire)
        # The system's buffers hold a few MiB, we a few segments.
        blocks = (len(wire.data) // MIB + 12 + MOST_AHEAD) * 2
        self.assertLess(before, 7 + blocks)
        self.assertLess(blocks, 2 * segments)
        wire.transport.resumeProducing()
        got = self.bodies(await wire.reply())
        self.assertTrue(got == [file.plaintext[start:end] for start, end in ranges])

    async def test_little_is_wanted(self) -> None:
        """For one who did not say how much it wants, little is fetched beyond that."""
        kib = 1024
        file = self.serve(64 * kib, 160)
        wire = await self.ask(file, "Range: bytes=100-")
        before = await self.reads_for_paused(wire)
        fetched = before * 64 * kib // 2
        self.assertLess(fetched - len(wire.data), MIB)  # and not what the system would take
        wire.transport.resumeProducing()
        [got] = self.bodies(await wire.reply())
        self.assertTrue(got == file.plaintext[100:])

    async def test_nothing_can_be_read(self) -> None:
        """Until the first byte of the first part an error has its status, and no range."""
        file = self.serve(64, 40)
        for server in self.grid.servers:
            server.mood = failing("read")
        for spec in ("0-9", "0-9,100-109"):
            reply = await (await self.ask(file, f"Range: bytes={spec}")).reply()
            self.assertEqual(reply.status, 410)
            self.assertTrue(reply.headers["content-type"].startswith("text/plain"))
            for name in ("content-range", "etag", "accept-ranges"):
                self.assertNotIn(name, reply.headers)

    async def test_a_later_part_cannot_be_read(self) -> None:
        """When shares are lost between two parts, the connection is cut before its end."""
        file = self.serve(64, 40)

        async def mood(operation: str, share: int) -> None:
            if self.reads() > 12:
                await failing("read")(operation, share)

        for server in self.grid.servers:
            server.mood = mood
        spec = ",".join(f"{start}-{start + 9}" for start in range(0, 2500, 250))
        wire = await self.ask(file, f"Range: bytes={spec}")
        self.assertFalse(await wire.closed())
        self.assertTrue(wire.data.startswith(b"HTTP/1.1 206 "))
        self.assertIn(file.plaintext[:10], wire.data)
        self.assertNotIn(b"--\r\n", wire.data)
