"""The address of ours that a client used, as far as that is known."""

from __future__ import annotations

from typing import Protocol

from attrs import frozen

from truckee.net.http.authority import Authority, parse_authority, port_of
from truckee.net.http.forwarded import NOTHING, Forwarded, forwarded
from truckee.net.http.origin import AllowedHosts


class Asking(Protocol):
    """A request whose head is there."""

    path: bytes
    clientproto: bytes

    def header_lines(self, name: str) -> list[str]:
        """Return all values of a header."""


@frozen
class Connection:
    """What a request came over."""

    scheme: str
    client: str  # its address; empty: a Unix socket
    port: int | None  # of ours


def told(request: Asking, hosts: AllowedHosts, client: str) -> Forwarded:
    """Return what a proxy at the address *client* says, if it counts."""
    return forwarded(request.header_lines) if hosts.proxies.trusts(client) else NOTHING


def own_url(request: Asking, hosts: AllowedHosts, connection: Connection, path: str) -> str:
    """
    Return *path*, which begins with a slash, as an absolute address for the client.

    Where that cannot be known for certain it is relative to what was asked for, which every
    client understands that goes by RFC 9110.
    """
    if hosts.base is not None:
        return f"{hosts.base}{path}"
    said = told(request, hosts, connection.client)
    # Who tells neither prefix nor all that there is to tell may have taken a prefix off.
    complete = said.prefix is not None or (hosts.proxies.named and bool(said))
    host = said.hosts[0] if said.hosts and said.proto else _asked_host(request)
    try:
        name = parse_authority(host)
    except ValueError:
        return relative(request, path)
    matching = hosts.matching(name)
    known = next((each.scheme for each in matching if each.scheme), "")
    if not matching or (said.hosts and not said.proto):
        pass  # somebody else's name; or where TLS ends is open
    elif complete and said.proto:
        if said.hosts or not name.is_loopback:
            return f"{said.proto}://{host}{said.prefix or ''}{path}"
        # The proxy calls us by our own name, and the client calls it by another.
    elif known and said.proto in ("", known):
        return f"{known}://{host}{path}"
    elif is_direct(request, hosts, connection):
        return f"{connection.scheme}://{host}{path}"
    return relative(request, path)


def own_path(
    request: Asking, hosts: AllowedHosts, connection: Connection, path: str
) -> str:
    """Return *path* as a link, for the answer to *request*."""
    return path if is_direct(request, hosts, connection) else relative(request, path)


def relative(request: Asking, path: str) -> str:
    """Return *path* relative to what was asked for, which may stand behind a prefix."""
    return "../" * (request.path.count(b"/") - 1) + path[1:]


def is_direct(request: Asking, hosts: AllowedHosts, connection: Connection) -> bool:
    """
    Tell whether nothing that might take off a prefix is in front, by all there is to see.

    A client names the port that it asks; programs of this machine may leave it out.  Of
    HTTP/1.0 there are only proxies left, nginx before all.
    """
    if hosts.base is not None or told(request, hosts, connection.client):
        return False
    try:
        name: Authority = parse_authority(_asked_host(request))
    except ValueError:
        return False
    bare = name.port is None and name.is_loopback
    same = port_of(connection.scheme, name) == connection.port
    return request.clientproto == b"HTTP/1.1" and (bare or same)


def _asked_host(request: Asking) -> str:
    lines = request.header_lines("host")
    return lines[0] if len(lines) == 1 else ""
