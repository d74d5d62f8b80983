"""Our storage server over HTTPS, and our client with it."""

from __future__ import annotations

import json
import os
from typing import Any
from unittest import SkipTest
from urllib.parse import quote

from attrs import define
from foolscap.api import Tub
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.contracts import storage_server
from tests.contracts.storage_server import INDEX
from tests.grids import REACTOR, SECRETS, new_directory, pause, until
from tests.integration.stock import TAHOE, StockNode
from tests.processes import ask
from tests.storage.gbs_served import (
    SWISSNUM,
    Served,
    certificate,
    keep_shares,
    new_client,
    serve,
)
from truckee.codec import base32
from truckee.storage import gbs_schema
from truckee.storage.gbs_client import GbsServer
from truckee.storage.gbs_connection import Reply, _AnyCertificate
from truckee.storage.gbs_schema import Nurl
from truckee.storage.gbs_writer import NeedsKnownSize, ShareIncomplete
from truckee.storage.interfaces import CallFailed, IStorageServer, ShareTooLarge

ANY = range(1000)
HOME = f"/immutable/{base32.encode(INDEX)}"
UPLOAD = ("upload-secret", b"u")
LEASE = [("lease-renew-secret", SECRETS.renew), ("lease-cancel-secret", SECRETS.cancel)]


class GbsContractTests(storage_server.StorageServerContract):
    """Our client over our server."""

    holes = False
    waits_when_cancelled = False
    client: GbsServer

    async def new_server(self) -> IStorageServer:
        _, nurl = serve(self, self.disk)
        self.client = new_client(self, nurl)
        await self.client.version()
        return self.client


class NotKeepingTests(GbsContractTests):
    """Over a server that keeps no shares in progress."""

    open_ended = False
    takes_open_ends = False

    async def new_server(self) -> IStorageServer:
        self.disk.kept = None
        return await GbsContractTests.new_server(self)

    async def test_unknown_size(self) -> None:
        """A share of unknown size is refused, and one of no bytes; a question is not."""
        for size, open_ended in ((8, True), (0, False)):
            with self.assertRaises(NeedsKnownSize):
                await self.server.allocate(INDEX, SECRETS, {0}, size, open_ended)
        await self.server.allocate(INDEX, SECRETS, set(), 0)
        writer = await self.writer(0, 8)
        with self.assertRaises(NeedsKnownSize):
            await writer.close(7)
        with self.assertRaises(ShareTooLarge):
            await writer.close(9)

    async def test_incomplete(self) -> None:
        """A share with bytes that were not written is not closed, and goes on."""
        writer = await self.writer(0, 8)
        for offset, data, missing in ((6, b"78", 6), (0, b"123", 3), (2, b"3456", None)):
            await writer.write(offset, [data])
            if missing is not None:
                with self.assertRaises(ShareIncomplete) as caught:
                    await writer.close(8)
                self.assertEqual(caught.exception.missing, missing)
        await writer.close(8)
        self.assertEqual(await self.found(), {0: b"12345678"})


class Raw(Protocol):
    """A TLS connection, byte by byte."""

    def __init__(self) -> None:
        self.got = bytearray()
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True


async def raw(case: TestCase, nurl: Nurl) -> Any:
    """Return a connection to *nurl* that is closed when the test ends."""
    endpoint = HostnameEndpoint(REACTOR, nurl.host, nurl.port)
    factory = Factory.forProtocol(Raw)
    factory.noisy = False
    protocol: Any = await wrapClientTLS(_AnyCertificate(), endpoint).connect(factory)

    def close() -> Deferred[None]:
        if not protocol.lost:
            protocol.transport.abortConnection()
        return Deferred.fromCoroutine(pause(0.02))

    case.addCleanup(close)
    return protocol


def head(first: str, *lines: str) -> bytes:
    """Return the head of a request with the right swissnum."""
    authorization = gbs_schema.authorization(SWISSNUM).decode()
    both = [first, "Host: x", f"Authorization: {authorization}", *lines, "", ""]
    return "\r\n".join(both).encode()


class GbsServerTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.served = Served.new(self)
        self.client = new_client(self, self.served.nurl)

    async def ask(self, method: str, path: str, **options: Any) -> Reply:
        """Return the reply to a request of any form."""
        return await self.client.ask("x", method.encode(), path, good=ANY, **options)

    async def allocate(self, *shares: int, size: int = 8) -> Reply:
        """Ask for shares with the upload secret of these tests."""
        body = gbs_schema.encode_allocate(set(shares), size)
        return await self.ask("POST", HOME, secrets=[*LEASE, UPLOAD], body=body)

    async def put(
        self,
        begin: int,
        data: bytes,
        share: int = 0,
        told: bytes | None = None,
        **more: Any,
    ) -> Reply:
        """Write with the upload secret of these tests."""
        value = told or gbs_schema.content_range(begin, begin + len(data))
        options = {"secrets": [UPLOAD], **more}
        return await self.ask(
            "PATCH",
            f"{HOME}/{share}",
            body=data,
            headers={b"Content-Range": value},
            **options,
        )

    async def test_swissnum(self) -> None:
        """Who does not know the swissnum learns nothing, not even what exists."""
        stranger = new_client(self, Nurl(**{**_fields(self.served.nurl), "swissnum": "x"}))
        for method, path in ((b"GET", "/version"), (b"GET", "/no"), (b"POST", HOME)):
            reply = await stranger.ask("x", method, path, good=ANY)
            self.assertEqual(reply.status, 401)
        with self.assertRaises(CallFailed):
            await stranger.available_space()

    async def test_unknown_paths(self) -> None:
        """What is no path of ours is 404, mutable files too; wrong methods are 405."""
        index = base32.encode(INDEX)
        for path in (
            "/",
            "/no",
            "/version/",
            "/immutable",
            "/immutable/",
            f"/immutable/{index[:-1]}",
            f"/immutable/{index.upper()}",
            f"{HOME}/256",
            f"{HOME}/01",
            f"{HOME}/-1",
            f"{HOME}/x",
            f"{HOME}/0/0",
            f"{HOME}/0",
            f"/mutable/{index}/256",
            f"/mutable/{index}/0/0",
            f"/mutable/{index}/0",
        ):
            self.assertEqual((await self.ask("GET", path)).status, 404, path)
        for method, path in (
            ("POST", "/version"),
            ("GET", HOME),
            ("PUT", f"{HOME}/0"),
            ("GET", f"{HOME}/0/abort"),
            ("GET", f"{HOME}/0/corrupt"),
            ("PUT", f"{HOME}/shares"),
            ("POST", f"/lease/{index}"),
        ):
            reply = await self.ask(method, path)
            self.assertEqual(reply.status, 405, path)
            self.assertTrue(reply.headers.hasHeader("Allow"))

    async def test_secrets(self) -> None:
        """Missing and surplus secrets are refused before the body is looked at."""
        for secrets in ([], [UPLOAD], LEASE, [*LEASE, UPLOAD, ("write-enabler", b"w")]):
            reply = await self.ask("POST", HOME, secrets=secrets, body=b"nonsense")
            self.assertEqual(reply.status, 400)
        self.assertEqual((await self.ask("GET", "/version", secrets=[UPLOAD])).status, 400)
        self.assertEqual((await self.ask("GET", f"{HOME}/0", secrets=LEASE)).status, 400)

    async def test_bad_questions(self) -> None:
        """Bodies that are no question, too long ones and other types are refused."""
        for body, status in (
            (b"nonsense", 400),
            (gbs_schema.encode_allocate({1}, 1) + b"\0", 400),
            (bytes(8193), 413),
            (bytes(500_000), 413),
        ):
            secrets = [*LEASE, UPLOAD]
            reply = await self.ask("POST", HOME, secrets=secrets, body=body)
            self.assertEqual(reply.status, status)
        kind = {b"Content-Type": b"text/plain"}
        reply = await self.ask("POST", f"{HOME}/0/corrupt", body=b"x", headers=kind)
        self.assertEqual(reply.status, 415)

    async def test_written_in_pieces(self) -> None:
        """The answers say what is missing; the last byte finishes the share."""
        reply = await self.allocate(0, 3)
        self.assertEqual(gbs_schema.parse_allocated(reply.body), (set(), {0, 3}))
        reply = await self.put(5, b"678")
        self.assertEqual(reply.status, 200)
        self.assertEqual(gbs_schema.parse_required(reply.body), [(0, 5)])
        reply = await self.put(1, b"234")
        self.assertEqual(gbs_schema.parse_required(reply.body), [(0, 1), (4, 5)])
        self.assertEqual((await self.ask("GET", f"{HOME}/0")).status, 404)
        await self.put(4, b"5")
        reply = await self.put(0, b"1", told=b"bytes 0-0/8")
        self.assertEqual((reply.status, reply.body), (201, gbs_schema.encode_required([])))
        reply = await self.ask("GET", f"{HOME}/0")
        self.assertEqual((reply.status, reply.body), (200, b"12345678"))
        self.assertEqual((await self.put(0, b"1")).status, 404)
        self.assertEqual((await self.ask("GET", f"{HOME}/3")).status, 404)

    async def test_repeated_allocation(self) -> None:
        """What is in progress is offered to nobody again, not even to its writer."""
        await self.allocate(0)
        reply = await self.allocate(0, 1)
        self.assertEqual(gbs_schema.parse_allocated(reply.body), (set(), {1}))

    async def test_empty_share(self) -> None:
        """A share of no bytes could never be finished; it is not begun."""
        reply = await self.allocate(0, size=0)
        self.assertEqual(gbs_schema.parse_allocated(reply.body), (set(), set()))

    async def test_bad_writes(self) -> None:
        """Wrong ranges, secrets and lengths are refused, and the share goes on."""
        await self.allocate(0)
        self.assertEqual((await self.put(0, b"1", share=1)).status, 404)
        other = [("upload-secret", b"v")]
        self.assertEqual((await self.put(0, b"1", secrets=other)).status, 401)
        self.assertEqual((await self.put(0, b"1", secrets=[])).status, 400)
        for told in (b"bytes 0-0", b"nonsense", b"bytes 7-8/*", b"bytes 0-99/*"):
            self.assertEqual((await self.put(0, b"12", told=told)).status, 416)
        self.assertEqual((await self.put(0, b"1", told=b"bytes 0-7/*")).status, 400)
        # More than the range says: the rest is dropped.
        self.assertEqual((await self.put(0, b"1x", told=b"bytes 0-0/*")).status, 200)
        self.assertEqual((await self.put(1, b"2345678")).status, 201)
        self.assertEqual((await self.ask("GET", f"{HOME}/0")).body, b"12345678")

    async def test_too_many_gaps(self) -> None:
        """A share does not remember any number of gaps."""
        await self.allocate(0, size=100_000)
        (share,) = self.served.storage._uploads._shares.values()
        for place in range(0, 8300, 2):
            share._written.add(place, place + 1)
        self.assertEqual((await self.put(50_000, b"x")).status, 400)

    async def test_abort(self) -> None:
        """Aborting says what there was to abort."""
        await self.allocate(0, 1)

        async def abort(share: int, secret: bytes) -> int:
            path, secrets = f"{HOME}/{share}/abort", [("upload-secret", secret)]
            return (await self.ask("PUT", path, secrets=secrets)).status

        self.assertEqual(await abort(0, b"v"), 401)
        self.assertEqual(await abort(0, b"u"), 200)
        self.assertEqual(await abort(0, b"u"), 404)
        await self.put(0, b"12345678", share=1)
        self.assertEqual(await abort(1, b"u"), 405)

    async def test_ranges(self) -> None:
        """Ranges are clipped at the end; behind it there is nothing; others are 416."""
        size = 1_000_003
        data = os.urandom(size)
        await self.allocate(0, size=size)
        self.assertEqual((await self.put(0, data)).status, 201)
        for begin, end in (
            (0, 1),
            (7, 300_000),
            (0, size),
            (0, size + 1),
            (0, 1 << 60),
            (600_000, size + 5),
            (size - 1, 1 << 62),
            (100_000, 1_000_002),
        ):
            told = {b"Range": gbs_schema.range_header(begin, end)}
            reply = await self.ask("GET", f"{HOME}/0", headers=told)
            self.assertEqual((reply.status, reply.body), (206, data[begin:end]))
            (value,) = reply.headers.getRawHeaders(b"Content-Range", [])
            expected = gbs_schema.content_range(begin, min(end, size))
            self.assertEqual(value, expected)
            self.assertEqual(
                reply.headers.getRawHeaders(b"Content-Type"), [gbs_schema.OCTETS]
            )
        for value, status in (
            (b"bytes=1000003-1000004", 204),
            (b"bytes=0-", 416),
            (b"bytes=-5", 416),
            (b"bytes=0-1,3-4", 416),
        ):
            reply = await self.ask("GET", f"{HOME}/0", headers={b"Range": value})
            self.assertEqual(reply.status, status)
        self.assertEqual((await self.ask("GET", f"{HOME}/0")).body, data)

    async def test_leases_and_reports(self) -> None:
        """Leases and reports need a share."""
        path = f"/lease/{base32.encode(INDEX)}"
        report = gbs_schema.encode_report("it smells")
        self.assertEqual((await self.ask("PUT", path, secrets=LEASE)).status, 404)
        reply = await self.ask("POST", f"{HOME}/0/corrupt", body=report)
        self.assertEqual(reply.status, 404)
        await self.allocate(0)
        await self.put(0, b"12345678")
        self.assertEqual((await self.ask("PUT", path, secrets=LEASE)).status, 204)
        reply = await self.ask("POST", f"{HOME}/0/corrupt", body=report)
        self.assertEqual((reply.status, self.served.disk.advice), (200, [(0, "it smells")]))

    async def test_stop(self) -> None:
        """A server that stops leaves nothing of shares in progress."""
        await self.allocate(0, 1, 2)
        self.served.storage.stop()
        await until(lambda: not self.served.disk._writers)
        self.assertEqual(self.served.storage._uploads._shares, {})

    async def test_disk_trouble(self) -> None:
        """A failing disk is 500 and says nothing about itself."""

        async def fail(operation: str, share: int) -> None:
            raise OSError(5, "/the/path")

        self.served.disk.mood = fail
        reply = await self.ask("GET", f"{HOME}/shares")
        self.assertEqual(reply.status, 500)
        self.assertNotIn(b"path", reply.body)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    async def test_endless_body(self) -> None:
        """A body that nobody wants is thrown away for a while, then the connection."""
        for first in (
            "GET /storage/v1/version HTTP/1.1",
            f"POST /storage/v1{HOME} HTTP/1.1",
        ):
            talk = await raw(self, self.served.nurl)
            talk.transport.write(head(first, "Content-Length: 4294967296"))
            for _ in range(300):
                talk.transport.write(bytes(65536))
                await pause()
                if talk.lost:
                    break
            self.assertTrue(talk.lost)

    async def test_announced_size(self) -> None:
        """A huge length that is announced costs nothing, and leaving is noticed."""
        await self.allocate(0, size=1 << 32)
        talk = await raw(self, self.served.nurl)
        talk.transport.write(
            head(
                f"PATCH /storage/v1{HOME}/0 HTTP/1.1",
                "Content-Length: 4294967296",
                "Content-Range: bytes 0-4294967295/*",
                "X-Tahoe-Authorization: upload-secret dQ==",
            )
        )
        talk.transport.write(bytes(1 << 20))
        (share,) = self.served.storage._uploads._shares.values()
        await until(lambda: share._written.size > 500_000)
        talk.transport.abortConnection()
        await until(lambda: talk.lost)
        # The share is still there, for another connection.
        self.assertEqual((await self.put(5 << 20, b"x")).status, 200)

    async def test_pipelined(self) -> None:
        """Requests that come in one piece are answered in order; HEAD is no method."""
        talk = await raw(self, self.served.nurl)
        one = head("GET /storage/v1/version HTTP/1.1")
        talk.transport.write(one + head("HEAD /storage/v1/version HTTP/1.1") + one)
        await until(lambda: talk.got.count(b"HTTP/1.1 ") == 3)
        self.assertEqual(talk.got.count(b"HTTP/1.1 200 "), 2)
        self.assertEqual(talk.got.count(b"HTTP/1.1 405 "), 1)

    async def test_expect(self) -> None:
        """A client that asks whether it may send its body is told so."""
        await self.allocate(0)
        talk = await raw(self, self.served.nurl)
        talk.transport.write(
            head(
                f"PATCH /storage/v1{HOME}/0 HTTP/1.1",
                "Content-Length: 8",
                "Content-Range: bytes 0-7/8",
                "X-Tahoe-Authorization: upload-secret dQ==",
                "Expect: 100-continue",
            )
        )
        await until(lambda: b"100 Continue" in talk.got)
        talk.transport.write(b"12345678")
        await until(lambda: b" 201 " in talk.got)

    async def test_slow_disk_stops_the_client(self) -> None:
        """While the disk is slow the client's bytes wait with the client."""
        gate: Deferred[None] = Deferred()
        slow = True

        async def mood(operation: str, share: int) -> None:
            if operation == "write" and slow:
                await gate

        self.served.disk.mood = mood
        size = 64 << 20
        await self.allocate(0, size=size)
        talk = await raw(self, self.served.nurl)
        talk.transport.write(
            head(
                f"PATCH /storage/v1{HOME}/0 HTTP/1.1",
                f"Content-Length: {size}",
                f"Content-Range: bytes 0-{size - 1}/*",
                "X-Tahoe-Authorization: upload-secret dQ==",
            )
        )
        talk.transport.write(bytes(size))
        await pause(0.5)
        (share,) = self.served.storage._uploads._shares.values()
        self.assertEqual(share._written.size, 0)
        slow = False
        gate.callback(None)
        await until(lambda: b" 201 " in talk.got)

    async def test_slow_reader(self) -> None:
        """Nothing is read from the disk for a client that takes nothing."""
        size = 64 << 20
        writer = (await self.client.allocate(INDEX, SECRETS, {0}, size)).writers[0]
        await writer.write(0, [bytes(size)])
        await writer.close(size)
        talk = await raw(self, self.served.nurl)
        talk.transport.pauseProducing()
        talk.transport.write(head(f"GET /storage/v1{HOME}/0 HTTP/1.1"))
        await pause(0.5)
        reads = self.served.disk.reads
        self.assertLess(reads, 100)
        talk.transport.resumeProducing()
        await until(lambda: len(talk.got) > size)
        self.assertGreater(self.served.disk.reads, reads)


