"""Where the web API listens."""

from __future__ import annotations

from typing import Any

from attrs import define, frozen
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort

from truckee.errors import Unavailable
from truckee.flow.backlog import let_wait
from truckee.frontends.http.site import StreamingSite
from truckee.node.config import BadConfig
from truckee.node.layout import NodeDirectory


@define
class PortTaken(Unavailable):
    """
    {port} cannot be listened on: {reason}. Stop the program that uses it, or change
    web.port in tahoe.cfg.
    """

    port: str
    reason: str


@frozen
class WebPort:
    """A web API that listens."""

    port: IListeningPort
    url: str  # with a slash at its end


async def listen_web(
    reactor: Any, site: StreamingSite, node: NodeDirectory, strport: str
) -> WebPort:
    """
    Let *site* listen on an endpoint, or on a port of all interfaces if it is a number.

    :raises PortTaken: :raises BadConfig: with a text for the operator.
    """
    description = f"tcp:{strport}" if strport.isdigit() else strport
    try:
        port = await serverFromString(reactor, description).listen(site)
    except CannotListenError as error:
        raise PortTaken(strport, str(error.socketError)) from None
    except Exception as error:
        # Each kind of endpoint has errors of its own for what it does not understand.
        reason = f"{strport!r} is not an endpoint: {error}"
        raise BadConfig(node.config, "[node] web.port", reason) from None
    let_wait(port, description)
    scheme = "https" if description.startswith("ssl") else "http"
    address = port.getHost()
    host = getattr(address, "host", "127.0.0.1")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    host = f"[{host}]" if ":" in host else host
    url = f"{scheme}://{host}:{getattr(address, 'port', 0)}/"
    return WebPort(port, url)
