# mypy: disable-error-code="no-untyped-call"
"""
HTTP as a storage server speaks it: questions, and clients that wait with their bodies.

It knows nothing of storage.  Source: ``docs/formats/storage-https.md``, "Requests".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Set
from io import BytesIO
from typing import Any, TypeVar, cast

from attrs import define
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, HTTPFactory, Request

from truckee.flow.inbound import Inbound
from truckee.flow.outbound import Outbound
from truckee.storage import gbs_schema
from truckee.storage.share_reads import piece_of

log = Logger()
T = TypeVar("T")
B = TypeVar("B")

# Bytes of a body that are read only to be thrown away, so that its sender hears why.
_MAX_DISCARD = 1 << 20
_SILENCE = 60  # seconds in which a client sends nothing of a request, or none at all
# Of a body that is waited for this many bytes have to come in each window of seconds.
_WINDOW, _LEAST = 60, 6000
_STALL = 300  # seconds in which a client takes nothing of an answer
_MAX_HEAD = 16 * 1024  # bytes; ten secrets fit


@define
class Refusal(Exception):
    """An answer that is not what was asked for."""

    status: int
    text: str


class Question(Request):
    """
    One request; it is looked at when its head is there, and answered when all of it is.

    So no client is still sending when the answer goes out.
    """

    length: int | None  # of the body; None: not sent
    body: Inbound
    _work: Deferred[None] | None = None

    def gotLength(self, length: int | None) -> None:
        """See ``Request``."""
        self.content = BytesIO()
        self.length = length
        channel = cast(_Channel, self.channel)
        self.method, self.uri = channel._command, channel._path
        channel.factory.active += 1
        channel.in_body = True
        self.body = Inbound(channel.body, self.piece)
        channel.hold()
        self._work = Deferred.fromCoroutine(self._serve(channel.factory.serve))
        self._work.addErrback(self._fail)

    @property
    def piece(self) -> int:
        """Bytes of this request's body, or of its answer, that are in memory at once."""
        return piece_of(cast(_Channel, self.channel).factory.active)

    def handleContentChunk(self, data: bytes) -> None:
        """See ``Request``."""
        cast(_Channel, self.channel).received += len(data)
        self.body.received(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """See ``Request``."""
        self.clientproto = version
        self.body.finished()

    def connectionLost(self, reason: Failure) -> None:
        """See ``Request``."""
        super().connectionLost(reason)
        if self._work is not None:
            self._work.cancel()

    def unregisterProducer(self) -> None:
        """See ``Request``, which cannot do it when the connection is gone."""
        if not self._disconnected:
            super().unregisterProducer()

    async def _serve(self, serve: Serve) -> None:
        factory = cast(_Channel, self.channel).factory
        try:
            await serve(self)
        except (CancelledError, TimeoutError):
            raise
        except Exception as error:
            if self._disconnected:
                return
            if isinstance(error, Refusal):
                refusal = error
            else:
                log.failure("A request over HTTPS failed")
                refusal = Refusal(500, "The server failed; its log says why.")
            if self.startedWriting:
                self.channel.forceAbortClient()
                return
            await self.empty_body()
            kind = b"text/plain; charset=utf-8"
            self.responseHeaders.removeHeader(b"Content-Range")
            self.answer(refusal.status, refusal.text.encode("utf-8") + b"\n", kind)
        finally:
            factory.active -= 1

    def _fail(self, failure: Failure) -> None:
        """The connection is lost, or must be."""
        if not failure.check(CancelledError, TimeoutError):
            log.failure("A request over HTTPS failed", failure)
        if not self._disconnected:
            self.channel.forceAbortClient()

    @property
    def peer(self) -> str:
        """The address from which it comes."""
        return str(getattr(self.channel.getPeer(), "host", ""))

    def become_known(self, tell: Callable[[Any], None]) -> None:
        """*tell* that the client knows the swissnum, the first time."""
        channel = cast(_Channel, self.channel)
        if not channel.known:
            channel.known = True
            tell(channel.transport)

    def header(self, name: str) -> bytes:
        """Return the value of a header, empty if it is missing or comes twice."""
        values = self.requestHeaders.getRawHeaders(name.encode("ascii"), [])
        return values[0] if len(values) == 1 else b""

    def check(self, *methods: bytes) -> bytes:
        """Return the method if it is one of these."""
        if self.method not in methods:
            allowed = b", ".join(methods)
            self.tell(b"Allow", allowed)
            raise Refusal(405, f"Here one can {allowed.decode('ascii')}.")
        return bytes(self.method)

    def secrets(self, wanted: Set[str]) -> dict[str, bytes]:
        """Return the secrets, which must be those *wanted*."""
        values = self.requestHeaders.getRawHeaders(b"X-Tahoe-Authorization", [])
        try:
            return gbs_schema.parse_secrets(values, wanted)
        except ValueError as error:
            raise Refusal(400, str(error)) from None

    def check_cbor(self) -> None:
        """Refuse a body that is said to be no CBOR."""
        kind = self.header("Content-Type")
        if kind and kind.partition(b";")[0].strip().lower() != gbs_schema.CBOR:
            raise Refusal(415, "The body must be application/cbor.")

    async def small_body(self, limit: int) -> bytes:
        """Return the body, which is CBOR of at most *limit* bytes."""
        self.check_cbor()
        body = b""
        async for chunk in self.body:
            body += chunk
            if len(body) > limit:
                raise Refusal(413, f"The body may have {limit} bytes.")
        return body

    async def empty_body(self) -> None:
        """Return when the whole request is there; a body says nothing to it."""
        size = 0
        async for chunk in self.body:
            size += len(chunk)
            if size > _MAX_DISCARD:
                self.channel.forceAbortClient()
                await Deferred[None]()  # the end of the connection cancels this

    def tell(self, name: bytes, value: bytes) -> None:
        """Set a header of the answer."""
        self.responseHeaders.setRawHeaders(name, [value])

    def answer(self, status: int, body: bytes = b"", kind: bytes = gbs_schema.CBOR) -> None:
        """Answer with *body*, and that is all."""
        self.setResponseCode(status)
        if status != 204:
            self.tell(b"Content-Type", kind)
            self.tell(b"Content-Length", b"%d" % len(body))
            self.write(body)
        self.finish()

    async def stream(
        self, status: int, pieces: AsyncIterator[bytes], kind: bytes = gbs_schema.OCTETS
    ) -> None:
        """Answer with *pieces*, as fast as the client takes them."""
        self.setResponseCode(status)
        self.tell(b"Content-Type", kind)
        with Outbound(self) as outbound:
            async for piece in pieces:
                taken = Deferred.fromCoroutine(outbound.write(piece))
                taken.addTimeout(_STALL, self.channel.factory.reactor)
                await taken
        self.finish()


@define(eq=False)
class _Hold:
    """The client's sending, as something that stops and goes."""

    _channel: _Channel

    def pauseProducing(self) -> None:
        """See ``Source``."""
        self._channel.hold()

    def resumeProducing(self) -> None:
        """See ``Source``."""
        self._channel.release()


class _Channel(HTTPChannel):
    """A connection whose client can be told to wait with its body."""

    requestFactory = Question
    totalHeadersSize = _MAX_HEAD
    _held = False
    known = False  # the client has shown the swissnum
    in_body = False  # a body has not ended
    received = 0  # bytes of bodies since the last look
    _listening = False  # to the same body since the last look, without a pause
    _watch: IDelayedCall | None = None

    def __init__(self) -> None:
        super().__init__()
        self.body = _Hold(self)

    def connectionMade(self) -> None:
        """See ``HTTPChannel``."""
        super().connectionMade()
        self._watch = self.callLater(_WINDOW, self._look)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See ``HTTPChannel``."""
        watch, self._watch = self._watch, None
        if watch is not None and watch.active():
            watch.cancel()
        super().connectionLost(reason)

    def _look(self) -> None:
        """Drop a client that has sent next to nothing of its body in a whole window."""
        self._watch = self.callLater(_WINDOW, self._look)
        slow = self._listening and self.received < _LEAST
        self.received, self._listening = 0, self.in_body and not self._held
        if slow:
            self.forceAbortClient()

    def hold(self) -> None:
        """Read no more of the body; being slow is our fault now."""
        self._held, self._listening = True, False
        self.setTimeout(None)
        self._networkProducer.pauseProducing()

    def release(self) -> None:
        """Read on."""
        if self._held:
            self._held = False
            self.setTimeout(_SILENCE)
            if not self._waitingForTransport:
                self._networkProducer.resumeProducing()

    def allContentReceived(self) -> None:
        """See ``HTTPChannel``, which has its own way with the time of an answer."""
        self.release()
        self.in_body = self._listening = False
        super().allContentReceived()

    def resumeProducing(self) -> None:
        """See ``HTTPChannel``; our sending goes on, and that is no reason to read."""
        super().resumeProducing()
        if self._held:
            self._networkProducer.pauseProducing()


def parse_body(parse: Callable[[B], T], body: B) -> T:
    """Return what *parse* makes of a body.  :raises Refusal: when it makes nothing of it"""
    try:
        return parse(body)
    except ValueError as error:
        raise Refusal(400, str(error)) from None


# Answers a question, or raises ``Refusal``.
Serve = Callable[[Question], Coroutine[Deferred[Any], Any, None]]


class Site(HTTPFactory):
    """
    What makes channels, whose questions *serve* answers.

    It keeps no access log, for paths name files.
    """

    protocol = _Channel  # type: ignore[assignment]
    noisy = False

    def __init__(self, serve: Serve, reactor: Any) -> None:
        super().__init__(timeout=_SILENCE, reactor=reactor)
        self.serve = serve
        self.active = 0  # requests in progress

    def startFactory(self) -> None:
        """See ``HTTPFactory``; all it does is for its log."""

    def log(self, request: Request) -> None:
        """See ``HTTPFactory``."""
