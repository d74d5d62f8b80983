"""What a site, its connections and their requests want of each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers

from truckee.errors import TruckeeError
from truckee.flow.timer import CallLater
from truckee.flow.turns import Turns
from truckee.net.http.head import Head
from truckee.net.http.limits import HttpLimits
from truckee.net.http.origin import AllowedHosts
from truckee.net.http.respond import Responder


class ChannelRequest(Protocol):
    """A request, as its connection sees it; see ``Exchange``."""

    bodyLength: int | None
    received: int
    endless: bool
    keeps_parts: bool
    startedWriting: int
    finished: int
    clientproto: Any
    responseHeaders: Headers

    def head_received(self, head: Head) -> None: ...
    def begin(self) -> None: ...
    def part_received(self, data: bytes) -> None: ...
    def body_received(self) -> None: ...
    def body_broken(self, error: TruckeeError) -> None: ...
    def take_continue(self) -> bool: ...
    def abandon(self, error: TruckeeError) -> None: ...
    def connectionLost(self, reason: Failure) -> None: ...

    @property
    def owes_continue(self) -> bool: ...


class RequestConnection(Protocol):
    """A connection, as its requests see it; see ``StreamingChannel``."""

    transport: Any
    client: str  # the address

    @property
    def site(self) -> RequestSite: ...
    def resume_body(self, request: ChannelRequest) -> None: ...
    def pause_body(self, request: ChannelRequest) -> None: ...
    def say_before(
        self, request: ChannelRequest, status: int, reason: str, headers: Headers
    ) -> bool: ...
    def response_starts(self, request: ChannelRequest) -> None: ...
    def switch(self, request: ChannelRequest, receive: Callable[[bytes], None]) -> None: ...
    def write(self, data: bytes) -> None: ...
    def registerProducer(self, producer: Any, streaming: bool) -> None: ...
    def loseConnection(self) -> None: ...
    def abort(self) -> None: ...


class RequestSite(Protocol):
    """A site, as requests see it; see ``StreamingSite``."""

    limits: HttpLimits
    hosts: AllowedHosts
    headers: Any
    responder: Responder

    def streams(self, resource: Any) -> bool:
        """Return whether a *resource* wants bodies while they arrive."""

    def getResourceFor(self, request: Any) -> Any: ...


class ChannelSite(Protocol):
    """A site, as connections see it; see ``ChannelFactory``."""

    limits: HttpLimits
    headers: Any
    turns: Turns
    reactor: IReactorTime
    later: CallLater  # of the reactor
    draining: bool
    requestFactory: Any

    @property
    def read_size(self) -> int: ...
    def opened(self, channel: Any) -> None: ...
    def closed(self, channel: Any) -> None: ...
