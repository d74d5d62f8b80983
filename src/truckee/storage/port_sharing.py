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
    IDelayedCall,
    IListeningPort,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from truckee.storage.admission import Admission

_FOOLSCAP = b"GET /id/"
_UNDECIDED = 30.0  # seconds; what stock servers grant


@implementer(IStreamServerEndpoint)
@define(eq=False)
class SharedEndpoint:
    """
    *inner*, for a foolscap tub that shares the port: give this to its ``listenOn``.

    *admission* says which connections may stay.

    Connections that are not foolscap go to *https*.  Until that is set, all are foolscap's.
    """

    _inner: IStreamServerEndpoint
    _clock: IReactorTime
    https: IProtocolFactory | None = None
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

    @property
    def https(self) -> IProtocolFactory | None:
        """What takes the others; None: foolscap has them all."""
        return self._shared.https

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
        return _Undecided(self, self.https, addr)


class _Undecided(Protocol):
    """A connection of which we do not know yet what it speaks."""

    _timer: IDelayedCall | None = None

    def __init__(
        self,
        sharing: _Sharing,
        https: IProtocolFactory | None,
        address: IAddress | None,
    ) -> None:
        self._sharing = sharing
        self._https = https
        self._address = address
        self._held = b""

    def connectionMade(self) -> None:
        """See ``IProtocol``."""
        transport = cast(Any, self.transport)
        if not self._sharing.admission.opened(transport):
            transport.abortConnection()
            return
        self._timer = self._sharing.clock.callLater(_UNDECIDED, self._hang_up)
        if self._https is None:
            self._become(self._sharing.foolscap)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See ``IProtocol``."""
        self._cancel()

    def dataReceived(self, data: bytes) -> None:
        """See ``IProtocol``."""
        self._held += data
        start = self._held[: len(_FOOLSCAP)]
        if start == _FOOLSCAP:
            self._become(self._sharing.foolscap)
        elif self._https is not None and not _FOOLSCAP.startswith(start):
            self._become(self._https)

    def _become(self, factory: IProtocolFactory) -> None:
        """Let a protocol of *factory* go on, as if it had been there from the start."""
        self._cancel()
        transport = cast(Any, self.transport)
        protocol = factory.buildProtocol(cast(IAddress, self._address))
        if protocol is None:
            transport.abortConnection()
            return
        # Starting TLS later on wraps whatever the transport has here.
        transport.protocol = protocol
        protocol.makeConnection(transport)
        held, self._held = self._held, b""
        if held:
            protocol.dataReceived(held)

    def _hang_up(self) -> None:
        self._timer = None
        cast(Any, self.transport).abortConnection()

    def _cancel(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
