"""
Whether somebody on a network can read along what a client sends.

Source: ``docs/reference/webdav.md``, "Accounts".
"""

from __future__ import annotations

from truckee.net.http.authority import parse_authority, port_of
from truckee.net.http.forwarded import LOCAL_PROXIES
from truckee.net.http.origin import AllowedHosts
from truckee.net.http.own_url import Asking, Connection, told

# What proxies add, whether or not they count.
_ADDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "via")


def is_confidential(request: Asking, hosts: AllowedHosts, connection: Connection) -> bool:
    """
    Tell whether a password may come this way: over TLS, or from this machine itself.

    Of what is behind a trusted proxy that proxy says how it was asked; where it does not,
    the gateway's own address does.
    """
    if connection.scheme == "https":
        return True
    said = told(request, hosts, connection.client)
    if said.proto:
        return said.proto == "https"
    is_proxied = any(request.header_lines(name) for name in _ADDED)
    # A client of this machine asks for it by its own address.
    is_direct = not is_proxied and _asks_here(request, connection)
    if not is_direct and hosts.proxies.trusts(connection.client):
        return hosts.base is not None and hosts.base.scheme == "https"
    return is_direct and LOCAL_PROXIES.trusts(connection.client)


def _asks_here(request: Asking, connection: Connection) -> bool:
    """
    Tell whether a client asks for this port of this machine, as none behind a proxy does.

    Of HTTP/1.0 there are only proxies left.
    """
    if request.clientproto != b"HTTP/1.1":
        return False
    if not connection.client:
        return True  # a Unix socket, whose clients ask by any name
    lines = request.header_lines("host")
    try:
        name = parse_authority(lines[0] if len(lines) == 1 else "")
    except ValueError:
        return False
    bare = name.port is None and name.is_loopback
    return bare or port_of(connection.scheme, name) == connection.port
