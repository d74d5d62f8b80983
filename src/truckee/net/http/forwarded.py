"""
What a proxy in front says of the request that it passes on, and which proxies count.  Pure.

Source: RFC 7239; X-Forwarded-* as Apache, Caddy, HAProxy and nginx are made to send it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from attrs import frozen

from truckee.net.http.authority import parse_authority
from truckee.net.http.base_url import check_prefix

Network = IPv4Network | IPv6Network

LOOPBACK: Sequence[Network] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_PAIR = re.compile(rf'[ \t]*({_TOKEN})=(?:"((?:[^"\\]|\\.)*)"|([^",; \t]*))[ \t]*(;|,|$)')


@frozen
class TrustedProxies:
    """
    Who is believed.

    :param named: the operator named them, so what they leave unsaid is not so.
    """

    networks: Sequence[Network] = LOOPBACK
    named: bool = False

    def trusts(self, address: str) -> bool:
        """Tell whether a proxy at *address* counts; empty: it came over a Unix socket."""
        if not address:
            return True
        try:
            found = ip_address(address)
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self.networks)


def parse_trusted(text: str) -> TrustedProxies:
    """
    Return the addresses and networks in *text*, with commas or blanks between.

    :raises ValueError: when an entry is neither; ``none`` alone stands for nobody.
    """
    if text.lower() == "none":
        return TrustedProxies((), True)
    networks = []
    for entry in filter(None, re.split(r"[,\s]+", text)):
        try:
            networks.append(ip_network(entry))
        except ValueError as error:
            hint = ": a bit is set behind its mask" if "host bits" in str(error) else ""
            raise ValueError(
                f"{entry!r} is neither an address nor a network such as 10.0.0.0/8{hint}"
            ) from None
    return TrustedProxies(networks, True)


LOCAL_PROXIES = TrustedProxies()


@frozen
class Forwarded:
    """What proxies said; of several values the first is what the client asked for."""

    hosts: Sequence[str] = ()
    proto: str = ""  # in lower case; empty: not said
    prefix: str | None = None  # without a slash at its end; None: not said

    def __bool__(self) -> bool:
        return bool(self.hosts or self.proto or self.prefix is not None)


NOTHING = Forwarded()


def forwarded(lines: Callable[[str], list[str]]) -> Forwarded:
    """Return what these headers say; *lines* returns all values of one."""
    hosts = _members(lines("x-forwarded-host"))
    protos = _members(lines("x-forwarded-proto"))
    prefixes = _members(lines("x-forwarded-prefix"))
    standard = lines("forwarded")
    elements = _elements(", ".join(standard)) if standard else []
    # A proxy sets one kind, and may pass on what a client wrote into the other.
    if not (hosts or protos or prefixes):
        protos = [each["proto"] for each in elements if "proto" in each]
    hosts += [each["host"] for each in elements if "host" in each]
    proto = protos[0].lower() if protos else ""
    try:
        prefix = check_prefix(prefixes[0]) if prefixes else None
    except ValueError:
        prefix = None
    return Forwarded(tuple(hosts), proto if proto in ("http", "https") else "", prefix)


def client_of(lines: Callable[[str], list[str]], peer: str, proxies: TrustedProxies) -> str:
    """
    Return the address of the client behind *peer*: the last one that is no trusted proxy.

    Only proxies that the operator named are known to tell it: others may pass on what the
    client wrote, who could be anybody then.
    """
    if not proxies.named or not proxies.trusts(peer):
        return peer
    chain = _members(lines("x-forwarded-for"))
    if not chain:
        elements = _elements(", ".join(lines("forwarded")))
        chain = [each["for"] for each in elements if "for" in each]
    for text in reversed(chain):
        try:
            # Some write a port behind it, and brackets around one of IPv6 or none.
            bare = text if text.count(":") > 1 and text[0] != "[" else ""
            address = str(ip_address(bare or parse_authority(text).host))
        except ValueError:
            break
        if not proxies.trusts(address):
            return address
    return peer


def _members(lines: Sequence[str]) -> list[str]:
    every = (part.strip(" \t") for line in lines for part in line.split(","))
    return [part for part in every if part]


def _elements(text: str) -> list[dict[str, str]]:
    """Return the elements of a Forwarded header; what is malformed is no host at all."""
    found: list[dict[str, str]] = [{}]
    at = 0
    while at < len(text):
        match = _PAIR.match(text, at)
        if match is None:
            return [{"host": text}]
        quoted = match[2]
        value = match[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        found[-1][match[1].lower()] = value
        if match[4] == ",":
            found.append({})
        at = match.end()
    return found
