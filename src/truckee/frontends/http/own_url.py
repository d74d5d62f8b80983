"""The address of ours that a client used, as far as that is known."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Protocol

from truckee.frontends.http.origin import AllowedHosts, parse_authority

_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*/?")


class Asking(Protocol):
    """A request whose head is there."""

    def header_lines(self, name: str) -> list[str]:
        """Return all values of a header."""


def own_url(
    request: Asking, hosts: AllowedHosts, scheme: str, client: str, path: str
) -> str:
    """
    Return *path* with the scheme and the host that the client knows it by.

    A proxy of this machine may tell these; what others say of theirs does not count.
    Where it cannot be known for certain, the path alone is returned, which every client
    understands that goes by RFC 9110.

    :param scheme: that of the connection.
    :param client: its address; empty: it came over a Unix socket.
    """
    told = _told(request) if _is_near(client) else {}
    lines = request.header_lines("host")
    try:
        host = told.get("host") or lines[0]
        name = parse_authority(host)
        matching = hosts.matching(name)
    except (IndexError, ValueError):
        return path
    proto = told.get("proto", "").lower()
    if proto not in ("", "http", "https") or not matching:
        return path
    here = name.host == "localhost" or _is_near(name.host)
    if proto and not told.get("host") and here:
        return (
            path  # the proxy calls us by our own name, and the client calls it by another
        )
    scheme = proto or next((each.scheme for each in matching if each.scheme), scheme)
    prefix = told.get("prefix", "")
    if not _PREFIX.fullmatch(prefix):
        prefix = ""
    return f"{scheme}://{host}{prefix.rstrip('/')}{path}"


def _told(request: Asking) -> dict[str, str]:
    """Return what a proxy tells; the first one, which the client asked, stands first."""
    found = {}
    for name in ("proto", "host", "prefix"):
        lines = request.header_lines(f"x-forwarded-{name}")
        if lines:
            found[name] = lines[0].partition(",")[0].strip(" \t")
    if "proto" not in found:
        # Who tells the host alone leaves it open where TLS ends, and mends our answers
        # by itself (Apache's ProxyPassReverse).
        found.pop("host", None)
    return found


def _is_near(address: str) -> bool:
    if not address:
        return True
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
