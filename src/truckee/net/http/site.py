"""The HTTP server of one tree of resources."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.web import server
from twisted.web.http import Request
from twisted.web.resource import IResource, Resource

from truckee.flow.fair import Yielding
from truckee.flow.turns import Turns
from truckee.net.http.channel import StreamingChannel
from truckee.net.http.isolation import USUAL
from truckee.net.http.limits import HttpLimits
from truckee.net.http.origin import AllowedHosts
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import NotFound, Responder
from truckee.net.http.streaming import IStreamingResource

log = Logger()


class _TurnedAway(Protocol):
    """A connection that is one too many, or too late."""

    def connectionMade(self) -> None:
        self.transport.abortConnection()  # type: ignore[union-attr]


class StreamingSite(server.Site):
    """
    A site whose resources may take bodies while they arrive.

    :param hosts: the names that it is known under, beside addresses and localhost.
    :param access_log: log the method, status and size of each request; never its URL,
        which may be a cap.
    """

    protocol: Any = StreamingChannel
    requestFactory = StreamingRequest
    displayTracebacks = False
    reactor: IReactorTime

    headers = USUAL  # on each response

    def __init__(
        self,
        root: IResource,
        responder: Responder,
        limits: HttpLimits | None = None,
        *,
        reactor: IReactorTime,
        hosts: AllowedHosts | None = None,
        access_log: bool = False,
    ) -> None:
        super().__init__(root, parsePOSTFormSubmission=False, reactor=reactor)
        # The channel has deadlines of its own for each phase.
        self.timeOut = None
        self.responder = responder
        self.limits = limits or HttpLimits()
        self.hosts = hosts or AllowedHosts()
        self.turns = Turns(reactor)
        self.draining = False
        self._access_log = access_log
        self._channels: set[StreamingChannel] = set()
        self._yielding: Yielding[StreamingChannel] = Yielding()
        self._drained: list[Deferred[None]] = []

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._channels)

    def drain(self) -> Deferred[None]:
        """
        Take no more requests; fire when all that are in progress are answered.

        It fires when the last connection is closed, which a client that neither reads its
        answer nor goes away can delay by the limit's ``linger``.
        """
        self.draining = True
        for channel in list(self._channels):
            if channel.idle or channel.answered:
                channel.close_idle()
        done: Deferred[None] = Deferred()
        self._drained.append(done)
        self._tell_if_drained()
        return done

    def abort(self) -> None:
        """Drop all connections; the requests in progress are cancelled."""
        for channel in list(self._channels):
            channel.abort()

    # From the requests

    def streams(self, resource: Any) -> bool:
        """Return whether *resource* wants bodies while they arrive."""
        return bool(IStreamingResource.providedBy(resource))

    # From the channels

    def opened(self, channel: StreamingChannel) -> None:
        """Count *channel* in."""
        self._channels.add(channel)

    def closed(self, channel: StreamingChannel) -> None:
        """Count *channel* out."""
        self._channels.discard(channel)
        self._tell_if_drained()

    def _tell_if_drained(self) -> None:
        if not self._channels:
            waiting, self._drained = self._drained, []
            for done in waiting:
                done.callback(None)

    def _has_room(self) -> bool:
        """Tell whether there is room for a connection, made by dropping the slowest."""
        most = self.limits.max_connections
        if len(self._channels) >= most:
            channel = self._yielding.next(self._channels)
            if channel is not None:
                channel.abort()
                self._channels.discard(channel)
        return len(self._channels) < most

    # From Twisted

    def buildProtocol(self, addr: IAddress | None) -> Any:
        if self.draining or not self._has_room():
            return _TurnedAway()
        return super().buildProtocol(addr)

    def getResourceFor(self, request: StreamingRequest) -> Any:
        """
        Return the resource at the URL of *request*.

        :raises NotFound: in place of the HTML page of a Resource that has no such child.
        """
        found: Any = self.resource
        request.site = self
        while request.postpath and not found.isLeaf:
            name = request.postpath.pop(0)
            request.prepath.append(name)
            if _has_only_static_children(found) and name not in found.children:
                raise NotFound()
            found = found.getChildWithDefault(name, request)
        return found

    def acceptableProtocols(self) -> list[bytes]:
        return [b"http/1.1"]

    def getContentFile(self, length: int | None) -> BytesIO:
        return BytesIO()

    def startFactory(self) -> None:
        """Open no log: Twisted's has URLs in it."""

    def stopFactory(self) -> None:
        """Nothing was opened."""

    def log(self, request: Request) -> None:
        if self._access_log:
            log.info(
                "{method} {status} {size} bytes",
                method=request.method.decode("ascii", "replace"),
                status=request.code,
                size=request.sentLength,
            )


def _has_only_static_children(found: Any) -> bool:
    kind = type(found)
    return (
        isinstance(found, Resource)
        and kind.getChild is Resource.getChild
        and kind.getChildWithDefault is Resource.getChildWithDefault
    )


__all__ = ["HttpLimits", "StreamingSite"]
