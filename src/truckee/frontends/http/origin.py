"""
Who asks: under which name of ours, and for which page.

A browser sends requests for every page that is open in it, and the name of a page can be
made to lead here (DNS rebinding).  So both are looked at before anything else is.  Pure.

Source: ``docs/reference/web-api.md``, "Browsers"; W3C, Fetch Metadata Request Headers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum, auto
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from attrs import define, frozen

from truckee.errors import Misuse, Refused

_PORTS = {"http": 80, "https": 443}
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{0,5}))?")
_ORIGIN = re.compile(r"(https?)://([^/?#@]+)")
_INTERFACE = re.compile(r":interface=([A-Za-z0-9._-]+)(?:$|:)")
_ENTRY = re.compile(r"(?:(https?)://)?([^/?#@]+)/?")

# How a browser uses an answer that runs beside an address of ours, or inside another page.
# No page of ours has workers or frames.
_NEVER = frozenset(
    (
        "audioworklet",
        "embed",
        "fencedframe",
        "frame",
        "iframe",
        "object",
        "paintworklet",
        "serviceworker",
        "sharedworker",
        "worker",
        "xslt",
    )
)
_PLAYERS = frozenset(("audio", "video"))


@define
class BadHost(Misuse):
    """A request needs one Host header, no more and no fewer, with a name or an address."""


@define
class UnknownHost(Refused):
    """
    This gateway is not known as {host}. Ask for it by its address or as localhost, or add
    the name to web.allowed-hosts in tahoe.cfg.
    """

    host: str


@define
class CrossSite(Refused):
    """
    A page of another site ({origin}) sent this, and that is not allowed. Use the gateway's
    own pages. If a proxy speaks TLS for the gateway, add https://NAME to
    web.allowed-hosts in tahoe.cfg.
    """

    origin: str


@define
class NotForThat(Refused):
    """Nothing of this gateway runs as a worker, or inside another page."""


@frozen
class Authority:
    """A host and a port, as in a Host header; None: no port was named."""

    host: str  # in lower case, without a dot at its end; an IPv6 address without brackets
    port: int | None = None

    @property
    def is_address(self) -> bool:
        """Whether it is an address, which no name server can redirect."""
        return _is_address(self.host)


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


@frozen
class AllowedHost:
    """A name under which the gateway is known."""

    name: Authority  # without a port: with any
    scheme: str | None = None  # of its pages; None: that of the connection


@frozen
class AllowedHosts:
    """
    The names under which the gateway is known, beside addresses and localhost.

    :param any_host: behind a socket that no browser reaches by itself.
    """

    names: Sequence[AllowedHost] = ()
    any_host: bool = False

    def matching(self, asked: Authority) -> list[AllowedHost]:
        """Return what allows *asked*."""
        found = [
            each
            for each in self.names
            if each.name.host == asked.host and each.name.port in (None, asked.port)
        ]
        if self.any_host or asked.is_address or asked.host == "localhost":
            found.append(AllowedHost(asked))
        return found


def allowed_hosts(text: str, endpoint: str = "") -> AllowedHosts:
    """
    Return the hosts in *text*, with commas or blanks between, and the one listened on.

    *endpoint* is Twisted's description of where connections come in.

    :raises ValueError: when an entry is neither HOST, HOST:PORT nor one behind https://.
    """
    names = []
    for entry in filter(None, re.split(r"[,\s]+", text)):
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise ValueError(f"{entry!r} is neither a host name nor https:// and one")
        names.append(AllowedHost(parse_authority(match[2]), match[1]))
    interface = _INTERFACE.search(endpoint)
    if interface is not None:
        names.append(AllowedHost(Authority(interface[1].lower())))
    return AllowedHosts(names, endpoint.startswith("unix:"))


@frozen
class Asked:
    """What the head of a request says of where it comes from; all lines of each header."""

    method: str
    schemes: Sequence[str]  # http or https; both behind a proxy that does not say
    hosts: Sequence[str]
    origins: Sequence[str] = ()
    sites: Sequence[str] = ()  # Sec-Fetch-Site
    modes: Sequence[str] = ()  # Sec-Fetch-Mode
    destinations: Sequence[str] = ()  # Sec-Fetch-Dest
    worker_script: bool = False  # Service-Worker: script
    player: bool = False  # a browser's player of films sends it


class Sender(Enum):
    """For whom a request comes that may."""

    OURS = auto()  # for a page of ours, for the one who typed it, or from no browser
    VISIT = auto()  # for one who follows a link elsewhere; no page can read the answer
    PLAYER = auto()  # for a film or a sound, which may be shown by a page elsewhere


def admit(asked: Asked, hosts: AllowedHosts) -> Sender:
    """
    Return for whom a request comes.

    :raises BadHost: :raises UnknownHost: :raises NotForThat: :raises CrossSite: when it is
        not to be answered.
    """
    own = _own_origins(asked, hosts)
    if asked.worker_script or _NEVER.intersection(asked.destinations):
        raise NotForThat
    foreign = [origin for origin in asked.origins if _parse_origin(origin) not in own]
    others = [site for site in asked.sites if site not in ("same-origin", "none")]
    if not foreign and not others:
        return Sender.OURS
    if asked.method in ("GET", "HEAD"):
        shown = (*asked.modes, *asked.destinations) == ("navigate", "document")
        if shown and not foreign:
            return Sender.VISIT
        if asked.player and foreign in ([], ["null"]):
            return Sender.PLAYER
    raise CrossSite(_shown((foreign or others)[0]))


Origin = tuple[str, str, int]  # scheme, host, port


def _own_origins(asked: Asked, hosts: AllowedHosts) -> set[Origin]:
    """Return the origins of our pages, as the client knows us."""
    if not asked.hosts:
        return set()  # of HTTP/1.0, which no browser speaks
    try:
        [text] = asked.hosts
        name = parse_authority(text)
    except ValueError:
        raise BadHost from None
    matching = hosts.matching(name)
    if not matching:
        raise UnknownHost(_shown(text))
    return {
        (scheme, name.host, name.port or _PORTS[scheme])
        for each in matching
        for scheme in ([each.scheme] if each.scheme else asked.schemes)
    }


def _parse_origin(text: str) -> Origin | None:
    match = _ORIGIN.fullmatch(text)
    if match is None:
        return None
    try:
        name = parse_authority(match[2])
    except ValueError:
        return None
    return match[1], name.host, name.port or _PORTS[match[1]]


def _shown(text: str) -> str:
    """Return what a stranger wrote, short and in one line."""
    return "".join(c if c.isprintable() else "?" for c in text[:100])