@define(eq=False)
class HttpsNode(StockNode):
    """A stock node that is ready when its server over HTTPS is, of which it says so."""

    def _connected(self) -> bool:
        try:
            self.url = (self.directory / "node.url").read_text("ascii").strip()
            (server,) = json.loads(ask(f"{self.url}?t=json").body)["servers"]
        except (OSError, ValueError):
            return False
        return bool(server["connection_status"] == "connected")


class StockClientTests(TestCase):
    """A stock client with our server, which it can reach over HTTPS only."""

    timeout = 120

    async def test_stock_client(self) -> None:
        """It stores a file, finds it healthy, reads it, and reads a part of it."""
        if not TAHOE.exists():
            raise SkipTest("tahoe-lafs is not installed")
        served = Served.new(self)
        keep_shares(served.disk)
        room = new_directory(self)
        node = HttpsNode(room / "node", room / "storage", (1, 1, 1))
        await deferToThread(node.create)
        config = node.directory / "tahoe.cfg"
        text = config.read_text()
        config.write_text(text.replace("[client]\n", "[client]\nforce_foolscap = false\n"))
        # Nobody speaks foolscap at this address; the NURL is the way.
        tubid = Tub(certData=certificate()).tubID
        (node.directory / "private" / "servers.yaml").write_text(
            "storage:\n  ours:\n    ann:\n"
            f"      anonymous-storage-FURL: pb://{tubid}@tcp:127.0.0.1:1/{SWISSNUM}\n"
            f"      anonymous-storage-NURLs: [{json.dumps(served.nurl.text)}]\n"
        )
        try:
            await deferToThread(node.start)
        finally:
            self.addCleanup(deferToThread, node.stop)
        data = os.urandom(3_000_001)
        put = await deferToThread(ask, "-T", "-", f"{node.url}uri", data=data)
        self.assertEqual(put.status, 200, put.body)
        url = f"{node.url}uri/{quote(put.text, safe='')}"
        self.assertEqual((await deferToThread(ask, url)).body, data)
        part = await deferToThread(ask, "--range", "1000000-2000000", url)
        self.assertEqual(part.body, data[1000000:2000001])
        check = f"{url}?t=check&verify=true&add-lease=true&output=JSON"
        found = await deferToThread(ask, "--request", "POST", check)
        self.assertTrue(json.loads(found.body)["results"]["healthy"], found.body)


def _fields(nurl: Nurl) -> dict[str, Any]:
    names = ("spki_hash", "host", "port", "swissnum")
    return {name: getattr(nurl, name) for name in names}
