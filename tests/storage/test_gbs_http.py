"""What the HTTP of our storage server does with clients that misbehave, and with others."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, FileBodyProducer
from twisted.web.http_headers import Headers
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from tests.contracts.storage_server import INDEX
from tests.grids import (
    REACTOR,
    SECRETS,
    MoodyServer,
    new_directory,
    new_server,
    new_workers,
    put_share,
    until,
)
from tests.net.http.wire import Wire, chunked
from tests.storage.gbs_served import SWISSNUM, certificate, stop
from tests.storage.test_gbs_server import head
from truckee.codec import base32
from truckee.storage import gbs_http, gbs_schema
from truckee.storage.gbs_connection import _AnyCertificate
from truckee.storage.gbs_http import Site
from truckee.storage.gbs_server import GbsStorage
from truckee.storage.gbs_uploads import GbsShare
from truckee.storage.quotas import QuotaLimits, ShareQuotas

MIB = 1 << 20
HOME = f"/storage/v1/immutable/{base32.encode(INDEX)}"
VERSION = head("GET /storage/v1/version HTTP/1.1")
UPLOAD = "X-Tahoe-Authorization: upload-secret dQ=="
OTHER = "X-Tahoe-Authorization: upload-secret dg=="
SIZE = 64 * MIB


def patch(size: int, length: int | None = None, secret: str = UPLOAD) -> bytes:
    """Return the head of a write of the first *size* bytes of a share."""
    return head(
        f"PATCH {HOME}/0 HTTP/1.1",
        f"Content-Range: bytes 0-{size - 1}/*",
        f"Content-Length: {size if length is None else length}",
        secret,
    )


@implementer(IPolicyForHTTPS)
class AnyServer:
    """TLS with whoever answers."""

    def creatorForNetloc(self, hostname: bytes, port: int) -> _AnyCertificate:
        return _AnyCertificate()


class HttpCase(TestCase):
    timeout = 120
    tls = True
    disk: MoodyServer
    storage: GbsStorage
    site: Site
    proved: int  # how many connections showed the swissnum

    def serve(self, **limits: Any) -> None:
        """Serve a directory until the test ends, with these limits beside the usual."""
        self.patch(gbs_http, "LIMITS", evolve(gbs_http.LIMITS, **limits))
        self.disk = new_server(new_directory(self), new_workers(self))
        quotas = ShareQuotas(REACTOR.seconds, QuotaLimits(space_part=1))
        self.proved = 0
        self.storage = GbsStorage(
            self.disk, SWISSNUM, REACTOR, quotas=quotas, proved=self.count
        )
        self.addCleanup(stop, self.storage)
        factory: Any
        if self.tls:
            factory = self.storage.https(certificate())
            self.site = factory.wrappedFactory
        else:
            factory = self.site = self.storage.site()
        self.port = REACTOR.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        self.addCleanup(self.end)
        self.wires: list[Wire] = []

    def count(self, transport: Any) -> None:
        """See ``proved``."""
        self.proved += 1

    async def end(self) -> None:
        """End all connections."""
        for wire in self.wires:
            if wire.lost is None:
                wire.transport.abortConnection()
        self.site.abort()
        await self.site.drain()
        await until(lambda: all(wire.lost for wire in self.wires))

    async def connect(self, address: str = "127.0.0.1") -> Wire:
        """Return a new connection from *address*."""
        number = self.port.getHost().port
        endpoint: Any = HostnameEndpoint(
            REACTOR, "127.0.0.1", number, bindAddress=(address, 0)
        )
        if self.tls:
            endpoint = wrapClientTLS(_AnyCertificate(), endpoint)
        wire: Wire = await endpoint.connect(Factory.forProtocol(Wire))
        self.wires.append(wire)
        return wire

    async def deaf(self) -> Wire:
        """Return a new connection of a client that reads nothing any more."""
        wire = await self.connect()
        wire.write(VERSION)
        await wire.reply()
        wire.transport.pauseProducing()
        return wire

    async def allocate(self) -> GbsShare:
        """Allocate a share of 64 MiB; return it."""
        wire = await self.connect()
        body = gbs_schema.encode_allocate({0}, SIZE)
        secrets = [
            f"X-Tahoe-Authorization: {gbs_schema.secret_header(*each).decode()}"
            for each in gbs_schema.lease_headers(SECRETS)
        ]
        first, length = f"POST {HOME} HTTP/1.1", f"Content-Length: {len(body)}"
        wire.write(head(first, length, UPLOAD, *secrets) + body)
        self.assertEqual((await wire.reply()).status, 200)
        wire.transport.abortConnection()
        (share,) = self.storage._uploads._shares.values()
        return share


class RefusalTests(HttpCase):
    """Clients that are refused while they send."""

    async def test_long_body(self) -> None:
        """Who is refused in the midst of a long body hears why, though it sends on."""
        self.serve()
        share = await self.allocate()
        wire = await self.connect()
        wire.write(patch(SIZE, secret=OTHER) + bytes(MIB))
        reply = await wire.reply()
        self.assertEqual(reply.status, 401)
        self.assertEqual(reply.headers["connection"], "close")
        self.assertEqual(share._written.size, 0)

    async def test_heard_late(self) -> None:
        """So does who hears nothing until it has sent much more of it."""
        self.serve()
        await self.allocate()
        await until(lambda: not self.site.connections)
        wire = await self.deaf()
        wire.write(patch(SIZE, secret=OTHER) + bytes(4 * MIB))
        (channel,) = self.site._channels
        await until(lambda: channel._closing._dropped >= 3 * MIB)
        wire.transport.resumeProducing()
        self.assertEqual((await wire.reply()).status, 401)

    async def test_stock_clients(self) -> None:
        """Clients that send as those of Tahoe-LAFS, by Twisted's agent, hear it too."""
        self.serve()
        await self.allocate()
        agent = Agent(REACTOR, AnyServer())
        url = f"https://127.0.0.1:{self.port.getHost().port}{HOME}/0".encode()
        for size in (1_000_000, SIZE):
            headers = Headers(
                {
                    "Authorization": [gbs_schema.authorization(SWISSNUM).decode()],
                    "Content-Range": [f"bytes 0-{size - 1}/*"],
                    "X-Tahoe-Authorization": [OTHER.partition(": ")[2]],
                }
            )
            body = FileBodyProducer(BytesIO(bytes(size)))
            response: Any = await agent.request(b"PATCH", url, headers, body)
            self.assertEqual(response.code, 401)
            response.deliverBody(Protocol())
        await until(lambda: not self.site.connections)

    async def test_no_more_than_that(self) -> None:
        """Who sends on for ever is hung up on."""
        self.serve(linger_size=2 * MIB)
        wire = await self.connect()
        wire.write(patch(SIZE, secret=OTHER) + bytes(16 * MIB))
        await wire.until(lambda: wire.lost)

    async def test_quiet(self) -> None:
        """Who says nothing more is hung up on too."""
        self.serve(linger_quiet=0.2)
        wire = await self.connect()
        wire.write(patch(SIZE, secret=OTHER))
        self.assertEqual((await wire.reply()).status, 404)
        await wire.until(lambda: wire.lost)

    async def test_short_body(self) -> None:
        """What is left of a short one is thrown away, and the connection goes on."""
        self.serve()
        await self.allocate()
        wire = await self.connect()
        for _ in range(2):
            wire.write(patch(MIB, secret=OTHER))
            reply = await wire.reply()
            self.assertEqual(reply.status, 401)
            self.assertNotIn("connection", reply.headers)
            wire.write((VERSION * MIB)[:MIB])
        wire.write(VERSION)
        self.assertEqual((await wire.reply()).status, 200)
        self.assertEqual(wire.data, b"")

    async def test_expect(self) -> None:
        """Who asks before it sends a body sends none when it is refused."""
        self.serve()
        wire = await self.connect()
        wire.write(patch(MIB).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        self.assertEqual((await wire.reply()).status, 404)


class HeadTests(HttpCase):
    async def test_two_readings(self) -> None:
        """A head that two programs could read in two ways is refused, and ends it all."""
        self.serve()
        await self.allocate()
        body = b"GET /storage/v1/version HTTP/1.1\r\nHost: x\r\n\r\n"
        size = f"Content-Length: {len(body)}"
        for lines in (
            (size, "Content-Length: 0"),
            (size, "Transfer-Encoding: chunked"),
            ("Transfer-Encoding: chunked", size),
            ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
            ("Transfer-Encoding: xchunked",),
            ("Transfer-Encoding : chunked",),
            ("Content-Length: +5",),
            ("Content-Length: 5, 5",),
            ("X: y\n Content-Length: 5",),
            ("Host: y",),
        ):
            wire = await self.connect()
            wire.write(head(f"PATCH {HOME}/0 HTTP/1.1", UPLOAD, *lines) + body + VERSION)
            reply = await wire.reply()
            self.assertEqual((reply.status, reply.headers["connection"]), (400, "close"))
            wire.write(VERSION)
            wire.transport.loseConnection()
            await wire.until(lambda wire=wire: wire.lost)  # type: ignore[misc]
            self.assertEqual(wire.data, b"", lines)

    async def test_long(self) -> None:
        """A head has at most 16 KiB."""
        self.serve()
        wire = await self.connect()
        wire.write(head("GET /storage/v1/version HTTP/1.1", "X: " + "y" * 15_000))
        self.assertEqual((await wire.reply()).status, 200)
        wire.write(head("GET /storage/v1/version HTTP/1.1", "X: " + "y" * 17_000))
        self.assertEqual((await wire.reply()).status, 431)

    async def test_bad_chunks(self) -> None:
        """A chunked body is taken; one that is none ends the request."""
        self.serve()
        share = await self.allocate()
        coded = patch(SIZE).replace(
            b"Content-Length: %d" % SIZE, b"Transfer-Encoding: chunked"
        )
        wire = await self.connect()
        wire.write(
            coded.replace(b"-%d/" % (SIZE - 1), b"-9/") + chunked(b"12345", b"67890")
        )
        self.assertEqual((await wire.reply()).status, 200)
        self.assertEqual(share._written.size, 10)
        wire.write(coded + b"5\r\n12345x\r\n" + VERSION)
        self.assertEqual((await wire.reply()).status, 400)

    async def test_pipelined(self) -> None:
        """What comes behind a body is the next request; all are answered in order."""
        self.serve()
        await self.allocate()
        wire = await self.connect()
        wire.write(patch(3) + b"abc" + VERSION + patch(2) + b"ab" + VERSION)
        for _ in range(2):
            reply = await wire.reply()
            self.assertEqual(gbs_schema.parse_required(reply.body), [(3, SIZE)])
            self.assertIn(b"application-version", (await wire.reply()).body)
        self.assertEqual(wire.data, b"")

    async def test_swissnum_once(self) -> None:
        """That a client knows the swissnum is told once for each connection."""
        self.serve()
        stranger = await self.connect()
        stranger.write(b"GET /storage/v1/version HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual((await stranger.reply()).status, 401)
        self.assertEqual(self.proved, 0)
        for number in (1, 2):
            wire = await self.connect()
            wire.write(VERSION + VERSION)
            for _ in range(2):
                self.assertEqual((await wire.reply()).status, 200)
            self.assertEqual(self.proved, number)

    async def test_nothing_is_logged(self) -> None:
        """No path is in the log, of good requests, of bad ones, and of those that fail."""
        self.serve()
        events: list[LogEvent] = []
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        wire = await self.connect()
        for first in (f"GET {HOME}/shares HTTP/1.1", f"GET {HOME}/0 HTTP/1.1"):
            wire.write(head(first))
            await wire.reply()

        async def fail(operation: str, share: int) -> None:
            raise OSError(5, "no")

        self.disk.mood = fail
        wire.write(head(f"GET {HOME}/shares HTTP/1.1"))
        self.assertEqual((await wire.reply()).status, 500)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        wire.write(head(f"GET {HOME}/shares HTTP/1.1", "Content-Length: x"))
        self.assertEqual((await wire.reply()).status, 400)
        for event in events:
            self.assertNotIn(base32.encode(INDEX), formatEvent(event))


class PlainHeadTests(HeadTests):
    tls = False


class ConnectionTests(HttpCase):
    """More connections than there are places."""

    async def fill(self, count: int, address: str = "127.0.0.1") -> list[Wire]:
        """Return connections from *address* on which nothing happens."""
        wires = []
        for _ in range(count):
            wire = await self.connect(address)
            wires.append(wire)
            wire.write(VERSION)
            self.assertEqual((await wire.reply()).status, 200)
        return wires

    async def test_slowest_gives_way(self) -> None:
        """The slowest goes, and nobody whose request is worked on or whose body comes."""
        self.serve(max_connections=6)
        gate: Deferred[None] = Deferred()

        async def wait(operation: str, share: int) -> None:
            if operation == "write":
                await gate

        share = await self.allocate()
        await until(lambda: not self.site.connections)
        busy = await self.connect()
        busy.write(patch(MIB) + bytes(MIB // 2))
        await until(lambda: share._written.size)
        self.disk.mood = wait
        waits = await self.connect()
        waits.write(patch(3) + b"abc")
        await until(lambda: self.site.active == 2)
        idle = await self.fill(4)
        await self.fill(8)
        self.assertEqual(self.site.connections, 6)
        self.assertTrue(all(wire.lost for wire in idle))
        gate.callback(None)
        self.assertEqual((await waits.reply()).status, 200)
        busy.write(bytes(MIB // 2))
        self.assertEqual((await busy.reply()).status, 200)

    async def test_client_with_the_most(self) -> None:
        """It is one of the client that has the most, not one that is idle for longer."""
        self.serve(max_connections=5)
        modest = await self.fill(1, "127.0.0.2")
        greedy = await self.fill(4)
        modest += await self.fill(1, "127.0.0.3")
        modest += await self.fill(1, "127.0.0.4")
        self.assertEqual([wire.lost for wire in modest], [None] * 3)
        self.assertEqual(sum(wire.lost is not None for wire in greedy), 2)

    async def test_one_too_many(self) -> None:
        """When all that are there are at work the newcomer is refused."""
        self.serve(max_connections=2)
        gate: Deferred[None] = Deferred()

        async def wait(operation: str, share: int) -> None:
            await gate

        self.disk.mood = wait
        wires = [await self.connect() for _ in range(2)]
        for wire in wires:
            wire.write(head(f"GET {HOME}/shares HTTP/1.1"))
        await until(lambda: self.site.active == 2)
        late = await self.connect()
        await late.until(lambda: late.lost)
        gate.callback(None)
        for wire in wires:
            self.assertEqual((await wire.reply()).status, 200)


class SlowTests(HttpCase):
    """Clients that are slow, or gone."""

    async def test_slow_body(self) -> None:
        """A body that is waited for and hardly comes is given up; the share is not."""
        self.serve(body_window=0.3, body_minimum=100)
        share = await self.allocate()
        wire = await self.connect()
        wire.write(patch(3000) + bytes(10))
        self.assertEqual((await wire.reply()).status, 408)
        self.assertEqual(self.site.active, 0)
        self.assertFalse(share._ended)

    async def test_slow_head(self) -> None:
        """So is a head, however it trickles."""
        self.serve(header_deadline=0.3)
        wire = await self.connect()
        wire.write(VERSION[:-2])
        self.assertEqual((await wire.reply()).status, 408)

    async def test_silence(self) -> None:
        """A connection on which nothing is asked is closed."""
        self.serve(idle_timeout=0.2)
        wire = await self.connect()
        wire.write(VERSION)
        self.assertEqual((await wire.reply()).status, 200)
        await wire.until(lambda: wire.lost)

    async def test_deaf(self) -> None:
        """So is that of a client that takes nothing of its answer."""
        self.serve(stalled_output=0.3)
        put_share(self.disk, INDEX, 0, bytes(SIZE))
        wire = await self.deaf()
        wire.write(head(f"GET {HOME}/0 HTTP/1.1"))
        await until(lambda: self.site.active)
        await until(lambda: not self.site.connections)
        self.assertEqual(self.site.active, 0)

    async def test_gone_while_the_disk_is_slow(self) -> None:
        """Who goes away is noticed, also while nothing is read from it."""
        self.serve()
        writing: list[str] = []

        async def wait(operation: str, share: int) -> None:
            if operation == "write":
                writing.append(operation)
                await Deferred()

        await self.allocate()
        self.disk.mood = wait
        wire = await self.connect()
        wire.write(patch(SIZE) + bytes(16 * MIB))
        await until(lambda: writing)
        wire.transport.abortConnection()
        await until(lambda: not self.site.active)

    async def test_cut_body(self) -> None:
        """Of a body whose client vanishes what was written stays, for its next one."""
        self.serve()
        share = await self.allocate()
        wire = await self.connect()
        wire.write(patch(SIZE) + bytes(2 * MIB))
        await until(lambda: share._written.size >= MIB)
        wire.transport.abortConnection()
        await until(lambda: not self.site.active)
        self.assertGreaterEqual(share._written.size, MIB)
        wire = await self.connect()
        wire.write(patch(MIB) + bytes(MIB))
        self.assertEqual((await wire.reply()).status, 200)


class PlainSlowTests(SlowTests):
    tls = False


class HalfCloseTests(HttpCase):
    """Clients that say that they will send no more; TLS has no such thing."""

    tls = False

    async def test_answered(self) -> None:
        """All that was asked before is answered, then the connection ends."""
        self.serve()
        wire = await self.connect()
        wire.write(VERSION + VERSION)
        wire.transport.loseWriteConnection()
        for _ in range(2):
            self.assertEqual((await wire.reply()).status, 200)
        self.assertTrue(await wire.closed())

    async def test_half_a_body(self) -> None:
        """Half a body is refused, and its share goes on."""
        self.serve()
        share = await self.allocate()
        wire = await self.connect()
        wire.write(patch(SIZE) + bytes(MIB))
        wire.transport.loseWriteConnection()
        self.assertEqual((await wire.reply()).status, 400)
        await wire.closed()
        await until(lambda: not self.site.active)
        self.assertFalse(share._ended)
        self.assertGreater(share._written.size, 0)


class HalfTlsTests(HttpCase):
    async def test_goodbye(self) -> None:
        """Over TLS who says goodbye in the midst of a body is gone."""
        self.serve()
        share = await self.allocate()
        wire = await self.connect()
        wire.write(patch(SIZE) + bytes(MIB))
        await until(lambda: share._written.size)
        wire.transport.loseConnection()
        await wire.until(lambda: wire.lost)
        await until(lambda: not self.site.active)
        self.assertFalse(share._ended)
