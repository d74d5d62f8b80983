"""What a request says beside its body: what all frontends take, and caps."""

from __future__ import annotations

from truckee.codec.caps import Cap, parse_cap
from truckee.frontends.http.arguments import (
    BadArgument,
    arguments,
    boolean,
    size,
)


def cap_in(segment: bytes) -> Cap:
    """Return the cap in one decoded path segment.  :raises MalformedCap:"""
    return parse_cap(segment.decode("utf-8", "replace"))


__all__ = ["BadArgument", "arguments", "boolean", "cap_in", "size"]
