"""What a request says beside its body: what all frontends take, and caps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define

from truckee.codec.caps import Cap, parse_cap
from truckee.errors import Misuse
from truckee.frontends.http.arguments import (
    BadArgument,
    arguments,
    boolean,
    size,
)


@define
class NoChildren(Misuse):
    """Files have no children named {name!r}. Only directories have."""

    name: str


def no_children(segment: bytes) -> NoChildren:
    """Return the error for a path that goes on behind a file, with *segment*."""
    name = segment.decode("utf-8", "replace")[:100]
    # What may be a secret at the wrong place is not shown again.
    return NoChildren("..." if "URI:" in name.upper() else name)


def cap_in(segment: bytes) -> Cap:
    """
    Return the cap in one decoded path segment.  :raises MalformedCap:

    Scripts send the line that a file or a program had, with its end.
    """
    return parse_cap(segment.decode("utf-8", "replace").strip(" \t\r\n"))


def seconds(args: Mapping[str, str], name: str) -> float | None:
    """Return the argument *name*, a number of seconds.  :raises BadArgument:"""
    text = args.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise BadArgument(name, "it must be a number of seconds")
    return float(text)


def output_of(args: Mapping[str, str], known: Sequence[str]) -> str:
    """Return which of the *known* forms an answer is to have.  :raises BadArgument:"""
    output = args.get("output", known[0]).lower()
    if output not in known:
        raise BadArgument("output", f"it can be {', '.join(known[:-1])} and {known[-1]}")
    return output


__all__ = [
    "BadArgument",
    "arguments",
    "boolean",
    "cap_in",
    "no_children",
    "output_of",
    "seconds",
    "size",
]
