"""
What a link's metadata has for programs that see a tree as files: times they set.  Pure.

WebDAV's properties stand beside them in one object.  Source: ``docs/reference/webdav.md``,
"Properties".
"""

from __future__ import annotations

import json
from typing import Any

from attrs import define

from truckee.codec.caps import ChkReadCap, LiteralCap, MutableReadCap, MutableWriteCap
from truckee.codec.children import Child
from truckee.codec.directory_children import Link
from truckee.codec.entity_tags import entity_tags
from truckee.codec.link_metadata import Metadata
from truckee.errors import Refused

KEY = "truckee:webdav"
# A directory is written as a whole each time that one of its links changes.
MAX_SIZE = 16 << 10  # bytes of one link's


@define
class TooManyProperties(Refused):
    """The properties of one file or directory may have {limit} bytes together."""

    limit: int = MAX_SIZE


def modified(link: Link, immutable: bool = False) -> float | None:
    """
    Return when a child was changed, as far as is known, in Unix seconds.

    What a client said counts for as long as the link leads to what it said it of.  In a
    directory that is *immutable* nothing is ever replaced, and what ``tahoe backup`` says
    counts too.
    """
    ours = ours_of(link.metadata)
    if ours.get("of") == identity(link.child):
        said = _number(ours.get("mtime"))
        if said is not None:
            return said
    if immutable:
        said = _number(link.metadata.get("mtime"))
        if said is not None:
            return said
    return _number(_tahoe(link).get("linkmotime"))


def created(link: Link) -> float | None:
    """Return when a name was linked first, in Unix seconds, if that is known."""
    return _number(_tahoe(link).get("linkcrtime"))


def with_modified(metadata: Metadata, child: Child, seconds: float | None) -> Metadata:
    """
    Return *metadata* of a link to *child*, changed at that time.

    None: when it is linked.  :raises TooManyProperties:
    """
    of = None if seconds is None else identity(child)
    return with_ours(metadata, mtime=seconds, of=of)


def moved_to(metadata: Metadata, old: Child, new: Child) -> Metadata:
    """Return *metadata* of a link to *old* as it is for *new*, which is a copy of it."""
    ours = ours_of(metadata)
    if old != new and ours.get("of") == identity(old):
        return with_ours(metadata, of=identity(new))
    return metadata


def identity(child: Child) -> str:
    """Return what tells children apart, and tells neither key nor content."""
    cap = child.cap
    if isinstance(cap, ChkReadCap | LiteralCap):
        return entity_tags(cap)[0]
    if isinstance(cap, MutableReadCap | MutableWriteCap):
        return str(cap.verify_cap())
    return "" if cap is None else str(cap.verify_cap() or "")


def with_ours(metadata: Metadata, **values: object) -> Metadata:
    """Return *metadata* with other values of ours; None: without it."""
    ours = {**ours_of(metadata), **values}
    ours = {name: value for name, value in ours.items() if value is not None}
    if len(json.dumps(ours)) > MAX_SIZE:
        raise TooManyProperties
    rest = {name: value for name, value in metadata.items() if name != KEY}
    return {**rest, KEY: ours} if ours else rest


def ours_of(metadata: Metadata) -> dict[str, Any]:
    """Return what is stored in a link for programs that see files."""
    found = metadata.get(KEY)
    return found if isinstance(found, dict) else {}


def _tahoe(link: Link) -> dict[str, Any]:
    found = link.metadata.get("tahoe")
    return found if isinstance(found, dict) else {}


def _number(found: object) -> float | None:
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if abs(found) < 1e15 else None
