"""What a request says beside its body."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define
from twisted.web.http import Request

from truckee.errors import Misuse
from truckee.flow.sizes import parse_size

_TRUE = ("true", "t", "1", "on", "yes")
_FALSE = ("false", "f", "0", "off", "no")


@define
class BadArgument(Misuse):
    """The argument {name}= is wrong: {reason}."""

    name: str
    reason: str


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
    except ValueError:
        # What was sent is not shown again: it may be a secret at the wrong place.
        raise BadArgument(name, "it must be a size like 500M, 10G or 64MiB") from None
