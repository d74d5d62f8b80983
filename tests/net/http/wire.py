"""A client that writes what it likes, and resources that tell what they got."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import AsyncIterator, Callable
from functools import cache
from typing import Any

from attrs import define, field
from twisted.internet import reactor as global_reactor
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from zope.interface import implementer

from truckee.errors import Refused
from truckee.net.http.limits import HttpLimits
from truckee.net.http.origin import allowed_hosts
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import Answer, Responder, WrongMethod
from truckee.net.http.site import StreamingSite
from truckee.net.http.streaming import IStreamingResource

reactor: Any = global_reactor

# What tests call the server.
HOSTS = allowed_hosts("h, x, example.com, next, real")


def sleep(seconds: float) -> Deferred[None]:
    """Fire after *seconds*."""
    return deferLater(reactor, seconds, lambda: None)


@cache
def certificate() -> ssl.CertificateOptions:
    """Return a self-signed server's side of TLS."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + cert.public_bytes(serialization.Encoding.PEM)
    options: ssl.CertificateOptions = ssl.PrivateCertificate.loadPEM(pem).options()
    return options


@define
class Reply:
    """One response as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


def parse_reply(data: bytes, head: bool = False) -> tuple[Reply, int] | None:
    """Return the first response in *data* and its length, or None if it is not complete."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = data[:end].decode("latin-1").split("\r\n")
    version, status, _ = first.split(" ", 2)
    assert version in ("HTTP/1.1", "HTTP/1.0"), first
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
    start = end + 4
    code = int(status)
    if head or code in (100, 204, 304):
        return Reply(code, headers, b""), start
    assert "content-length" in headers, data[:200]
    size = int(headers["content-length"])
    if len(data) < start + size:
        return None
    return Reply(code, headers, data[start : start + size]), start + size


class Wire(Protocol):
    """A connection to the server, byte by byte."""

    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.lost: Failure | None = None
        self._waiting: Deferred[None] | None = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def write(self, data: bytes) -> None:
        """Send *data*."""
        self.transport.write(data)

    async def until(self, condition: Callable[[], Any], seconds: float = 120.0) -> None:
        """Wait until what came or went makes *condition* true."""
        while not condition():
            self._waiting = Deferred()
            self._waiting.addTimeout(seconds, reactor)
            await self._waiting

    async def reply(self, head: bool = False) -> Reply:
        """Return the next response."""
        await self.until(lambda: parse_reply(self.data, head) or self.lost)
        parsed = parse_reply(self.data, head)
        assert parsed is not None, (self.data, self.lost)
        reply, length = parsed
        self.data = self.data[length:]
        return reply

    async def closed(self, seconds: float = 10.0) -> bool:
        """Wait for the end and return whether it was an orderly one."""
        await self.until(lambda: self.lost, seconds)
        assert self.lost is not None
        return self.lost.check(ConnectionDone) is not None


def chunked(*chunks: bytes) -> bytes:
    """Return *chunks* as a chunked body."""
    return b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (*chunks, b""))


@implementer(IStreamingResource)
class Sink(Resource):
    """Takes a body and tells its length and hash; each test may hook into the steps."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[StreamingRequest] = []
        self.chunks: list[bytes] = []
        self.errors: list[BaseException] = []
        self.running = 0
        self.refusal: Exception | None = None
        self.gate: Deferred[None] | None = None  # before the first chunk is asked for
        self.after_chunk: Deferred[None] | None = None  # before the second is
        self.enough: int | None = None  # bytes after which to answer

    def accept(self, request: StreamingRequest) -> None:
        self.requests.append(request)
        if self.refusal is not None:
            raise self.refusal
        if request.method not in (b"PUT", b"POST", b"PATCH"):
            raise WrongMethod(request.method.decode(), "PUT, POST, PATCH")

    async def receive(
        self, request: StreamingRequest, body: AsyncIterator[bytes]
    ) -> Answer:
        self.running += 1
        size, digest = 0, hashlib.sha256()
        try:
            if self.gate is not None:
                await self.gate
            async for chunk in body:
                self.chunks.append(chunk)
                size += len(chunk)
                digest.update(chunk)
                if self.enough is not None and size >= self.enough:
                    return Answer(b"enough")
                if self.after_chunk is not None:
                    await self.after_chunk
        except Exception as error:
            self.errors.append(error)
            raise
        finally:
            self.running -= 1
        return Answer(f"{size} {digest.hexdigest()}".encode())

    def render_GET(self, request: StreamingRequest) -> bytes:
        return b"sink"


class Plain(Resource):
    """Takes a body in memory."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.rendered = 0

    def render_GET(self, request: StreamingRequest) -> bytes:
        self.rendered += 1
        return b"plain %d" % len(request.content.read())

    def render_POST(self, request: StreamingRequest) -> bytes:
        self.rendered += 1
        body = request.content.read()
        return b"%d %s" % (len(body), hashlib.sha256(body).hexdigest().encode())


class Broken(Resource):
    """Has an error of its own."""

    isLeaf = True

    def render_GET(self, request: StreamingRequest) -> bytes:
        raise RuntimeError("a secret")


class Served:
    """A site on loopback with one of each resource; the test ends with it gone."""

    def __init__(
        self, test: TestCase, limits: HttpLimits | None = None, tls: bool = False
    ) -> None:
        self.sink = Sink()
        self.plain = Plain()
        self.root = Resource()
        self.root.putChild(b"sink", self.sink)
        self.root.putChild(b"plain", self.plain)
        self.root.putChild(b"broken", Broken())
        clock: IReactorTime = reactor
        self.site = StreamingSite(
            self.root, Responder(), limits, reactor=clock, hosts=HOSTS
        )
        self.tls = tls
        if tls:
            options = certificate()
            self.port = reactor.listenSSL(0, self.site, options, interface="127.0.0.1")
        else:
            self.port = reactor.listenTCP(0, self.site, interface="127.0.0.1")
        self._wires: list[Wire] = []
        test.addCleanup(self._stop)

    async def connect(self, kind: type[Wire] = Wire) -> Wire:
        """Return a new connection."""
        from twisted.internet.endpoints import (  # noqa: PLC0415
            SSL4ClientEndpoint,
            TCP4ClientEndpoint,
        )

        number = self.port.getHost().port
        endpoint: Any
        if self.tls:
            options = ssl.CertificateOptions()
            endpoint = SSL4ClientEndpoint(reactor, "127.0.0.1", number, options)
        else:
            endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", number)
        wire: Wire = await endpoint.connect(Factory.forProtocol(kind))
        self._wires.append(wire)
        return wire

    async def ask(self, data: bytes, head: bool = False) -> Reply:
        """Return the response to *data* on a connection of its own."""
        wire = await self.connect()
        wire.write(data)
        return await wire.reply(head)

    async def _stop(self) -> None:
        for wire in self._wires:
            if wire.lost is None:
                wire.transport.abortConnection()
        await self.port.stopListening()
        self.site.abort()
        await self.site.drain()
        for wire in self._wires:
            await wire.until(lambda wire=wire: wire.lost)  # type: ignore[misc]


async def eventually(condition: Callable[[], Any], seconds: float = 120.0) -> None:
    """Wait until *condition* holds, or fail."""
    end = reactor.seconds() + seconds
    while not condition():
        if reactor.seconds() > end:
            raise AssertionError("it never came true")
        await sleep(0.01)


@define
class NotToday(Refused):
    """Not today."""

    why: str = field(default="")
