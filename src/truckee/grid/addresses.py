"""
Which network addresses others may have us connect to.  Pure.

Source: ``docs/formats/announcements.md``, "Addresses".
"""

from __future__ import annotations

import re
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from attrs import frozen

MAX_HINTS = 8  # of one furl; one for each network that a server is in is usual
_HINT = re.compile(
    r"(?:tcp:|tor:)?(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[^:\[\]]+):(?P<port>[0-9]+)"
)
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")
_FURL = re.compile(r"(?P<start>pb://[^@/]*@)(?P<hints>[^/]*)(?P<end>/.*)", re.DOTALL)

_SHARED = ip_network("100.64.0.0/10")  # of carriers, and of overlay networks
_PRIVATE_ENDINGS = (".local", ".lan", ".home", ".internal", ".home.arpa", ".localdomain")


class Reach(IntEnum):
    """From where an address can be reached: the higher, the wider."""

    NOWHERE = 0  # no address of one machine
    LOOPBACK = 1
    LINK_LOCAL = 2
    PRIVATE = 3
    PUBLIC = 4


def reach_of(host: str) -> Reach:
    """Return from where *host*, an address or a name, can be reached."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return _reach_of_name(host.lower().rstrip("."))
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255":
        return Reach.NOWHERE
    if address.is_loopback:
        return Reach.LOOPBACK
    if address.is_link_local:
        return Reach.LINK_LOCAL
    shared = isinstance(address, IPv4Address) and address in _SHARED
    return Reach.PRIVATE if address.is_private or shared else Reach.PUBLIC


def _reach_of_name(name: str) -> Reach:
    if name == "localhost" or name.endswith(".localhost"):
        return Reach.LOOPBACK
    # Python and the C library disagree on what 127.1 is.
    if not _NAME.fullmatch(name) or name.rpartition(".")[2].isdigit():
        return Reach.NOWHERE
    if "." not in name or name.endswith(_PRIVATE_ENDINGS):
        return Reach.PRIVATE
    return Reach.PUBLIC


@frozen
class AddressPolicy:
    """Allows addresses that reach at least so far."""

    least: Reach

    def allows(self, host: str) -> bool:
        """Tell whether we may connect to *host*."""
        return reach_of(host) >= max(self.least, Reach.LOOPBACK)


ANY_ADDRESS = AddressPolicy(Reach.LOOPBACK)


def host_of(hint: str) -> str | None:
    """Return the host in a connection hint over TCP or Tor; None: it is none."""
    found = _HINT.fullmatch(hint)
    if found is None or len(found["port"]) > 5 or not 0 < int(found["port"]) < 65536:
        return None
    host = found["host"]
    return None if reach_of(host) is Reach.NOWHERE else host


def _hints(furl: str) -> list[str]:
    """Return all connection hints of *furl*; none when it is no furl."""
    found = _FURL.fullmatch(furl)
    return found["hints"].split(",") if found else []


def tcp_ports(furl: str) -> set[int]:
    """Return the ports to which the hints of *furl* lead over plain TCP."""
    return {
        int(hint.rpartition(":")[2])
        for hint in _hints(furl)
        if host_of(hint) is not None and not hint.startswith("tor:")
    }


def with_hints(furl: str, policy: AddressPolicy) -> str:
    """
    Return *furl* with those of its hints that can be used and that *policy* allows.

    They are ``MAX_HINTS`` at most.
    """
    found = _FURL.fullmatch(furl)
    if found is None:
        return furl
    hints = found["hints"].split(",", 4 * MAX_HINTS)[: 4 * MAX_HINTS]
    usable = [
        hint
        for hint in hints
        if (host := host_of(hint)) is not None and policy.allows(host)
    ]
    return found["start"] + ",".join(usable[:MAX_HINTS]) + found["end"]


def policy_of(furl: str) -> AddressPolicy:
    """
    Return which addresses those may name whom we know from the introducer at *furl*.

    They may be as near as the farthest that it has itself: whoever is in a local network
    tells of servers in it, and nobody on the Internet of our own ports.
    """
    hosts = map(host_of, _hints(furl))
    reaches = [reach_of(host) for host in hosts if host is not None]
    return AddressPolicy(max(reaches, default=Reach.PUBLIC))
