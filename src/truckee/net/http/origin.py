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

from attrs import define, frozen

from truckee.errors import Misuse, Refused
from truckee.net.http.authority import (
    Authority,
    Origin,
    parse_authority,
    parse_origin,
    port_of,
)
from truckee.net.http.base_url import BaseUrl
from truckee.net.http.forwarded import (
    LOCAL_PROXIES,
    NOTHING,
    Forwarded,
    TrustedProxies,
)

_INTERFACE = re.compile(r":interface=([A-Za-z0-9._-]+)(?:$|:)")
_ENTRY = re.compile(r"(?:(https?)://)?([^/?#@]+)/?")

# How a browser uses an answer that runs beside an address of ours, or inside another page.
# No page of ours has workers; in frames of ours, files are shown.
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
    to [node] in tahoe.cfg: web.allowed-hosts = {host} (behind a proxy its address, as in
    web.base-url = https://NAME/).
    """

    host: str


@define
class CrossSite(Refused):
    """
    A page of another site ({origin}) sent this, and that is not allowed. Use the gateway's
    own pages. If it was one of them, and a proxy is in front of the gateway, add its
    address, with its path if it has one, to [node] in tahoe.cfg: web.base-url = {base}
    """

    origin: str
    base: str = "https://NAME/"


@define
class NotForThat(Refused):
    """Nothing of this gateway runs as a worker, or inside a page of another site."""


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
    :param base: where a proxy in front has it.
    """

    names: Sequence[AllowedHost] = ()
    any_host: bool = False
    base: BaseUrl | None = None
    proxies: TrustedProxies = LOCAL_PROXIES

    @property
    def strict(self) -> bool:
        """Whether the operator said what is in front, so that its word counts against."""
        return self.base is not None or self.proxies.named

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

    def knows(self, asked: Authority) -> bool:
        """Tell whether *asked* is a name of ours; a proxy may leave out the port."""
        of_base = self.base is not None and self.base.name.host == asked.host
        return of_base or bool(self.matching(asked))


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
    forwarded: Forwarded = NOTHING  # what a proxy that counts says


class Sender(Enum):
    """For whom a request comes that may."""

    OURS = auto()  # for a page of ours, for the one who typed it, or from no browser
    VISIT = auto()  # for one who follows a link elsewhere; no page can read the answer
    FRAME = auto()  # for a frame in a page of ours; a page elsewhere has no such frames
    PLAYER = auto()  # for a film or a sound, which may be shown by a page elsewhere


def admit(asked: Asked, hosts: AllowedHosts) -> Sender:
    """
    Return for whom a request comes.

    :raises BadHost: :raises UnknownHost: :raises NotForThat: :raises CrossSite: when it is
        not to be answered.
    """
    own = _own_origins(asked, hosts)
    framed = _is_framed(asked)
    if asked.worker_script or (_NEVER.intersection(asked.destinations) and not framed):
        raise NotForThat
    foreign = [
        origin
        for origin in asked.origins
        if parse_origin(origin) not in own and not _is_vouched_for(asked, origin)
    ]
    others = [site for site in asked.sites if site not in ("same-origin", "none")]
    if not foreign and not others:
        return Sender.FRAME if framed else Sender.OURS
    if asked.method in ("GET", "HEAD"):
        shown = (*asked.modes, *asked.destinations) == ("navigate", "document")
        if shown and not foreign:
            return Sender.VISIT
        if asked.player and foreign in ([], ["null"]):
            return Sender.PLAYER
    found = _shown((foreign or others)[0])
    base = f"{found}/" if parse_origin(found) else "https://NAME/"
    raise CrossSite(found, base)


def check_use(sender: Sender, found: object) -> None:
    """:raises CrossSite: :raises NotForThat: unless *found* is for *sender*."""
    if sender is Sender.PLAYER and not getattr(found, "for_players", False):
        raise CrossSite("cross-site")
    if sender is Sender.FRAME and not getattr(found, "for_frames", False):
        raise NotForThat


def _is_framed(asked: Asked) -> bool:
    """Tell whether a page of ours shows what is asked for in a frame."""
    ours = [*asked.sites] == ["same-origin"] and asked.method in ("GET", "HEAD")
    return ours and [*asked.destinations] == ["iframe"]


def _own_origins(asked: Asked, hosts: AllowedHosts) -> set[Origin]:
    """Return the origins of our pages, as the client knows us."""
    if not asked.hosts:
        return set()  # of HTTP/1.0, which no browser speaks
    try:
        [text] = asked.hosts
        name = parse_authority(text)
    except ValueError:
        raise BadHost from None
    if not hosts.knows(name):
        raise UnknownHost(_shown(text))
    found = {hosts.base.origin} if hosts.base is not None else set()
    for each in (name, *_forwarded_names(asked, hosts)):
        found |= _origins(each, asked, hosts)
    return found


def _origins(name: Authority, asked: Asked, hosts: AllowedHosts) -> set[Origin]:
    """Return the origins of our pages that are asked for as *name*."""
    told = asked.forwarded.proto
    schemes = (told,) if told else asked.schemes
    return {
        (scheme, name.host, port_of(scheme, name))
        for each in hosts.matching(name)
        for scheme in ([each.scheme] if each.scheme else schemes)
    }


def _forwarded_names(asked: Asked, hosts: AllowedHosts) -> list[Authority]:
    """
    Return the names that proxies say we were asked for by.

    A page whose name was made to lead to the proxy (DNS rebinding) shows in these alone,
    where the proxy asks us by a name of its own.
    """
    found = []
    for text in asked.forwarded.hosts:
        try:
            name = parse_authority(text)
        except ValueError:
            if hosts.strict:
                raise BadHost from None
            continue
        if hosts.strict and not hosts.knows(name):
            raise UnknownHost(_shown(text))
        found.append(name)
    return found


def _is_vouched_for(asked: Asked, origin: str) -> bool:
    """
    Tell whether the browser says itself that a page of *origin* asks its own address.

    Then a proxy asks us by another name than the browser asked for.  Browsers say so only
    of what came over TLS or from their own machine, where no name server can put a
    stranger's page: what claims it of anything else is not believed.
    """
    found = parse_origin(origin)
    if found is None or [*asked.sites] != ["same-origin"]:
        return False
    return found[0] == "https" or Authority(found[1]).is_loopback


def _shown(text: str) -> str:
    """Return what a stranger wrote, short and in one line."""
    return "".join(c if c.isprintable() else "?" for c in text[:100])
