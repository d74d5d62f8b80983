"""
Connections through Tor: nothing is connected to but its SOCKS port, and no name looked up.

Source: ``docs/how-to-use-tor.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NoReturn

from attrs import define, field
from foolscap.ipb import IConnectionHintHandler, InvalidHintError
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from zope.interface import implementer

from truckee.flow.together import Work
from truckee.grid.addresses import Reach, reach_of

# Tor makes a new circuit for an address that it did not reach; an onion takes the longest.
CONNECT = 120.0  # seconds
_LONGEST = 200  # characters of what is told of an error
_HINT = re.compile(r"[a-z]+:(?P<host>[^:\s]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")

# Is told why Tor cannot be used; empty: it can be.
Tell = Callable[[str], None]


@define(eq=False)
class Tor:
    """
    Connects through the Tor whose SOCKS port *socks* returns, each time anew.

    *client* is ``txtorcon.TorClientEndpoint``.
    """

    _socks: Callable[[], Work[IStreamClientEndpoint]]
    _client: Callable[..., IStreamClientEndpoint]
    _reactor: Any
    _tell: Tell

    def endpoint(self, host: str, port: int) -> IStreamClientEndpoint:
        """Return what connects to an address or a name, which Tor looks up."""
        return _ThroughTor(self, host, port)

    async def connect(self, host: str, port: int, factory: IProtocolFactory) -> IProtocol:
        """
        Connect.  Cancelling this closes what is open.

        :raises ConnectError: with a reason.
        """
        # Tor refuses them, and who runs its exit need not know of our local names.
        if reach_of(host) is not Reach.PUBLIC:
            raise ConnectError(string="Tor reaches no private address")
        socks: _Watched | None = None
        try:
            socks = _Watched(await self._find())
            client = self._client(host, port, socks_endpoint=socks, reactor=self._reactor)
            return await client.connect(factory)
        except BaseException as error:
            if socks is not None:
                socks.drop()
                if socks.failed:
                    self._tell(_reason(error))
            if isinstance(error, (ConnectError, CancelledError)):
                raise
            if isinstance(error, Exception):
                raise ConnectError(string=_reason(error)) from None
            raise
        finally:
            if socks is not None and socks.opened:
                self._tell("")

    async def _find(self) -> IStreamClientEndpoint:
        try:
            return await self._socks()
        except CancelledError:
            raise
        except Exception as error:
            self._tell(_reason(error))
            raise

    def timed(self, work: Deferred[IProtocol]) -> Deferred[IProtocol]:
        """Give *work* an end."""
        return work.addTimeout(CONNECT, self._reactor, _too_slow)


def _too_slow(result: object, seconds: float) -> NoReturn:
    raise ConnectError(string="Tor did not reach it in time")


def _reason(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text[:_LONGEST].rstrip(".")


@implementer(IStreamClientEndpoint)
@define(eq=False)
class _ThroughTor:
    """Connects to one place."""

    _tor: Tor
    _host: str
    _port: int

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See ``IStreamClientEndpoint``."""
        connecting = self._tor.connect(self._host, self._port, protocolFactory)
        return self._tor.timed(Deferred.fromCoroutine(connecting))


@implementer(IStreamClientEndpoint)
@define(eq=False)
class _Watched:
    """Connects to the SOCKS port, and can drop that connection, which txtorcon does not."""

    _endpoint: IStreamClientEndpoint
    opened: bool = field(default=False, init=False)
    failed: bool = field(default=False, init=False)
    _protocol: Any = field(default=None, init=False)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See ``IStreamClientEndpoint``."""
        work = self._endpoint.connect(protocolFactory)
        return work.addCallbacks(self._came, self._lost)

    def _came(self, protocol: IProtocol) -> IProtocol:
        self.opened = True
        self._protocol = protocol
        return protocol

    def _lost(self, failure: Any) -> Any:
        self.failed = not failure.check(CancelledError)
        return failure

    def drop(self) -> None:
        """Close what was opened."""
        transport = getattr(self._protocol, "transport", None)
        if transport is not None:
            transport.abortConnection()


@implementer(IStreamClientEndpoint)
@define(eq=False)
class FirstEndpoint:
    """Connects to the first of several endpoints where somebody answers."""

    _endpoints: tuple[IStreamClientEndpoint, ...]

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See ``IStreamClientEndpoint``."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        *others, last = self._endpoints
        for endpoint in others:
            try:
                return await endpoint.connect(factory)
            except ConnectError:
                continue
        return await last.connect(factory)


@implementer(IConnectionHintHandler)
@define(eq=False)
class TorHints:
    """Has a foolscap tub connect through Tor to what hints say: ``TYPE:HOST:PORT``."""

    _tor: Tor

    def hint_to_endpoint(
        self, hint: str, reactor: Any, update_status: Any
    ) -> tuple[IStreamClientEndpoint, str]:
        """See ``IConnectionHintHandler``.  :raises InvalidHintError:"""
        found = _HINT.fullmatch(hint)
        if found is None or not 0 < int(found["port"]) < 65536:
            raise InvalidHintError("it is not TYPE:HOST:PORT")
        host = found["host"].strip("[]")
        if reach_of(host) is not Reach.PUBLIC:
            raise InvalidHintError("Tor reaches no private address")
        return self._tor.endpoint(host, int(found["port"])), host

    def describe(self) -> str:
        """See ``IConnectionHintHandler``."""
        return "tor"
