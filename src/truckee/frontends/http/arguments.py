"""What a request says beside its body."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from attrs import define
from twisted.web.http import Request

from truckee.errors import Misuse, Refused
from truckee.flow.sizes import parse_size

_TRUE = ("true", "t", "1", "on", "yes")
_FALSE = ("false", "f", "0", "off", "no")


@define
class BadArgument(Misuse):
    """The argument {name}= is wrong: {reason}."""

    name: str
    reason: str


@define
class CrossSite(Refused):
    """
    A page of another site ({origin}) sent this form, and that is not allowed. Use the
    gateway's own page.
    """

    origin: str


def arguments(request: Request) -> dict[str, str]:
    """Return the query's arguments, the first of each name."""
    try:
        return {
            name.decode("utf-8"): values[0].decode("utf-8")
            for name, values in (request.args or {}).items()
        }
    except UnicodeDecodeError:
        raise BadArgument("?", "the query is not UTF-8") from None


def boolean(args: Mapping[str, str], name: str, default: bool = False) -> bool:
    """Return the argument *name*, *default* where it is missing."""
    if name not in args:
        return default
    text = args[name].lower()
    if text not in _TRUE + _FALSE:
        raise BadArgument(name, "it must be true or false")
    return text in _TRUE


def size(args: Mapping[str, str], name: str) -> int | None:
    """Return the bytes that the argument *name* says, None where it is missing."""
    text = args.get(name)
    if text is None:
        return None
    try:
        return parse_size(text)
    except ValueError as error:
        raise BadArgument(name, str(error)) from None


def check_same_site(request: Request) -> None:
    """
    Refuse what a browser sends for a page of another site.

    Such a page cannot read the answer, but it could fill the grid.  Programs that are no
    browsers send neither header.
    """
    origin = request.getHeader("origin")
    foreign = origin is not None and _host_of(origin) != request.getHeader("host")
    site = request.getHeader("sec-fetch-site") or "none"
    if foreign or site not in ("none", "same-origin"):
        raise CrossSite((origin or site)[:200])


def _host_of(origin: str) -> str:
    """Return the host and port in *origin*, or what no host is called."""
    try:
        return urlsplit(origin).netloc or "/"
    except ValueError:
        return "/"
