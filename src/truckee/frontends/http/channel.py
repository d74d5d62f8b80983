"""One connection: HTTP/1.1 whose requests begin when their head is complete."""

from __future__ import annotations

from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http_headers import Headers

from truckee.errors import TruckeeError
from truckee.frontends.http import peer
from truckee.frontends.http.closing import Closing, innermost
from truckee.frontends.http.rate import RateWatch
from truckee.frontends.http.refusals import REFUSALS, HeadTooLarge, Malformed, TooSlow
from truckee.frontends.http.timer import Timer

if TYPE_CHECKING:
    from truckee.frontends.http.request import StreamingRequest
    from truckee.frontends.http.site import StreamingSite

# An enormous count of digits is an error of int(), not of the request, without this.
_MAX_LENGTH_DIGITS = 18

# Of a TLS record that is not complete yet, beyond what the system still holds for us.
_RECORD = 17 * 1024


class Phase(Enum):
    """What the bytes that arrive are."""

    IDLE = auto()  # nothing: no request has begun
    HEAD = auto()
    BODY = auto()
    SWALLOW = auto()  # the rest of a body whose answer is out
    WORK = auto()  # the next request, kept until this one is answered
    CLOSING = auto()  # of no interest


class StreamingChannel(HTTPChannel):
    """
    Dispatch at the end of the head, pause the client, answer early, close safely.

    At most one request is in progress; Twisted keeps what is pipelined behind it.
    """

    site: StreamingSite
    transport: ITransport
    requests: list[StreamingRequest]
    length: int | None
    _phase: Phase = Phase.IDLE
    _fresh: bool = True  # no request has come yet
    _body_paused: bool = False
    _close_when_flushed: bool = False
    _half_sent: bool = False
    _paused_at: float = 0.0

    def connectionMade(self) -> None:
        limits = self.site.limits
        self.totalHeadersSize = self.MAX_LENGTH = limits.max_head
        self._deadline = Timer(self.callLater)
        self._peer_timer = Timer(self.callLater)
        self._quiet = Timer(self.callLater)
        self._stall = Timer(self.callLater)
        self._rate = RateWatch(
            self.callLater,
            self.site.reactor.seconds,
            limits.body_window,
            limits.body_minimum,
            self._too_slow,
        )
        self._closing = Closing(self.transport, self.callLater, limits)
        self._wire: Any = innermost(self.transport)
        self._wire.bufferSize = limits.read_size
        self._wire.SEND_LIMIT = limits.send_size
        super().connectionMade()
        self._network: Any = self._networkProducer
        self._deadline.start(limits.header_deadline, self._too_slow)
        self.site.opened(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._phase = Phase.CLOSING
        for timer in (self._deadline, self._peer_timer, self._quiet, self._stall):
            timer.cancel()
        self._rate.stop()
        self._closing.forget()
        super().connectionLost(reason)
        self.requests = []
        self._dataBuffer = []
        self._transferDecoder = None
        self.site.closed(self)

    # What arrives

    def dataReceived(self, data: bytes) -> None:
        if self._phase is Phase.CLOSING:
            self._closing.heard()
            return
        if self._phase is Phase.SWALLOW:
            self._quiet.extend(self.site.limits.linger_quiet)
        elif self._phase is Phase.IDLE and data:
            self._start_head()
        LineReceiver.dataReceived(self, data)

    def _start_head(self) -> None:
        self._phase = Phase.HEAD
        if not self._fresh:
            self._deadline.start(self.site.limits.header_deadline, self._too_slow)

    def lineReceived(self, line: bytes) -> None:
        if self._phase is Phase.CLOSING:
            return
        if self._phase is Phase.IDLE:
            # Pipelined in one read with the request before.
            self._start_head()
        if self._receivedHeaderSize + len(line) > self.totalHeadersSize:
            self._fail(HeadTooLarge(self.totalHeadersSize))
            return
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        self._fail(HeadTooLarge(self.totalHeadersSize))

    def headerReceived(self, line: bytes) -> bool:
        if self._phase is Phase.CLOSING:
            return False
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and len(value.strip()) > _MAX_LENGTH_DIGITS:
            self._fail(Malformed())
            return False
        return bool(super().headerReceived(line))

    def checkPersistence(self, request: StreamingRequest, version: bytes) -> bool:
        wishes = b",".join(request.requestHeaders.getRawHeaders(b"Connection", []))
        tokens = {token.strip().lower() for token in wishes.split(b",")}
        return version == b"HTTP/1.1" and b"close" not in tokens

    def allHeadersReceived(self) -> None:
        request = self.requests[-1]
        request.parseCookies()
        self.persistent = self.checkPersistence(request, self._version)
        self._deadline.cancel()
        self._fresh = False
        request.head_received(self._command, self._path, self._version, self.length)
        if self.length != 0:
            self._phase = Phase.BODY
            self._rate.start()
            self.pause_body(request)
            request.begin()

    def rawDataReceived(self, data: bytes) -> None:
        if self._phase is Phase.CLOSING:
            return
        if self._phase is Phase.BODY:
            self._rate.got(len(data))
        super().rawDataReceived(data)

    def _finishRequestBody(self, data: bytes) -> None:
        if self._phase is not Phase.CLOSING:
            super()._finishRequestBody(data)

    def allContentReceived(self) -> None:
        request = self.requests[-1]
        answered = self._phase is Phase.SWALLOW
        self._phase = Phase.WORK
        self._deadline.cancel()
        self._stop_body()
        super().allContentReceived()
        if answered:
            self._quiet.cancel()
            self.requestDone(request)

    # The body's source

    def resume_body(self, request: StreamingRequest) -> None:
        """Let the body of *request* come, and ask for it if the client waits for that."""
        if self._phase is not Phase.BODY or self.requests[0] is not request:
            return
        if request.take_continue():
            self._send100Continue()
        if self._body_paused:
            self._body_paused = False
            self._rate.resume()
            if not self._waitingForTransport:
                self._network.resumeProducing()

    def pause_body(self, request: StreamingRequest) -> None:
        """Stop the body of *request*; one more read of it can arrive."""
        if self._phase is not Phase.BODY or self.requests[0] is not request:
            return
        self._body_paused = True
        self._rate.pause()
        self._network.pauseProducing()
        self._paused_at = self.site.reactor.seconds()
        if not self._peer_timer.running:
            self._peer_timer.start(self.site.limits.peer_look, self._look_at_peer)

    def _look_at_peer(self) -> None:
        # Goes on while the body stops and flows, which can be thousands of times each
        # second, and ends with a look that finds it flowing.
        if not self._body_paused:
            return
        missing = None
        if self.length is not None:
            slack = 0 if self._wire is self.transport else _RECORD
            missing = self.length - self.requests[0].received - slack
        gone = peer.is_gone(self._wire, missing)
        if gone is None:
            pause = self.site.reactor.seconds() - self._paused_at
            gone = pause >= self.site.limits.max_pause
        if gone:
            self.abort()
        else:
            self._peer_timer.start(self.site.limits.peer_look, self._look_at_peer)

    def _stop_body(self) -> None:
        self._rate.stop()
        self._peer_timer.cancel()
        if self._body_paused:
            # What follows is watched again, so that a client that goes away is noticed.
            self._body_paused = False
            if not self._waitingForTransport:
                self._network.resumeProducing()

    # Our output's way

    def pauseProducing(self) -> None:
        super().pauseProducing()
        self._stall.start(self.site.limits.stalled_output, self.abort)

    def resumeProducing(self) -> None:
        self._stall.cancel()
        super().resumeProducing()
        if self._body_paused:
            self._network.pauseProducing()
        if self._close_when_flushed:
            self._say_goodbye()

    # Answers

    def say_before(
        self, request: StreamingRequest, status: int, reason: str, headers: Headers
    ) -> bool:
        """Write an interim response; return whether *request* can have one now."""
        waits = self._phase in (Phase.BODY, Phase.WORK) and self.requests[0] is request
        if not waits or request.startedWriting or request.clientproto != b"HTTP/1.1":
            return False
        self.writeHeaders(b"HTTP/1.1", b"%d" % status, reason.encode("ascii"), headers)
        return True

    def response_starts(self, request: StreamingRequest) -> None:
        """Settle, before its headers are written, whether a response is the last one."""
        headers = request.responseHeaders
        wishes = b",".join(headers.getRawHeaders(b"Connection", [])).lower()
        rest = self._phase is Phase.BODY and not self._swallows(request)
        if rest or self.site.draining or b"close" in wishes:
            self.persistent = False
        if not self.persistent:
            headers.setRawHeaders(b"Connection", [b"close"])

    def requestDone(self, request: StreamingRequest) -> None:
        if self._phase is Phase.BODY:
            if self._swallows(request):
                self._swallow()
            else:
                self._close(half_sent=True)
        elif not self.persistent or self.site.draining:
            self._close(half_sent=False)
        else:
            self._phase = Phase.IDLE
            self._deadline.start(self.site.limits.idle_timeout, self.close_idle)
            super().requestDone(request)

    def _swallows(self, request: StreamingRequest) -> bool:
        if not self.persistent or request.owes_continue or self.length is None:
            return False
        return self.length - request.received <= self.site.limits.swallow

    def _swallow(self) -> None:
        limits = self.site.limits
        self._stop_body()
        self._phase = Phase.SWALLOW
        self._deadline.start(limits.linger, self._give_up_swallowing)
        self._quiet.start(limits.linger_quiet, self._give_up_swallowing)

    def _give_up_swallowing(self) -> None:
        self._close(half_sent=True)

    # The end

    @property
    def idle(self) -> bool:
        """Whether no request has begun and none is being answered."""
        return self._phase is Phase.IDLE

    def close_idle(self) -> None:
        """Close a connection on which nothing happens."""
        if self._waitingForTransport:
            self._close(half_sent=False)
        else:
            self._end()
            self._network.unregisterProducer()
            self._closing.close()

    def loseConnection(self) -> None:
        self._close(half_sent=False)

    def abort(self) -> None:
        """Drop the connection and all that is not sent yet."""
        self._end()
        self._closing.abort()

    def _too_slow(self) -> None:
        if self.requests or self._buffer.strip():
            self._fail(TooSlow())
        else:
            self.close_idle()

    def _respondToBadRequestAndDisconnect(self) -> None:
        self._fail(Malformed())

    def _fail(self, error: TruckeeError) -> None:
        """End the request in progress, or the head so far, with one answer at most."""
        if self._phase is Phase.CLOSING:
            return
        request = self.requests[0] if self.requests else None
        self._end()
        if request is None or not request.startedWriting:
            self._write_refusal(error)
        if request is not None:
            cut = request.startedWriting and not request.finished
            request.abandon(error)
            if cut:
                self._closing.abort()
                return
        self._close(half_sent=True)

    def _write_refusal(self, error: TruckeeError) -> None:
        answer = REFUSALS.of_error(error)
        headers = Headers()
        for name, value in self.site.headers.items():
            headers.setRawHeaders(name, [value])
        for key, text in answer.headers.items():
            headers.setRawHeaders(key, [text])
        headers.setRawHeaders(b"Content-Length", [b"%d" % len(answer.body)])
        headers.setRawHeaders(b"Connection", [b"close"])
        reason = HTTPStatus(answer.status).phrase.encode("ascii")
        self.writeHeaders(b"HTTP/1.1", b"%d" % answer.status, reason, headers)
        self.write(answer.body)

    def _close(self, half_sent: bool) -> None:
        """Close behind what is written, once the client has had a chance to read it."""
        self._end()
        self._half_sent = half_sent
        if self._waitingForTransport:
            self._close_when_flushed = True
        else:
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        self._close_when_flushed = False
        self._stall.cancel()
        self._network.unregisterProducer()
        self._network.resumeProducing()
        self._closing.linger(self._half_sent)

    def _end(self) -> None:
        """Take no more bytes, from the wire or from the buffers."""
        self._phase = Phase.CLOSING
        self._deadline.cancel()
        self._quiet.cancel()
        self._rate.stop()
        self._peer_timer.cancel()
        self._body_paused = False
        self.persistent = False
        self.clearLineBuffer()
        self._dataBuffer = []
