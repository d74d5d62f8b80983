"""One connection: HTTP/1.1 whose requests begin when their head is complete."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from zope.interface import implementer

from truckee.errors import Misuse, TruckeeError
from truckee.flow.fair import Debt
from truckee.flow.timer import Timer
from truckee.flow.turns import Turn
from truckee.net.http.body import Decoder, decoder
from truckee.net.http.body_source import BodySource
from truckee.net.http.head import Head, find_end, parse_head
from truckee.net.http.interfaces import ChannelRequest, ChannelSite
from truckee.net.http.lingering_close import Closing, innermost
from truckee.net.http.output import Output
from truckee.net.http.reading import Cause, Reading
from truckee.net.http.refusals import BodyAborted, HeadTooLarge, TooSlow, refusal
from truckee.net.http.request_channel import RequestChannel
from truckee.net.http.unsent import drop_unsent


class Phase(Enum):
    """What the bytes that arrive are."""

    IDLE = auto()  # nothing: no request has begun
    HEAD = auto()
    BODY = auto()
    SWALLOW = auto()  # the rest of a body whose answer is out
    WORK = auto()  # the next request, kept until this one is answered
    SWITCHED = auto()  # of another protocol, to the end of the connection
    CLOSING = auto()  # of no interest


@implementer(IHalfCloseableProtocol)
class StreamingChannel(RequestChannel):
    """
    Dispatch at the end of the head, pause the client, answer early, close safely.

    At most one request is in progress, and at most one begins in each turn of the event
    loop, none of them while an answer waits for the client to take it: however many come
    in one read, others have their turn between them.  Those of all connections together
    take a part of each turn, so that what is in progress goes on.
    """

    site: ChannelSite
    factory: ChannelSite
    transport: Any
    persistent = True  # whether another request may follow
    client = ""  # the address, which shares its places among its connections
    _phase = Phase.IDLE
    _fresh = True  # no request has come yet
    _request: ChannelRequest | None = None
    _decoder: Decoder
    _searched = 0  # bytes of the buffer in which no head ends
    _close_when_flushed = False
    _half_sent = False
    _ended = False  # the client will send no more
    _receive: Callable[[bytes], None]  # takes what is of another protocol

    def connectionMade(self) -> None:
        self.client = str(getattr(self.transport.getPeer(), "host", ""))
        limits, later = self.site.limits, self.site.later
        self._buffer = bytearray()  # what came and was not taken apart yet
        self._timer, self._quiet = Timer(), Timer()
        self._turn = Turn(self.site.turns, self._next_turn)
        self._closing = Closing(self.transport, later, limits)
        self._reading = Reading(self.transport)
        self._debt = Debt(self.site.reactor.seconds)
        self._output = Output(
            later, limits.stalled_output, self.abort, self._flushed, self._debt
        )
        self._wire: Any = innermost(self.transport)
        self._source = BodySource(
            self.site.reactor,
            limits,
            self._reading,
            self._debt,
            self._wire,
            self._wire is not self.transport,
            self._missing,
            lambda: self._request is not None and self._request.keeps_parts,
            self._too_slow,
            self.abort,
        )
        self._wire.SEND_LIMIT = limits.send_size
        if ITCPTransport.providedBy(self._wire):
            self._wire.setTcpNoDelay(True)
        self._read_little()
        self.transport.registerProducer(self._output, True)
        self._timer.start(self.site.later, limits.header_deadline, self._too_slow)
        self._debt.wait()
        self.site.opened(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._phase = Phase.CLOSING
        self._timer.cancel()
        self._quiet.cancel()
        self._turn.cancel()
        self._output.end()
        self._source.forget()
        self._closing.forget()
        request, self._request = self._request, None
        if request is not None:
            request.connectionLost(reason)
        self._buffer.clear()
        drop_unsent(self._wire)
        self.site.closed(self)

    def readConnectionLost(self) -> None:
        """The client will send no more; it is answered what it asked until then."""
        self._ended = True
        request = self._request
        if self._phase is Phase.CLOSING:
            self._closing.close()
        elif request is not None and request.endless:
            self.abort()  # who listens to what has no end has gone away
        elif self._phase is Phase.BODY:
            self._cut_if_ended()
        elif self._phase in (Phase.HEAD, Phase.SWALLOW) or not (request or self._buffer):
            self._close(half_sent=False)

    def writeConnectionLost(self) -> None:
        """We have said goodbye; the client may not have."""

    # What arrives

    def dataReceived(self, data: bytes) -> None:
        if self._phase is Phase.CLOSING:
            self._closing.heard(len(data))
        elif self._phase is Phase.SWITCHED:
            self._receive(data)
        elif self._phase in (Phase.BODY, Phase.SWALLOW) and not self._buffer:
            self._take_body(data)
        else:
            self._buffer += data
            self._go_on()

    def _go_on(self) -> None:
        """Take apart what came, as far as it is its turn."""
        waits = self._turn.waits or self._output.blocked
        if self._phase in (Phase.IDLE, Phase.HEAD) and not waits:
            if self.site.turns.is_over:
                self._yield()
            else:
                self.site.turns.run(self._take_head, self._turn.share)
        elif (
            self._phase in (Phase.WORK, Phase.IDLE, Phase.HEAD)
            and len(self._buffer) > self.site.limits.read_ahead
        ):
            self._reading.stop(Cause.PIPELINE)

    def _next_turn(self) -> None:
        """Continue with what came before, in another turn of the event loop."""
        self._reading.go_on(Cause.TURN)
        if self._phase in (Phase.BODY, Phase.SWALLOW):
            data = bytes(self._buffer)
            self._buffer.clear()
            self._reading.go_on(Cause.PIPELINE)
            self._take_body(data)
            self._cut_if_ended()
        elif not self._output.blocked and self._phase in (Phase.IDLE, Phase.HEAD):
            self._take_head()
            if self._ended and self._phase in (Phase.IDLE, Phase.HEAD):
                self._close(half_sent=False)

    def _take_head(self) -> None:
        limits, buffer = self.site.limits, self._buffer
        if self._phase is Phase.IDLE and buffer:
            if buffer.startswith(b"\r\n"):
                # Some old clients send an empty line behind a form.
                del buffer[:2]
            self._phase, self._searched = Phase.HEAD, 0
            if not self._fresh:
                self._timer.start(self.site.later, limits.header_deadline, self._too_slow)
        try:
            end = find_end(buffer, self._searched)
            if (end if end >= 0 else len(buffer)) > limits.max_head:
                raise HeadTooLarge(limits.max_head)
            self._searched = len(buffer)
            if end >= 0:
                head = parse_head(bytes(buffer[:end]))
                del buffer[:end]
                self._begin(head)
        except TruckeeError as error:
            self._fail(error)
        # A turn takes one request, and a read can bring hundreds.
        if self._phase is Phase.HEAD or len(buffer) <= limits.read_ahead:
            self._reading.go_on(Cause.PIPELINE)

    def _begin(self, head: Head) -> None:
        self._timer.cancel()
        self._debt.clear()
        self._fresh = False
        self.persistent = head.persistent
        self._request = request = self.site.requestFactory(self)
        request.head_received(head)
        if head.length == 0:
            self._phase = Phase.WORK
            request.body_received()
            return
        self._phase = Phase.BODY
        self._decoder = decoder(head.length)
        self._wire.bufferSize = self.site.read_size
        self._source.start()
        request.begin()
        if self._buffer and self._phase in (Phase.BODY, Phase.SWALLOW):
            self._next_turn()

    def _take_body(self, data: bytes) -> None:
        body, request = self._decoder, self._request
        try:
            piece, rest = body.feed(data)
        except Misuse as error:
            self._fail(error)
            return
        if self._phase is Phase.BODY:
            self._source.got(len(data))
        else:
            self._quiet.extend(self.site.limits.linger_quiet)
        if piece and request is not None:
            request.part_received(piece)
        if self._phase is Phase.CLOSING:
            return
        self._buffer += rest
        if body.ended:
            self._body_ended()
        elif rest:
            self._yield()

    def _yield(self) -> None:
        self._reading.stop(Cause.TURN)
        self._turn.wait()

    def _body_ended(self) -> None:
        answered = self._phase is Phase.SWALLOW
        self._phase = Phase.WORK
        self._source.stop()
        self._read_little()
        if answered:
            self._timer.cancel()
            self._quiet.cancel()
            self._exchange_over()
        elif self._request is not None:
            self._request.body_received()
            self._go_on()

    def _cut_if_ended(self) -> None:
        """End a body that its client left half sent, once all that came is taken."""
        request = self._request
        if not self._ended or self._buffer or self._phase is not Phase.BODY:
            return
        if request is None or not request.keeps_parts:
            # It may still listen.
            error = BodyAborted()
            if request is not None and not request.startedWriting:
                self.write(refusal(error, self.site.headers))
            self._request = None
            self._close(half_sent=True)
            if request is not None:
                request.connectionLost(Failure(error))
            return
        self._phase = Phase.WORK
        self.persistent = False
        self._source.stop()
        request.body_broken(BodyAborted())

    def _read_little(self) -> None:
        # Between bodies: what a thousand connections may have in memory before anything
        # is known of them.
        self._wire.bufferSize = self.site.limits.read_ahead

    def resume_body(self, request: ChannelRequest) -> None:
        """Let the body of *request* come, and ask for it if the client waits for that."""
        if self._phase is Phase.BODY and self._request is request:
            if request.take_continue():
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._source.go_on()

    def pause_body(self, request: ChannelRequest) -> None:
        """Stop the body of *request*; one more read of it can arrive."""
        if self._phase is Phase.BODY and self._request is request:
            self._source.pause()

    def _missing(self) -> int | None:
        """Return how much of the body is still with the system, None if nobody can tell."""
        request = self._request
        if request is None or request.bodyLength is None:
            return None
        return request.bodyLength - request.received - len(self._buffer)

    # Answers, for requests

    def say_before(
        self, request: ChannelRequest, status: int, reason: str, headers: Headers
    ) -> bool:
        """Write an interim response; return whether *request* can have one now."""
        waits = self._phase in (Phase.BODY, Phase.WORK) and self._request is request
        if not waits or request.startedWriting or request.clientproto != b"HTTP/1.1":
            return False
        self.writeHeaders(b"HTTP/1.1", b"%d" % status, reason.encode("ascii"), headers)
        return True

    def switch(self, request: ChannelRequest, receive: Callable[[bytes], None]) -> None:
        """
        Answer *request* with 101; what arrives from now on is given to *receive*.

        The connection is written to as it is, until ``loseConnection`` or ``abort``; its
        request hears of its end.
        """
        request.startedWriting = 1
        request.endless = True
        self.persistent = False
        self._phase, self._receive = Phase.SWITCHED, receive
        status = b"101", b"Switching Protocols"
        self.writeHeaders(b"HTTP/1.1", *status, request.responseHeaders)
        early = bytes(self._buffer)
        self._buffer.clear()
        self._reading.go_on(Cause.PIPELINE)
        if early:
            receive(early)

    def response_starts(self, request: ChannelRequest) -> None:
        """Settle, before its headers are written, whether a response is the last one."""
        headers = request.responseHeaders
        wishes = b",".join(headers.getRawHeaders(b"Connection", [])).lower()
        rest = self._phase is Phase.BODY and not self._swallows(request)
        if rest or self.site.draining or b"close" in wishes:
            self.persistent = False
        if not self.persistent:
            headers.setRawHeaders(b"Connection", [b"close"])

    def requestDone(self, request: ChannelRequest) -> None:
        self._request = None
        if self._phase is Phase.CLOSING:
            return
        if self._phase is Phase.BODY:
            if self._swallows(request):
                self._swallow()
            else:
                self._close(half_sent=True)
        else:
            self._exchange_over()

    def _exchange_over(self) -> None:
        """A request is answered, and all of it has come."""
        if not self.persistent or self.site.draining or (self._ended and not self._buffer):
            self._close(half_sent=False)
            return
        self._phase = Phase.IDLE
        self._debt.wait()
        self._timer.start(self.site.later, self.site.limits.idle_timeout, self.close_idle)
        if self._buffer:
            self._turn.wait()
        else:
            self._reading.go_on(Cause.PIPELINE)

    def _flushed(self) -> None:
        if self._close_when_flushed:
            self._say_goodbye()
        elif self._buffer and self._phase in (Phase.IDLE, Phase.HEAD):
            self._turn.wait()

    def _swallows(self, request: ChannelRequest) -> bool:
        if not self.persistent or request.owes_continue or request.bodyLength is None:
            return False
        return request.bodyLength - request.received <= self.site.limits.swallow

    def _swallow(self) -> None:
        limits = self.site.limits
        self._source.stop()
        self._phase = Phase.SWALLOW
        self._timer.start(self.site.later, limits.linger, self._give_up_swallowing)
        self._quiet.start(self.site.later, limits.linger_quiet, self._give_up_swallowing)

    def _give_up_swallowing(self) -> None:
        self._close(half_sent=True)

    # The end

    @property
    def owed(self) -> float:
        """How long the client was waited for, in seconds; see ``Debt``."""
        return self._debt.seconds

    @property
    def idle(self) -> bool:
        """Whether no request has begun and none is being answered."""
        return self._phase is Phase.IDLE and not self._buffer

    @property
    def answered(self) -> bool:
        """Whether all that was asked is answered, and only the client's goodbye is due."""
        closing = self._phase is Phase.CLOSING and not self._close_when_flushed
        return closing and not self._half_sent

    def close_idle(self) -> None:
        """Close a connection on which nothing happens."""
        if self.answered:
            self._closing.close()
        elif self._output.blocked:
            self._close(half_sent=False)
        else:
            self._end()
            self.transport.unregisterProducer()
            self._closing.close()

    def loseConnection(self) -> None:
        self._close(half_sent=False)

    def abort(self) -> None:
        """Drop the connection and all that is not sent yet."""
        self._end()
        self._closing.abort()

    def _too_slow(self) -> None:
        if self._request is not None or self._buffer.strip():
            self._fail(TooSlow())
        else:
            self.close_idle()

    def _fail(self, error: TruckeeError) -> None:
        """End the request in progress, or the head so far, with one answer at most."""
        if self._phase is Phase.CLOSING:
            return
        request = self._request
        self._end()
        if request is None or not request.startedWriting:
            self.write(refusal(error, self.site.headers))
        if request is not None:
            cut = request.startedWriting and not request.finished
            self._request = None
            request.abandon(error)
            if cut:
                self._closing.abort()
                return
        self._close(half_sent=True)

    def _close(self, half_sent: bool) -> None:
        """Close behind what is written, once the client has had a chance to read it."""
        self._end()
        self._half_sent = half_sent
        if self._output.blocked:
            self._close_when_flushed = True
        else:
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        self._close_when_flushed = False
        self._output.end()
        self.transport.unregisterProducer()
        if self._ended:
            self._closing.close()
            return
        self._reading.go_on_anyway()
        self._closing.linger(self._half_sent)

    def _end(self) -> None:
        """Take no more bytes, from the wire or from the buffers."""
        self._phase = Phase.CLOSING
        self._debt.wait()
        # What still comes is dropped, soon, for the client to come to our last answer.
        self._wire.bufferSize = self.site.read_size
        self._timer.cancel()
        self._quiet.cancel()
        self._turn.cancel()
        self._source.forget()
        self.persistent = False
        self._buffer.clear()
