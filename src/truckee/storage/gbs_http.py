# mypy: disable-error-code="no-untyped-call"
"""
HTTP as a storage server speaks it: questions, and their answers.

It knows nothing of storage.  Source: ``docs/formats/storage-https.md``, "Requests".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Set
from typing import Any, TypeVar, cast

from attrs import define
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from truckee.flow.inbound import Inbound
from truckee.flow.outbound import Outbound
from truckee.net.http.channel import StreamingChannel
from truckee.net.http.channel_factory import ChannelFactory
from truckee.net.http.exchange import Exchange
from truckee.net.http.limits import HttpLimits
from truckee.storage import gbs_schema
from truckee.storage.share_reads import piece_of

log = Logger()
T = TypeVar("T")
B = TypeVar("B")

LIMITS = HttpLimits(
    # Of the 512 that the port takes in all: foolscap has room beside them.
    max_connections=384,
    # Only the client's own line is waited for, so it sends something all the time.
    body_window=60.0,
    body_minimum=6000,
    stalled_output=300.0,
    # Writes of stock clients are shorter: refused ones cost them no connection.
    swallow=1 << 20,
    # What the systems of both ends hold at most, which was sent before the client heard us.
    linger_size=16 << 20,
)


@define
class Refusal(Exception):
    """An answer that is not what was asked for."""

    status: int
    text: str


class Question(Exchange):
    """One request; it is looked at when its head is there, and its body while it comes."""

    body: Inbound
    _work: Deferred[None] | None = None

    # From the channel

    def begin(self) -> None:
        """See ``Exchange``."""
        site = self._site
        site.active += 1
        self.body = self.receive_body(self.piece)
        self._work = Deferred.fromCoroutine(self._serve(site))
        self._work.addErrback(self._fail)

    def connectionLost(self, reason: Failure) -> None:
        """See ``Exchange``."""
        super().connectionLost(reason)
        if self._work is not None:
            self._work.cancel()

    async def _serve(self, site: Site) -> None:
        try:
            await site.serve(self)
        except CancelledError:
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
                self.channel.abort()
                return
            kind = b"text/plain; charset=utf-8"
            self.responseHeaders.removeHeader(b"Content-Range")
            self.answer(refusal.status, refusal.text.encode("utf-8") + b"\n", kind)
        finally:
            site.active -= 1

    def _fail(self, failure: Failure) -> None:
        """The connection is lost, or must be."""
        if not failure.check(CancelledError):
            log.failure("A request over HTTPS failed", failure)
        if not self._disconnected:
            self.channel.abort()

    # What it asks

    @property
    def _site(self) -> Site:
        return cast(Site, self.channel.site)

    @property
    def piece(self) -> int:
        """Bytes of this request's body, or of its answer, that are in memory at once."""
        return piece_of(self._site.active)

    @property
    def peer(self) -> str:
        """The address from which it comes."""
        return self.channel.client

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

    # To the client

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
                await outbound.write(piece)
        self.finish()


class _Channel(StreamingChannel):
    """A connection of a client that is known or not."""

    known = False  # it has shown the swissnum


def parse_body(parse: Callable[[B], T], body: B) -> T:
    """Return what *parse* makes of a body.  :raises Refusal: when it makes nothing of it"""
    try:
        return parse(body)
    except ValueError as error:
        raise Refusal(400, str(error)) from None


# Answers a question, or raises ``Refusal``.
Serve = Callable[[Question], Coroutine[Deferred[Any], Any, None]]


class Site(ChannelFactory):
    """What makes channels, whose questions *serve* answers."""

    protocol = _Channel
    requestFactory = Question

    def __init__(self, serve: Serve, reactor: Any) -> None:
        super().__init__(LIMITS, reactor)
        self.serve = serve
        self.active = 0  # requests in progress

    @property
    def read_size(self) -> int:
        """See ``ChannelFactory``; while a body waits a piece and a read are in memory."""
        return piece_of(self.active)
