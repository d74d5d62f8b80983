# mypy: disable-error-code="no-untyped-call"
"""
A storage server somewhere else, reached over HTTPS.

Source: ``docs/formats/storage-https.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from typing import Any, NoReturn, TypeVar, cast

from attrs import define, field, frozen
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import (
    ConnectError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    DNSLookupError,
)
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web._newclient import (
    HTTP11ClientProtocol,
    ParseError,
    Request,
    RequestGenerationFailed,
    RequestNotSent,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from truckee.codec import base32
from truckee.codec.hashes import Buffer
from truckee.codec.secrets import LeaseSecrets
from truckee.errors import Corrupt, Misuse, Unavailable
from truckee.flow.limits import Budget
from truckee.storage import gbs_schema
from truckee.storage.foolscap_client import BadAnswer, CallFailed, NotConnected
from truckee.storage.gbs_schema import Nurl
from truckee.storage.interfaces import (
    Allocation,
    IShareReader,
    IShareWriter,
    IStorageServer,
    ShareClosed,
    ShareTooLarge,
)
from truckee.storage.limited import Patience, TooSlow
from truckee.storage.ranges import RangeSet

log = Logger()
S = TypeVar("S")
T = TypeVar("T")

# What stock clients use, too.
_CONNECTIONS = 10
# Servers close a silent connection after a minute; a request must not meet that.
_IDLE = 20.0  # seconds
_CONNECT = 15.0  # seconds, for each address of a name
_MAX_HEAD = 64 * 1024  # bytes of a status line and headers
_UPLOAD_SECRET = 20  # bytes


@define
class WrongKey(Corrupt):
    """
    What answers at the address of {server} has another key than its NURL says. Get its
    NURL again from its operator, or from the introducer.
    """

    server: str


@define
class NeedsKnownSize(Misuse):
    """
    {server} is reached over HTTPS and takes shares of one byte or more, of a size that is
    known beforehand.
    """

    server: str


@define
class ShareIncomplete(Misuse):
    """Share {share} cannot be closed: {missing} of its {size} bytes were not written."""

    share: int
    missing: int
    size: int


@frozen
class Reply:
    """What a server answered, all of it."""

    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)


@implementer(IStorageServer)
@define(eq=False)
class GbsServer:
    """
    One server; connections come and go as they are needed.

    *random* makes so many secret bytes.  ``stop`` closes what is open.
    """

    name: str
    permutation_seed: bytes
    lease_seed: bytes
    _nurl: Nurl = field(repr=False)
    _reactor: Any = field(repr=False)
    _random: Callable[[int], bytes]
    patience: Patience = field(factory=Patience)
    _slots: Budget = field(factory=lambda: Budget(_CONNECTIONS), init=False, repr=False)
    _pool: _Pool = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._pool = _Pool(self.name, self._nurl, self._reactor)

    def stop(self) -> None:
        """Close idle connections; whoever still waits for an answer gets it."""
        self._pool.stop()

    async def available_space(self) -> int:
        """See ``IStorageServer``."""
        reply = await self.ask("version", b"GET", "/version")
        return self.understand("version", gbs_schema.parse_version, reply.body)

    async def allocate(
        self,
        storage_index: bytes,
        secrets: LeaseSecrets,
        shares: Set[int],
        size: int,
        open_ended: bool = False,
    ) -> Allocation:
        """
        See ``IStorageServer``.

        :raises NeedsKnownSize: for what has an open end or no bytes: a share is finished
            when all its bytes have come, and in no other way.
        """
        if shares and (open_ended or size < 1):
            raise NeedsKnownSize(self.name)
        upload_secret = self._random(_UPLOAD_SECRET)
        home = f"/immutable/{base32.encode(storage_index)}"
        try:
            reply = await self.ask(
                "allocate",
                b"POST",
                home,
                secrets=[*_lease(secrets), (gbs_schema.UPLOAD, upload_secret)],
                body=gbs_schema.encode_allocate(shares, size),
            )
            already, allocated = self.understand(
                "allocate", gbs_schema.parse_allocated, reply.body
            )
        except CallFailed:
            raise
        except Exception:
            # It may have heard us; nobody else can give back what it keeps for us then.
            for share in shares:
                writer = GbsWriter(self, f"{home}/{share}", share, size, upload_secret)
                Deferred.fromCoroutine(writer.abort()).addErrback(_unheard)
            raise
        return Allocation(
            already,
            {
                share: GbsWriter(self, f"{home}/{share}", share, size, upload_secret)
                for share in allocated & shares
            },
        )

    async def buckets(self, storage_index: bytes) -> Mapping[int, IShareReader]:
        """See ``IStorageServer``."""
        home = f"/immutable/{base32.encode(storage_index)}"
        reply = await self.ask("buckets", b"GET", f"{home}/shares")
        found = self.understand("buckets", gbs_schema.parse_shares, reply.body)
        return {share: GbsReader(self, f"{home}/{share}") for share in found}

    async def add_lease(self, storage_index: bytes, secrets: LeaseSecrets) -> None:
        """See ``IStorageServer``."""
        await self.ask(
            "add_lease",
            b"PUT",
            f"/lease/{base32.encode(storage_index)}",
            secrets=_lease(secrets),
            good=(204, 404),  # 404: it has no shares of this file
        )

    async def advise_corrupt(self, storage_index: bytes, share: int, reason: str) -> None:
        """See ``IStorageServer``."""
        await self.ask(
            "advise_corrupt",
            b"POST",
            f"/immutable/{base32.encode(storage_index)}/{share}/corrupt",
            body=gbs_schema.encode_report(reason),
            good=(200, 404),  # 404: the share is gone
        )

    async def ask(
        self,
        call: str,
        method: bytes,
        path: str,
        *,
        secrets: Sequence[tuple[str, bytes]] = (),
        headers: Mapping[bytes, bytes] | None = None,
        body: bytes = b"",
        good: Sequence[int] = (200,),
        limit: int = gbs_schema.MAX_ANSWER,
        seconds: float | None = None,
    ) -> Reply:
        """
        Return the reply to *call*, whose body has at most *limit* bytes.

        :raises CallFailed: for a status that is not in *good*.
        """
        lines = Headers(
            {
                b"Host": [self._nurl.authority.encode("ascii")],
                b"Authorization": [gbs_schema.authorization(self._nurl.swissnum)],
                b"Accept": [gbs_schema.CBOR],
            }
        )
        for name, value in (headers or {}).items():
            lines.setRawHeaders(name, [value])
        for secret_name, secret in secrets:
            value = gbs_schema.secret_header(secret_name, secret)
            lines.addRawHeader(b"X-Tahoe-Authorization", value)
        if body and not lines.hasHeader(b"Content-Type"):
            lines.setRawHeaders(b"Content-Type", [gbs_schema.CBOR])
        uri = (gbs_schema.PREFIX + path).encode("ascii")
        request = Request(method, uri, lines, _Whole(body) if body else None, True)
        await self._slots.take(1)
        try:
            seconds = self.patience.question if seconds is None else seconds
            reply = await self._bounded(call, request, limit, seconds)
        finally:
            self._slots.give(1)
        if reply.status not in good:
            raise CallFailed(self.name, call, f"HTTP status {reply.status}")
        return reply

    async def _bounded(
        self, call: str, request: Request, limit: int, seconds: float
    ) -> Reply:
        late: list[bool] = []

        def too_late(outcome: Reply | Failure, _: float) -> Reply | Failure:
            late.append(True)
            return outcome

        reply = Deferred.fromCoroutine(self._exchange(call, request, limit))
        reply.addTimeout(seconds, self._reactor, too_late)
        try:
            return await reply
        except Exception:
            if late:
                raise TooSlow(self.name, seconds) from None
            raise

    async def _exchange(self, call: str, request: Request, limit: int) -> Reply:
        connection: _Connection | None = None
        try:
            connection = await self._pool.take()
            return await connection.exchange(request, limit)
        except Exception as error:
            if connection is not None:
                connection.drop()
            self._explain(call, error)

    def _explain(self, call: str, error: Exception) -> NoReturn:
        """Raise what *error* of the network means for a caller."""
        if isinstance(error, (WrongKey, CancelledError)):
            raise error
        reasons = {type(reason.value) for reason in getattr(error, "reasons", []) if reason}
        if CancelledError in reasons:
            raise CancelledError from None
        if isinstance(error, _BadReply) or any(
            issubclass(reason, (ParseError, ValueError)) for reason in reasons
        ):
            raise BadAnswer(self.name, call) from None
        if isinstance(error, _NETWORK):
            raise NotConnected(self.name) from None
        raise error

    def understand(self, call: str, parse: Callable[[S], T], answer: S) -> T:
        """Return what *parse* finds in *answer*."""
        try:
            return parse(answer)
        except ValueError:
            raise BadAnswer(self.name, call) from None


def _lease(secrets: LeaseSecrets) -> list[tuple[str, bytes]]:
    return [(gbs_schema.RENEW, secrets.renew), (gbs_schema.CANCEL, secrets.cancel)]


def _unheard(failure: Failure) -> None:
    log.failure("A share in progress could not be given back", failure)


@implementer(IShareWriter)
@define(eq=False)
class GbsWriter:
    """
    A share in progress over there.

    The protocol has no "close": a share is finished, and shown to readers, when its last
    missing byte arrives.  So the byte at its very end is kept here until ``close``.
    """

    _server: GbsServer
    _path: str = field(repr=False)
    _share: int
    _size: int
    _secret: bytes = field(repr=False)
    _written: RangeSet = field(factory=RangeSet, init=False, repr=False)
    _last: bytes = field(default=b"", init=False, repr=False)  # the byte at the end
    _open: bool = field(default=True, init=False)

    async def write(self, offset: int, parts: Sequence[Buffer]) -> None:
        """See ``IShareWriter``."""
        data = b"".join(parts)
        end = offset + len(data)
        if not self._open:
            raise ShareClosed(self._share)
        if end > self._size:
            raise ShareTooLarge(self._share, end, self._size)
        if not data:
            return
        if end == self._size:
            end -= 1
            data, self._last = data[:-1], data[-1:]
        if data:
            reply = await self._send(offset, data)
            if reply.status != 200:
                raise BadAnswer(self._server.name, "write")
            self._written.add(offset, end)

    async def close(self, size: int) -> None:
        """
        See ``IShareWriter``; *size* is what was allocated.

        :raises ShareIncomplete: when not all of it was written; it stays open then.
        """
        if not self._open:
            raise ShareClosed(self._share)
        if size > self._size:
            raise ShareTooLarge(self._share, size, self._size)
        missing = self._size - self._written.size - len(self._last)
        if size != self._size or missing:
            raise ShareIncomplete(self._share, missing, self._size)
        reply = await self._send(self._size - 1, self._last)
        if reply.status != 201:
            raise BadAnswer(self._server.name, "close")
        self._open = False

    async def abort(self) -> None:
        """See ``IShareWriter``; a server out of reach forgets it in half an hour."""
        if not self._open:
            return
        self._open = False
        try:
            await self._server.ask(
                "abort",
                b"PUT",
                f"{self._path}/abort",
                secrets=[(gbs_schema.UPLOAD, self._secret)],
            )
        except (Unavailable, Corrupt):
            return

    async def _send(self, offset: int, data: bytes) -> Reply:
        return await self._server.ask(
            "write",
            b"PATCH",
            self._path,
            secrets=[(gbs_schema.UPLOAD, self._secret)],
            headers={
                b"Content-Type": gbs_schema.OCTETS,
                b"Content-Range": gbs_schema.content_range(offset, offset + len(data)),
            },
            body=data,
            good=(200, 201),
            seconds=self._server.patience.write,
        )


@implementer(IShareReader)
@define(eq=False)
class GbsReader:
    """A finished share over there."""

    _server: GbsServer
    _path: str = field(repr=False)

    async def read(self, offset: int, length: int) -> bytes:
        """See ``IShareReader``."""
        if length < 1:
            return b""
        reply = await self._server.ask(
            "read",
            b"GET",
            self._path,
            headers={
                b"Accept": gbs_schema.OCTETS,
                b"Range": gbs_schema.range_header(offset, offset + length),
            },
            good=(204, 206),
            limit=max(length, gbs_schema.MAX_ANSWER),
            seconds=self._server.patience.read,
        )
        if reply.status == 204:
            return b""
        return self._server.understand("read", partial(_part, offset, length), reply)


def _part(offset: int, length: int, reply: Reply) -> bytes:
    """Return the body of a reply to a question for *length* bytes at *offset*."""
    told = reply.headers.getRawHeaders(b"Content-Range", [b""])[0]
    begin, end = gbs_schema.parse_content_range(told)
    if begin != offset or end - begin != len(reply.body) or len(reply.body) > length:
        raise ValueError("these are other bytes than those asked for")
    return reply.body


# Connections


class _BadReply(Exception):
    """The server sends more than any answer has."""


_NETWORK = (
    ConnectError,
    ConnectionDone,
    ConnectionLost,
    ConnectionAborted,
    DNSLookupError,
    RequestGenerationFailed,
    RequestNotSent,
    RequestTransmissionFailed,
    ResponseFailed,
    SSL.Error,
)


@implementer(IOpenSSLClientConnectionCreator)
@define(eq=False)
class _AnyCertificate:
    """
    TLS with whoever answers.

    Names, issuers and dates of certificates mean nothing here.  What counts is the key,
    and ``_Connection`` looks at it before anything is sent.
    """

    _context: Any = field(factory=lambda: _client_context(), init=False, repr=False)

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        return SSL.Connection(self._context, None)


def _client_context() -> Any:
    context = CertificateOptions(raiseMinimumTo=TLSVersion.TLSv1_2).getContext()
    context.set_verify(SSL.VERIFY_NONE, lambda *_: True)
    return context


@implementer(IHandshakeListener)
class _Connection(HTTP11ClientProtocol):
    """One connection; nothing is sent over it before the key of its server was checked."""

    def __init__(self, server: str, pin: bytes, quiet: Callable[[Any], None]) -> None:
        super().__init__(quiet)
        self.ready: Deferred[None] = Deferred(lambda _: self.drop())
        self.idle: IDelayedCall | None = None
        self._server = server
        self._pin = pin
        self._endless = False  # the head was
        self._head: int | None = None  # bytes of the head that is being received

    def handshakeCompleted(self) -> None:
        """See ``IHandshakeListener``."""
        certificate = cast(Any, self.transport).getPeerCertificate()
        try:
            der = certificate.to_cryptography().public_bytes(Encoding.DER)
            known = gbs_schema.spki_hash(der) == self._pin
        except Exception:
            known = False
        if self.ready.called:
            return
        if known:
            self.ready.callback(None)
        else:
            self.ready.errback(WrongKey(self._server))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See ``IProtocol``."""
        super().connectionLost(reason)
        if not self.ready.called:
            self.ready.errback(reason)

    def dataReceived(self, data: bytes) -> None:
        """See ``IProtocol``."""
        if self._head is not None:
            self._head += len(data)
            # The first of the body come with the last of the head.
            if self._head > _MAX_HEAD + len(data):
                self._head = None
                self._endless = True
                self.drop()
                return
        super().dataReceived(data)

    def drop(self) -> None:
        """Close it, whatever is under way."""
        if self.transport is not None:
            cast(Any, self.transport).abortConnection()

    async def exchange(self, request: Request, limit: int) -> Reply:
        """Return what the server answers; its body has at most *limit* bytes."""
        self._head = 0
        try:
            response = await self.request(request)
        except ResponseFailed:
            if self._endless:
                raise _BadReply from None
            raise
        self._head = None
        if isinstance(response.length, int) and response.length > limit:
            raise _BadReply
        body = _Body(limit, self.drop)
        response.deliverBody(body)
        data = await body.done
        return Reply(response.code, response.headers, data)


