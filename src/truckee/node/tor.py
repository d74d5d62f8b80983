"""The Tor of a node: found where it runs, or launched when it is first needed."""

from __future__ import annotations

import socket
from collections.abc import Awaitable
from importlib import import_module
from pathlib import Path
from shutil import which
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger

from truckee.errors import Unavailable
from truckee.flow.durable import make_directories
from truckee.flow.shared import Shared
from truckee.grid.tor import FirstEndpoint, Tor
from truckee.grid.ways import Ways
from truckee.node.config import NodeConfig
from truckee.node.tor_settings import TorSettings
from truckee.status.problems import Problems

log = Logger()

# Where Tor and the Tor Browser listen.
_USUAL = ("tcp:127.0.0.1:9050", "tcp:127.0.0.1:9150")
# What a Tor that was launched, or is asked for its port, has until it answers.
_START = 180.0  # seconds
_PROBLEM = "Tor"


@define
class NoTor(Unavailable):
    """{reason}."""

    reason: str


def ways_of(
    config: NodeConfig, private: Path, reactor: Any, problems: Problems
) -> tuple[Ways, TorSource | None]:
    """Return how a node connects to others, and the Tor that is to be stopped with it."""
    if config.tor is None:
        return Ways(config.dials_tcp), None
    source = TorSource(config.tor, private, reactor, problems)
    return Ways(config.dials_tcp, source.tor(), config.tor.all_tcp), source


@define(eq=False)
class TorSource:
    """Knows the SOCKS port of Tor; ``stop`` ends a Tor that was launched."""

    _settings: TorSettings
    _private: Path
    _reactor: Any
    _problems: Problems
    _launched: Any = field(default=None, init=False)
    _found: IStreamClientEndpoint | None = field(default=None, init=False)
    _search: Shared[str, IStreamClientEndpoint] = field(factory=Shared, init=False)

    def tor(self) -> Tor:
        """Return what connects through it."""
        return Tor(self._socks, self._client, self._reactor, self._tell)

    @property
    def _txtorcon(self) -> Any:
        """The package, which is loaded when it is first needed."""
        return import_module("txtorcon")

    def _client(self, *place: Any, **options: Any) -> IStreamClientEndpoint:
        endpoint: IStreamClientEndpoint = self._txtorcon.TorClientEndpoint(
            *place, **options
        )
        return endpoint

    def stop(self) -> None:
        """
        Let the Tor that was launched end, if one was.

        It does so when its controller is gone.  Told to quit, it would be in the log as an
        error: txtorcon takes each end for one.
        """
        launched, self._launched = self._launched, None
        if launched is not None:
            launched.protocol.transport.loseConnection()

    async def _socks(self) -> IStreamClientEndpoint:
        if self._found is None:
            self._found = await self._search.run("", self._find)
        return self._found

    async def _find(self) -> IStreamClientEndpoint:
        settings = self._settings
        if settings.launch:
            return self._endpoint(await self._launch())
        if settings.socks is not None:
            return self._endpoint(settings.socks)
        if settings.control is not None:
            return self._endpoint(await self._ask(settings.control))
        return FirstEndpoint(tuple(map(self._endpoint, _USUAL)))

    def _endpoint(self, text: str) -> IStreamClientEndpoint:
        endpoint: IStreamClientEndpoint = clientFromString(self._reactor, text)
        return endpoint

    async def _launch(self) -> str:
        """Return the SOCKS port of a new Tor.  :raises NoTor:"""
        self.stop()
        port = _free_port()
        data = self._private / "tor-statedir"
        executable = str(self._settings.executable or "tor")
        if which(executable) is None:
            # txtorcon would leave a process that never was.
            raise NoTor(
                "there is no program tor. Install it, or name it in [tor] tor.executable"
            )
        log.info("Tor is launched")
        try:
            make_directories(data)
            self._launched = await self._timed(
                self._txtorcon.launch(
                    self._reactor,
                    control_port=f"unix:{self._private / 'tor.control'}",
                    data_directory=str(data),
                    tor_binary=executable,
                    kill_on_stderr=False,  # for a warning
                    socks_port=port,
                )
            )
        except Exception as error:
            raise NoTor(f"Tor cannot be launched: {_reason(error)}") from None
        return f"tcp:127.0.0.1:{port}"

    async def _ask(self, control: str) -> str:
        """Return the first SOCKS port of the Tor at *control*.  :raises NoTor:"""
        where = "the control port in [tor] control.port"
        try:
            protocol = await self._timed(
                self._txtorcon.build_tor_connection(
                    self._endpoint(control), build_state=False
                )
            )
            try:
                told = await self._timed(protocol.get_info("net/listeners/socks"))
            finally:
                protocol.transport.loseConnection()
        except Exception as error:
            raise NoTor(f"{where} does not answer as it should: {_reason(error)}") from None
        for listener in str(told["net/listeners/socks"]).split():
            text = listener.strip('"')
            return text if text.startswith("unix:") else f"tcp:{text}"
        raise NoTor(f"{where} knows no SOCKS port: set SocksPort in torrc")

    def _timed(self, work: Deferred[Any]) -> Awaitable[Any]:
        return work.addTimeout(_START, self._reactor)

    def _tell(self, trouble: str) -> None:
        if not trouble:
            self._problems.resolve(_PROBLEM)
            return
        # Its port may be another one when it is there again.
        self._found = None
        text = (
            f"No connections are made through Tor: {trouble.rstrip('.')}. It goes on by "
            "itself when Tor is there."
        )
        if self._settings.asked_for:
            self._problems.report(_PROBLEM, text)
        else:
            log.info("{text}", text=text)


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).rstrip(".")[:200]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
