# mypy: disable-error-code="no-untyped-call"
"""
One port for foolscap and HTTPS.

Source: ``docs/formats/storage-https.md``, "One port for two protocols".
"""

from __future__ import annotations

from typing import Any, cast

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from truckee.flow.timer import Timer
from truckee.flow.turns import Turn, Turns
from truckee.net.connection_admission import Admission

_FOOLSCAP = b"GET /id/"
_UNDECIDED = 30.0  # seconds; what stock servers grant


@implementer(IStreamServerEndpoint)
@define(eq=False)
class SharedEndpoint:
    """
    *inner*, for a foolscap tub that shares the port: give this to its ``listenOn``.

    *admission* says which connections may stay.

    Connections that begin with one of the lines in *others* go to its factory; those that
    are not foolscap otherwise, to *https*.  Until that is set, they are foolscap's.
    """

    _inner: IStreamServerEndpoint
    _clock: IReactorTime
    https: IProtocolFactory | None = None
    others: dict[bytes, IProtocolFactory] = field(factory=dict, init=False)
    admission: Admission = field()

    @admission.default
    def _new_admission(self) -> Admission:
        return Admission(self._clock)

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """See ``IStreamServerEndpoint``; *factory* is foolscap's."""
        listening: Deferred[IListeningPort] = self._inner.listen(
            _Sharing(factory, self, self._clock)
        )
        return listening


class _Sharing(Factory):
    """Makes what listens to the first bytes of a connection."""

    noisy = False

    def __init__(
        self, foolscap: IProtocolFactory, shared: SharedEndpoint, clock: IReactorTime
    ) -> None:
        self.foolscap = foolscap
        self.clock = clock
        self._shared = shared
        self.admission = shared.admission
        # A handshake begins with milliseconds of work for us, and one line of the peer's.
        self.turns = Turns(clock)

    @property
    def starts(self) -> dict[bytes, IProtocolFactory]:
        """Who takes connections that begin in these ways."""
        return {_FOOLSCAP: self.foolscap, **self._shared.others}

    @property
    def rest(self) -> IProtocolFactory:
        """Who takes the others."""
        return self._shared.https or self.foolscap

    def doStart(self) -> None:
        """See ``IProtocolFactory``."""
        super().doStart()
        self.foolscap.doStart()

    def doStop(self) -> None:
        """See ``IProtocolFactory``."""
        self.admission.stop()
        self.foolscap.doStop()
        super().doStop()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """See ``IProtocolFactory``."""
        return _Undecided(self, addr)


class _Undecided(Protocol):
    """A connection of which we do not know yet what it speaks."""

    def __init__(
        self,
        sharing: _Sharing,
        address: IAddress | None,
    ) -> None:
        self._sharing = sharing
        self._starts, self._rest = sharing.starts, sharing.rest
        self._address = address
        self._held = b""
        self._timer = Timer()
        self._chosen: IProtocolFactory | None = None
        self._turn = Turn(sharing.turns, self._become)

    def connectionMade(self) -> None:
        """See ``IProtocol``."""
        transport = cast(Any, self.transport)
        if not self._sharing.admission.opened(transport):
            transport.abortConnection()
            return
        self._timer.start(self._sharing.clock.callLater, _UNDECIDED, self._hang_up)
        if set(self._starts.values()) == {self._rest}:
            self._choose(self._rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See ``IProtocol``."""
        self._timer.cancel()
        self._turn.cancel()

    def dataReceived(self, data: bytes) -> None:
        """See ``IProtocol``."""
        self._held += data
        if self._chosen is not None:
            return  # what came before it is read no more
        for start, factory in self._starts.items():
            if self._held.startswith(start):
                self._choose(factory)
                return
        if not any(start.startswith(self._held) for start in self._starts):
            self._choose(self._rest)

    def _choose(self, factory: IProtocolFactory) -> None:
        """Have a protocol of *factory* go on, when the event loop has time for it."""
        self._timer.cancel()
        self._chosen = factory
        self._turn.take()
        if self._turn.waits:
            cast(Any, self.transport).pauseProducing()

    def _become(self) -> None:
        """Let the chosen protocol go on, as if it had been there from the start."""
        transport, factory = cast(Any, self.transport), self._chosen
        assert factory is not None
        protocol = factory.buildProtocol(cast(IAddress, self._address))
        if protocol is None:
            transport.abortConnection()
            return
        # Starting TLS later on wraps whatever the transport has here.
        transport.protocol = protocol
        transport.resumeProducing()
        protocol.makeConnection(transport)
        held, self._held = self._held, b""
        if held:
            protocol.dataReceived(held)

    def _hang_up(self) -> None:
        cast(Any, self.transport).abortConnection()