class _Body(Protocol):
    """Collects the body of a response, up to *limit* bytes."""

    def __init__(self, limit: int, drop: Callable[[], None]) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: drop())
        self._limit = limit
        self._drop = drop
        self._parts: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        """See ``IProtocol``."""
        self._size += len(data)
        if self._size <= self._limit:
            self._parts.append(data)
        elif not self.done.called:
            self._parts.clear()
            self.done.errback(_BadReply())
            self._drop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See ``IProtocol``."""
        if self.done.called:
            return
        if reason.check(ResponseDone):
            self.done.callback(b"".join(self._parts))
        else:
            # Without a length the end of a body is the end of the connection, which
            # anybody can make.
            self.done.errback(ResponseFailed([reason]))


@define(eq=False)
class _Pool:
    """Connections to one server that wait to be used again."""

    _server: str
    _nurl: Nurl = field(repr=False)
    _reactor: Any = field(repr=False)
    _waiting: list[_Connection] = field(factory=list, init=False)
    _stopped: bool = field(default=False, init=False)
    _tls: _AnyCertificate = field(factory=_AnyCertificate, init=False)

    async def take(self) -> _Connection:
        """Return a connection on which one request may be sent."""
        while self._waiting:
            connection = self._waiting.pop()
            if connection.idle is not None and connection.idle.active():
                connection.idle.cancel()
            if connection.state == "QUIESCENT":
                return connection
        return await self._connect()

    async def _connect(self) -> _Connection:
        endpoint = HostnameEndpoint(
            self._reactor, self._nurl.host, self._nurl.port, timeout=_CONNECT
        )
        pin = self._nurl.spki_hash
        factory = Factory.forProtocol(lambda: _Connection(self._server, pin, self._give))
        factory.noisy = False
        tls = wrapClientTLS(self._tls, endpoint, self._reactor)
        connection = cast(_Connection, await tls.connect(factory))
        try:
            await connection.ready
        except Exception:
            connection.drop()
            raise
        return connection

    def _give(self, connection: _Connection) -> None:
        """It is quiet again."""
        if self._stopped:
            connection.drop()
            return
        self._waiting.append(connection)
        connection.idle = self._reactor.callLater(_IDLE, self._close, connection)

    def _close(self, connection: _Connection) -> None:
        if connection in self._waiting:
            self._waiting.remove(connection)
        connection.drop()

    def stop(self) -> None:
        """Close those that wait, and all others when they are done."""
        self._stopped = True
        for connection in self._waiting:
            if connection.idle is not None and connection.idle.active():
                connection.idle.cancel()
            connection.drop()
        self._waiting.clear()


@implementer(IBodyProducer)
@define(eq=False)
class _Whole:
    """A body that is in memory; it is all handed over at once."""

    _data: bytes = field(repr=False)

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return len(self._data)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """See ``IBodyProducer``."""
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """See ``IPushProducer``."""

    def resumeProducing(self) -> None:
        """See ``IPushProducer``."""

    def stopProducing(self) -> None:
        """See ``IPushProducer``."""
