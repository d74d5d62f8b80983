"""Hosts, ports and origins, as headers have them.  Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address

from attrs import frozen

_PORTS = {"http": 80, "https": 443}
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{0,5}))?")
_ORIGIN = re.compile(r"(https?)://([^/?#@]+)")

Origin = tuple[str, str, int]  # scheme, host, port


@frozen
class Authority:
    """A host and a port, as in a Host header; None: no port was named."""

    host: str  # in lower case, without a dot at its end; an IPv6 address without brackets
    port: int | None = None

    @property
    def is_address(self) -> bool:
        """Whether it is an address, which no name server can redirect."""
        return _is_address(self.host)

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine, by its address or as localhost."""
        return self.host == "localhost" or (
            self.is_address and ip_address(self.host).is_loopback
        )


# A client names one host in all its requests.
@lru_cache(maxsize=64)
def _is_address(host: str) -> bool:
    for kind in (IPv4Address, IPv6Address):
        try:
            kind(host)
        except AddressValueError:
            continue
        return True
    return False


@lru_cache(maxsize=64)
def parse_authority(text: str) -> Authority:
    """:raises ValueError: unless *text* is HOST or HOST:PORT."""
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a host name")
    host = match[1].strip("[]").lower().removesuffix(".")
    if not host or (match[1][0] == "[" and not Authority(host).is_address):
        raise ValueError(f"{text!r} is not a host name")
    return Authority(host, int(match[2]) if match[2] else None)


def port_of(scheme: str, name: Authority) -> int:
    """Return the port of *name*, or the usual one of *scheme*."""
    return name.port or _PORTS[scheme]


def parse_origin(text: str) -> Origin | None:
    """Return what an Origin header says; None: no page of http or https."""
    match = _ORIGIN.fullmatch(text)
    if match is None:
        return None
    try:
        name = parse_authority(match[2])
    except ValueError:
        return None
    return match[1], name.host, port_of(match[1], name)
