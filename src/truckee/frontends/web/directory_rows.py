"""The rows of a directory's page: markup for a name each, made without a tree of tags."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from html import escape
from itertools import islice
from urllib.parse import quote

from attrs import define, field

from truckee.codec.caps import (
    ChkReadCap,
    DirectoryCap,
    LiteralCap,
    MutableReadCap,
    MutableWriteCap,
)
from truckee.codec.directory_children import Link
from truckee.codec.link_metadata import Metadata
from truckee.frontends.web.kinds import kind_of
from truckee.frontends.web.shown_names import is_odd, shown, visible
from truckee.frontends.web.words import amount, counted, day_and_time

GROUP = 200  # rows that are made, sent, and laid out by the browser together

# Paths that browsers take for others.
_MOVING = ("", ".", "..")


@define(eq=False)
class Rows:
    """Makes the rows of one directory, and counts them."""

    _root: str  # the relative way to the first page
    _can_change: bool
    files: int = field(default=0, init=False)
    directories: int = field(default=0, init=False)
    unknown: int = field(default=0, init=False)
    size: int = field(default=0, init=False)  # bytes of those whose size is known
    unsized: int = field(default=0, init=False)  # mutable files

    def groups(self, links: Iterable[tuple[str, Link]]) -> Iterator[bytes]:
        """Give the rows of *links*, many at a time, each group a part of the table."""
        all_links = iter(links)
        while group := list(islice(all_links, GROUP)):
            rows = "\n".join(self.row(name, link) for name, link in group)
            yield f"<tbody>{rows}</tbody>\n".encode("utf-8", "replace")

    @property
    def summary(self) -> str:
        """How many there were, and how large."""
        found = []
        if self.directories:
            found.append(counted(self.directories, "directory"))
        if self.files:
            found.append(counted(self.files, "file"))
        if self.unknown:
            found.append(f"{self.unknown:,} of an unknown kind")
        if self.files > self.unsized:
            more = ", and mutable files" if self.unsized else ""
            found.append(f"{amount(self.size)}{more}")
        return ", ".join(found)

    def row(self, name: str, link: Link) -> str:
        """Return the row of one name."""
        kind, cap = kind_of(name, link.child), link.child.cap
        quoted = quote(name, safe="")
        address, size = self._count(name, quoted, link)
        words = kind.words
        if isinstance(cap, MutableReadCap | MutableWriteCap):
            words += ", mutable"
        elif isinstance(cap, DirectoryCap) and not isinstance(cap.inner, MutableWriteCap):
            fixed = isinstance(cap.inner, ChkReadCap | LiteralCap)
            words += ", immutable" if fixed else ", read-only"
        text = shown(name)
        if address:
            rel = "" if isinstance(cap, DirectoryCap) else ' rel="noopener noreferrer"'
            text = f'<a href="{address}"{rel}>{text}</a>'
        see = " see" if kind.previewed else ""
        linked = _linked(link.metadata)
        at = "" if linked is None else f' data-t="{int(linked)}"'
        big = "" if size is None else f' data-s="{size}"'
        return (
            f'<tr class="{kind.icon}{see}"{big}{at}{self._held(name, link)}>'
            f'<th scope="row">{text}</th>'
            f"<td>{'' if size is None else amount(size)}</td>"
            f"<td>{_time(linked)}</td><td>{words}</td>"
            f"<td>{self._more(name, quoted, link)}</td></tr>"
        )

    def _count(self, name: str, quoted: str, link: Link) -> tuple[str, int | None]:
        """Return where a child is and how large it is, and add it to what was counted."""
        cap = link.child.cap
        if cap is None:
            self.unknown += 1
            return "", None
        if isinstance(cap, DirectoryCap):
            self.directories += 1
            if name in _MOVING:
                return f"{self._root}uri/{_in_path(str(cap))}/", None
            return f"./{quoted}/", None
        self.files += 1
        # What is opened may be a page that knows its address: that has the file's cap to
        # read it, and not the directory's.
        assert link.child.ro is not None
        address = f"{self._root}file/{_in_path(link.child.ro)}/@@named=/{quoted}"
        if isinstance(cap, ChkReadCap | LiteralCap):
            self.size += cap.size
            return address, cap.size
        self.unsized += 1
        return address, None

    def _held(self, name: str, link: Link) -> str:
        """Return what the script needs to link the child again, beside its address."""
        held, child = "", link.child
        if is_odd(name):
            held += f' data-n="{quote(name, safe="", errors="replace")}"'
        if not isinstance(child.cap, ChkReadCap | LiteralCap):
            if child.rw:
                held += f' data-rw="{escape(child.rw)}"'
            if child.ro and (child.cap is None or not child.rw):
                held += f' data-ro="{escape(child.ro)}"'
        more = {key: value for key, value in link.metadata.items() if key != "tahoe"}
        if more:
            held += f' data-m="{escape(json.dumps(more))}"'
        return held

    def _more(self, name: str, quoted: str, link: Link) -> str:
        """Return the link to all else that can be done."""
        if self._can_change:
            address = f"?t=rename-form&amp;name={quoted}"
        elif link.child.cap is None:
            return ""
        elif name in _MOVING:
            address = f"{self._root}uri/{_in_path(str(link.child.cap))}?t=info"
        else:
            address = f"./{quoted}?t=info"
        label = escape(f"More on {visible(name)}")
        return f'<a class="more" href="{address}" aria-label="{label}">⋯</a>'


def _in_path(cap: str) -> str:
    """Return a cap of a known kind as a part of a path: letters, digits, colons, dashes."""
    return cap.replace(":", "%3A")


def _linked(metadata: Metadata) -> float | None:
    """Return when a link was set, in Unix seconds, as far as people have calendars."""
    times = metadata.get("tahoe")
    at = times.get("linkmotime") if isinstance(times, dict) else None
    if at is None:
        at = metadata.get("mtime")
    if not isinstance(at, int | float) or isinstance(at, bool):
        return None
    return at if 0 <= at < 253402300800 else None


def _time(at: float | None) -> str:
    if at is None:
        return ""
    exact = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    return f'<time datetime="{exact}">{day_and_time(at)}</time>'
