# mypy: disable-error-code="no-untyped-call"
"""
Connections to one server over HTTPS: it is checked who it is, and all it sends has a bound.

Source: ``docs/formats/storage-https.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar, cast

from attrs import define, field, frozen
from OpenSSL import SSL
from OpenSSL.crypto import FILETYPE_ASN1, dump_certificate
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
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions, TLSVersion
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

from truckee.errors import Corrupt
from truckee.storage import gbs_schema
from truckee.storage.gbs_schema import Nurl
from truckee.storage.interfaces import BadAnswer, NotConnected

T = TypeVar("T")
Connect = Callable[[str, int], IStreamClientEndpoint]  # to a host and port

# Servers close a silent connection after a minute; a request must not meet that.
_IDLE = 20.0  # seconds
_CONNECT = 15.0  # seconds, for each address of a name
_MAX_HEAD = 64 * 1024  # bytes of a status line and headers


def plain(reactor: Any) -> Connect:
    """Return what connects over TCP alone."""
    return lambda host, port: HostnameEndpoint(reactor, host, port, timeout=_CONNECT)


@define
class WrongKey(Corrupt):
    """
    What answers at the address of {server} has another key than its NURL says, or another
    certificate than its furl says. Get both again from its operator or the introducer.
    """

    server: str


@frozen
class Reply:
    """What a server answered, all of it."""

    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)

    def part(self, offset: int, length: int) -> bytes:
        """
        Return the bytes of a share at *offset*, at most the *length* asked for.

        :raises ValueError: when these are other bytes.
        """
        if self.status == 204:
            return b""
        told = self.headers.getRawHeaders(b"Content-Range", [b""])[0]
        begin, end = gbs_schema.parse_content_range(told)
        whole = end - begin == len(self.body) <= length
        if begin != offset or not whole:
            raise ValueError("these are other bytes than those asked for")
        return self.body


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

    Names, issuers and dates in certificates mean nothing here.  What counts is the key, and
    the certificate as a whole; ``_Connection`` looks at both before anything is sent.
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
    """
    One connection; nothing is sent over it before it was checked who its server is.

    The NURL says which key it has, the furl which certificate.  Both are looked at, for a
    server chooses the NURLs that it announces, and the furl says whose secrets it gets.
    """

    def __init__(
        self,
        server: str,
        spki_hash: bytes,
        tub_id: bytes,
        quiet: Callable[[Any], None],
    ) -> None:
        super().__init__(quiet)
        self.ready: Deferred[None] = Deferred(lambda _: self.drop())
        self.idle: IDelayedCall | None = None
        self._server = server
        self._spki_hash = spki_hash
        self._tub_id = tub_id
        self._gone = False
        self._endless = False  # the head was
        self._head: int | None = None  # bytes of the head that is being received

    def handshakeCompleted(self) -> None:
        """See ``IHandshakeListener``."""
        certificate = cast(Any, self.transport).getPeerCertificate()
        try:
            der = dump_certificate(FILETYPE_ASN1, certificate)
            known = (
                gbs_schema.spki_hash(der) == self._spki_hash
                and gbs_schema.tub_id(der) == self._tub_id
            )
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
        self._gone = True
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

    @property
    def usable(self) -> bool:
        """Whether a request may be sent over it now."""
        return self.state == "QUIESCENT" and not self._gone

    def drop(self) -> None:
        """Close it, whatever is under way; may be called twice."""
        if self.transport is not None and not self._gone:
            self._gone = True
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
class Connections:
    """The connections to one server; those that wait are used again."""

    _server: str
    _tub_id: bytes
    _nurl: Nurl = field(repr=False)
    _reactor: Any = field(repr=False)
    _to: Connect | None = None  # None: plain TCP
    _waiting: list[_Connection] = field(factory=list, init=False)
    _stopped: bool = field(default=False, init=False)
    _tls: _AnyCertificate = field(factory=_AnyCertificate, init=False)

    async def exchange(
        self, call: str, method: bytes, path: str, headers: Headers, body: bytes, limit: int
    ) -> Reply:
        """
        Return what the server answers, with a body of at most *limit* bytes.

        Cancelling this closes the connection.  :raises NotConnected: :raises WrongKey:
        :raises BadAnswer: when it is more than that, or no HTTP.
        """
        headers.setRawHeaders(b"Host", [self._nurl.authority.encode("ascii")])
        headers.setRawHeaders(
            b"Authorization", [gbs_schema.authorization(self._nurl.swissnum)]
        )
        uri = (gbs_schema.PREFIX + path).encode("ascii")
        request = Request(method, uri, headers, _Whole(body) if body else None, True)
        connection: _Connection | None = None
        try:
            connection = await self._take()
            return await connection.exchange(request, limit)
        except Exception as error:
            if connection is not None:
                connection.drop()
            self._explain(call, error)

    def _explain(self, call: str, error: Exception) -> NoReturn:
        """Raise what *error* means to who asked."""
        if isinstance(error, (WrongKey, CancelledError)):
            raise error
        reasons = {type(reason.value) for reason in getattr(error, "reasons", [])}
        if CancelledError in reasons:
            raise CancelledError from None
        if isinstance(error, _BadReply) or any(
            issubclass(reason, (ParseError, ValueError)) for reason in reasons
        ):
            raise BadAnswer(self._server, call) from None
        if isinstance(error, _NETWORK):
            raise NotConnected(self._server) from None
        raise error

    async def _take(self) -> _Connection:
        """Return a connection on which one request may be sent."""
        while self._waiting:
            connection = self._waiting.pop()
            if connection.idle is not None and connection.idle.active():
                connection.idle.cancel()
            if connection.usable:
                return connection
        return await self._connect()

    async def _connect(self) -> _Connection:
        to = self._to or plain(self._reactor)
        endpoint = to(self._nurl.host, self._nurl.port)
        factory = Factory.forProtocol(
            lambda: _Connection(
                self._server, self._nurl.spki_hash, self._tub_id, self._give
            )
        )
        factory.noisy = False
        tls = wrapClientTLS(self._tls, endpoint, self._reactor)
        connection = cast(_Connection, await _cancellable(tls.connect(factory)))
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


def _cancellable(work: Deferred[T]) -> Deferred[T]:
    """
    Return what *work* gives; when this is cancelled, it ends as cancelled.

    An endpoint that is finding out the address of a name ends as if there were none.
    """

    def cancel(outcome: Deferred[T]) -> None:
        outcome.errback(CancelledError())
        work.cancel()

    def end(result: Any) -> None:
        if not outcome.called:
            outcome.callback(result)

    outcome: Deferred[T] = Deferred(cancel)
    work.addBoth(end)
    return outcome


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
