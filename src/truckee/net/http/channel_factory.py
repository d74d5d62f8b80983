"""The connections of one HTTP server: how many there may be, and which give way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory, Protocol

from truckee.flow.changes import Changes
from truckee.flow.fair import Yielding
from truckee.flow.timer import CallLater
from truckee.flow.turns import Turns
from truckee.net.http.channel import StreamingChannel
from truckee.net.http.limits import HttpLimits


class _TurnedAway(Protocol):
    """A connection that is one too many, or too late."""

    def connectionMade(self) -> None:
        self.transport.abortConnection()  # type: ignore[union-attr]


class ChannelFactory(Factory):
    """
    Makes connections, and knows those that are open.

    Their requests are what ``requestFactory`` makes of them, each an ``Exchange``.
    """

    protocol: Any = StreamingChannel
    requestFactory: Any
    noisy = False
    headers: Mapping[bytes, bytes] = {}  # on each response of the connection itself

    def __init__(self, limits: HttpLimits, reactor: IReactorTime) -> None:
        self.limits = limits
        self.reactor = reactor
        self.later: CallLater = reactor.callLater
        self.turns = Turns(reactor)
        self.draining = False
        self._channels: set[StreamingChannel] = set()
        self._yielding: Yielding[StreamingChannel] = Yielding()
        self._ends = Changes()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._channels)

    @property
    def read_size(self) -> int:
        """How many bytes of a body that begins are read at once."""
        return self.limits.read_size

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
        return Deferred.fromCoroutine(self._ends.until(lambda: not self._channels))

    def abort(self) -> None:
        """Drop all connections; the requests in progress are cancelled."""
        for channel in list(self._channels):
            channel.abort()

    # From the channels

    def opened(self, channel: StreamingChannel) -> None:
        """Count *channel* in."""
        self._channels.add(channel)

    def closed(self, channel: StreamingChannel) -> None:
        """Count *channel* out."""
        self._channels.discard(channel)
        self._ends.wake()

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
        channel: Any = super().buildProtocol(addr)
        channel.site = self
        return channel

    def log(self, request: Any) -> None:
        """A request is answered; nothing is noted of it, for its URL may be a cap."""
