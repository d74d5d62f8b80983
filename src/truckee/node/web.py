"""Where the web API listens."""

from __future__ import annotations

import os
from typing import Any

from attrs import define, frozen
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort

from truckee.codec import base32
from truckee.errors import Unavailable
from truckee.flow.backlog import let_wait
from truckee.grid.addresses import Reach, reach_of
from truckee.net.http.site import StreamingSite
from truckee.node.config_file import BadConfig
from truckee.node.config_values import endpoint_text
from truckee.node.disks import NodeDisks
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
    url: str  # with a slash at its end; empty: it has none, as on a Unix socket
    place: str  # where it listens, as people are told

    @property
    def exposed(self) -> bool:
        """Whether other machines may reach it."""
        host = getattr(self.port.getHost(), "host", None)
        return host is not None and reach_of(host) is not Reach.LOOPBACK

    @property
    def encrypted(self) -> bool:
        """Whether it speaks TLS itself."""
        return self.url.startswith("https:")


async def listen_web(
    reactor: Any, site: StreamingSite, node: NodeDirectory, strport: str
) -> WebPort:
    """
    Let *site* listen on an endpoint, or on a port of all interfaces if it is a number.

    :raises PortTaken: :raises BadConfig: with a text for the operator.
    """
    description = endpoint_text(strport)
    try:
        port = await serverFromString(reactor, description).listen(site)
    except CannotListenError as error:
        raise PortTaken(strport, str(error.socketError)) from None
    except Exception as error:
        # Each kind of endpoint has errors of its own for what it does not understand.
        reason = f"{strport!r} is not an endpoint: {error}"
        raise BadConfig(node.config, "[node] web.port", reason) from None
    let_wait(port, description)
    address = port.getHost()
    if not hasattr(address, "port"):
        name = getattr(address, "name", None)
        path = os.fsdecode(name) if isinstance(name, bytes) else name
        return WebPort(port, "", f"the Unix socket {path}" if path else description)
    scheme = "https" if description.startswith("ssl") else "http"
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    host = everywhere.get(address.host, address.host)
    host = f"[{host}]" if ":" in host else host
    place = f"port {address.port} of {address.host}"
    if address.host in everywhere:
        place = f"port {address.port} of all addresses of this machine"
    return WebPort(port, f"{scheme}://{host}:{address.port}/", place)


async def note_web(disks: NodeDisks, node: NodeDirectory, url: str) -> None:
    """Write down for clients on the command line where the web API is, if it has a URL."""
    if not node.api_token.exists():
        token = f"{base32.encode(os.urandom(32))}\n"
        await disks.write(node.api_token, token)
    if url:
        await disks.write(node.url, f"{url}\n")
    else:
        await disks.remove(node.url)


def warning_of(web: WebPort) -> str:
    """Return what the operator must know of who reaches a web API; empty: nothing."""
    if not web.exposed:
        return ""
    text = (
        f"The web API listens on {web.place}, so other machines may reach it: whoever does "
        "can store files, and read those whose caps they have. "
    )
    if not web.encrypted:
        text += "Files and caps travel unencrypted. "
    address: Any = web.port.getHost()
    return text + (
        f"For this machine alone set web.port = tcp:{address.port}:interface=127.0.0.1 in "
        "tahoe.cfg; for a local network see docs/how-to-share-in-a-local-network.md."
    )
