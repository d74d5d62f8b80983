"""One request of a connection: its head, its body as it comes, and the way back."""

from __future__ import annotations

from attrs import define
from twisted.python.failure import Failure
from twisted.web import http

from truckee.errors import TruckeeError
from truckee.flow.inbound import HIGH_WATER, Inbound
from truckee.net.http.head import Head
from truckee.net.http.interfaces import ChannelRequest, RequestConnection
from truckee.net.http.refusals import BodyAborted
from truckee.net.http.upload_head import CONTINUE, members


@define(eq=False)
class _Network:
    """The connection as the source of one request's body."""

    _channel: RequestConnection
    _request: ChannelRequest

    def pauseProducing(self) -> None:
        self._channel.pause_body(self._request)

    def resumeProducing(self) -> None:
        self._channel.resume_body(self._request)


class Exchange(http.Request):
    """
    A request and its response, as a ``StreamingChannel`` wants them.

    What is done once the head is there, a subclass says in ``begin``.  It may answer
    before the body has come.
    """

    channel: RequestConnection  # type: ignore[assignment]  # in place of Twisted's
    bodyLength: int | None = 0  # None for chunked
    received: int = 0  # bytes of the body that came
    owes_continue: bool = False  # the client waits for our word to send the body
    endless: bool = False  # the answer has no end, so a client that hangs up is gone
    # What comes of the body counts, whatever becomes of its client: so says a resource that
    # keeps it for the next request.  All of it is received, and the work is not cancelled.
    keeps_parts: bool = False
    _body: Inbound | None = None

    # From the channel

    def head_received(self, head: Head) -> None:
        """Take the whole head."""
        self.method, self.uri, self.clientproto = head.method, head.target, head.version
        self.bodyLength = head.length
        for name, value in head.headers:
            self.requestHeaders.addRawHeader(name, value)
        self.owes_continue = (
            head.length != 0
            and head.version == b"HTTP/1.1"
            and CONTINUE in map(str.lower, members(self.header_lines("expect")))
        )

    def begin(self) -> None:
        """Do what the head asks for."""
        raise NotImplementedError

    def part_received(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        self.received += len(data)
        if self._body is not None and not (self.finished or self._disconnected):
            self._body.received(data)

    def body_received(self) -> None:
        """The body has come to its end; if there is none, the request begins."""
        if self.finished or self._disconnected:
            return
        if self._body is not None:
            self._body.finished()
        else:
            self.begin()

    def take_continue(self) -> bool:
        """Return whether to send 100 Continue now; it is owed only once."""
        owed = self.owes_continue and not self.startedWriting and not self.received
        self.owes_continue = False
        return owed

    def abandon(self, error: TruckeeError) -> None:
        """End the work with *error*; the channel has answered, or nobody will."""
        self._disconnected = True
        self.body_broken(error)
        self.connectionLost(Failure(error))

    def body_broken(self, error: TruckeeError) -> None:
        """No more of the body will come, for *error*."""
        if self._body is None:
            return
        if self.keeps_parts:
            self._body.broken(error)
        else:
            self._body.failed(error)

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        self.body_broken(BodyAborted())

    # To a subclass

    def receive_body(self, high_water: int = HIGH_WATER) -> Inbound:
        """Return the body; its source is paused until its first chunk is asked for."""
        self._body = Inbound(_Network(self.channel, self), high_water)
        if self.bodyLength == 0:
            self._body.finished()
        return self._body

    def header_lines(self, name: str) -> list[str]:
        """Return all values of a header; bytes that are no UTF-8 are in none of ours."""
        lines = self.requestHeaders.getRawHeaders(name.encode("ascii"), [])
        return [line.decode("utf-8", "replace") for line in lines]

    # To the client

    def write(self, data: bytes) -> None:
        if not self.startedWriting and not self._disconnected:
            self.channel.response_starts(self)
        super().write(data)

    def unregisterProducer(self) -> None:
        # A connection that is gone has no producer, and Twisted's fails then.
        if not self._disconnected:
            super().unregisterProducer()

    def __repr__(self) -> str:
        # A URL may be a cap.
        method = self.method.decode("ascii", "replace")
        return f"<{type(self).__name__} {method} at 0x{id(self):x}>"
