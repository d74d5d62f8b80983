"""The page of a directory, for people; made in pieces, however many children it has."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from attrs import field, frozen
from twisted.web.template import Comment, Flattenable, Tag, tags

from truckee import __version__
from truckee.codec.entity_tags import listing_tag, page_tag
from truckee.frontends.web.arguments import BadArgument
from truckee.frontends.web.directory_rows import Rows
from truckee.frontends.web.frame import Frame
from truckee.frontends.web.page import PAGE_HEADERS, POLICY, render_page
from truckee.frontends.web.shown_names import visible
from truckee.tree.directories import Directory

# Files are shown in frames of the page, where they are kept apart from it (isolation.py).
# Links to them say that no referrer is sent; with none at all, browsers would send the
# page's forms without an origin.
HEADERS = {**PAGE_HEADERS, "content-security-policy": f"{POLICY}; frame-src 'self'"}

# Another version may make other rows of the same children.
_MAKER = f"{__version__}\n".encode()
_ROWS = "rows of the directory"
_HEADS = (("name", "Name"), ("size", "Size"), ("time", "Linked"), ("kind", "Kind"))


@frozen(eq=False)
class DirectoryPage:
    """The page of what a directory held at one time."""

    _directory: Directory
    _rows: Rows
    _before: bytes = field(repr=False)  # the table
    _after: bytes = field(repr=False)

    @property
    def tag(self) -> str:
        """Its entity tag, without quotes: another one if anything in it is another."""
        listing = listing_tag(self._directory.cap, self._directory.version)
        return page_tag(listing, _MAKER + self._before + self._after)

    def pieces(self) -> Iterator[bytes]:
        """Give it in pieces, with a row for each child."""
        count = len(self._directory.table)
        yield self._before + _table_head(count)
        yield from self._rows.groups(self._directory.links())
        yield b"</table>\n" + _foot(count, self._rows.summary) + self._after


def directory_page(
    directory: Directory, frame: Frame, names: Sequence[str]
) -> DirectoryPage:
    """
    Return the page of *directory*.

    :param names: of the path behind the cap.
    """
    writable = directory.write_key is not None
    rows = Rows(frame.root, writable)
    title = visible(names[-1]) if names else "Directory"
    page = render_page(
        title,
        _path(names),
        tags.h1(tags.bdi(title)),
        tags.p(_state(directory), class_="lead"),
        _changes(frame.root) if writable else "",
        tags.div(id="tools", class_="row", hidden=""),
        _above(),
        Comment(_ROWS),
        frame=frame,
        head=_head(frame.root, writable),
    )
    before, after = page.split(f"<!--{_ROWS}-->".encode())
    return DirectoryPage(directory, rows, before, after)


def rows_of(directory: Directory, frame: Frame, names: Sequence[str]) -> bytes:
    """Return the rows of those of *names* that are there, as a table."""
    rows = Rows(frame.root, directory.write_key is not None)
    found = ((name, directory.link(name)) for name in names)
    made = rows.groups((name, link) for name, link in found if link is not None)
    return b"<!DOCTYPE html>\n<table>" + b"".join(made) + b"</table>\n"


def wanted_names(text: str) -> list[str]:
    """Return the names in a list in JSON.  :raises BadArgument:"""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise BadArgument("names", "it must be a list of texts in JSON")
    return found


def _head(root: str, writable: bool) -> list[Flattenable]:
    """Return what the page has in its head: its style and its scripts."""
    static = f"{root}static"
    change = {"data-change": ""} if writable else {}
    names = ["directory", "directory_preview", "directory_actions"]
    if writable:
        names += ["tus", "directory_links", "directory_uploads"]
    return [
        tags.link(rel="stylesheet", href=f"{static}/directory.css"),
        *(tags.script(src=f"{static}/{each}.js", defer="", **change) for each in names),
    ]


def _state(directory: Directory) -> str:
    if directory.is_immutable:
        return "This directory is immutable: it never changes."
    if directory.write_key is None:
        return "Read-only: this address lists the directory, and cannot change it."
    return "Whoever has the address of this page can change the directory."


def _path(names: Sequence[str]) -> Flattenable:
    """Return the way from the cap to here, a link for each directory on it."""
    if not names:
        return ""
    crumbs = ["Directory", *map(visible, names)]
    lines: list[Flattenable] = []
    for at, crumb in enumerate(crumbs[:-1]):
        up = "../" * (len(crumbs) - 1 - at)
        lines.append(tags.li(tags.a(tags.bdi(crumb), href=up)))
    lines.append(tags.li(tags.bdi(crumbs[-1]), **{"aria-current": "page"}))
    return tags.nav(tags.ol(lines), class_="crumbs", **{"aria-label": "Path"})


def _changes(root: str) -> Tag:
    """Return the forms that add something; the script makes more of them."""
    upload = tags.form(
        tags.label("Files from this device", for_="file"),
        tags.div(
            tags.input(type="hidden", name="when_done", value="."),
            tags.input(type="file", name="file", id="file", required=""),
            tags.button("Upload", id="send"),
            class_="row",
        ),
        tags.p("Or drop files and directories anywhere on this page.", class_="hint"),
        action="?t=upload&replace=false",
        method="post",
        enctype="multipart/form-data",
    )
    make = tags.form(
        tags.label("New directory", for_="new"),
        tags.div(
            tags.input(type="hidden", name="when_done", value="."),
            tags.input(name="name", id="new", required="", autocomplete="off"),
            tags.button("Make"),
            class_="row",
        ),
        id="make",
        action="?t=mkdir&replace=false",
        method="post",
    )
    return tags.div(upload, make, id="drop", class_="add")


def _above() -> Tag:
    """Return what stays in sight above the table: what was done, and with what to go on."""
    return tags.div(
        tags.div(
            tags.p(id="said", role="status"),
            tags.button("Undo", type="button", id="undo", hidden=""),
            class_="row",
        ),
        tags.div(id="chosen", role="group", hidden="", **{"aria-label": "Chosen"}),
        id="above",
    )


def _table_head(count: int) -> bytes:
    """Return what is before the first row."""
    hidden = "" if count else " hidden"
    heads = "".join(f'<th scope="col" data-by="{by}">{head}</th>' for by, head in _HEADS)
    return (
        f'<table class="list files" id="children" aria-label="Children"{hidden}>'
        f'<thead><tr>{heads}<th scope="col"><span class="unseen">More</span></th></tr>'
        "</thead>\n"
    ).encode()


def _foot(count: int, summary: str) -> bytes:
    none = " hidden" if count else ""
    return (
        f'<p class="empty" id="none"{none}>This directory is empty.</p>\n'
        f'<p class="says" id="summary">{summary}</p>\n'
        '<ul class="ways"><li><a href="?t=info">Caps and checks</a></li>'
        '<li><a href="?t=json">The same for programs</a></li></ul>\n'
    ).encode()
