"""``t=info``: what a cap says of its file, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote

from twisted.web.template import Flattenable, Tag, tags

from truckee.codec import base32
from truckee.codec.caps import (
    ChkReadCap,
    LiteralCap,
    MutableReadCap,
    MutableWriteCap,
)
from truckee.frontends.web.frame import Frame
from truckee.frontends.web.page import render_page, section
from truckee.frontends.web.tables import pairs
from truckee.frontends.web.words import amount
from truckee.mutable.versions import Versions


def info_page(cap: ChkReadCap | LiteralCap, frame: Frame) -> bytes:
    """Return the page of one file."""
    text, verify_cap = str(cap), cap.verify_cap()
    name = quote(text, safe="")
    rows: list[tuple[str, Flattenable]] = [
        ("Size", _size(cap.size)),
        ("Cap to read it", tags.code(text)),
    ]
    if isinstance(cap, ChkReadCap):
        rows += [
            ("Cap to check it", tags.code(str(verify_cap))),
            ("Storage index", tags.code(base32.encode(cap.storage_index))),
            ("Shares", f"{cap.needed} of {cap.total} are needed"),
        ]
    else:
        rows.append(("Shares", "none: the file is in its cap"))
    return _page("A file", rows, name, _content(name, frame), frame)


def mutable_info_page(
    cap: MutableReadCap | MutableWriteCap, versions: Versions, frame: Frame
) -> bytes:
    """Return the page of one mutable file, of which *versions* were found."""
    best = versions.best
    rows: list[tuple[str, Flattenable]] = []
    if best is None:
        rows.append(("Content", "cannot be read now: too few shares were found"))
    else:
        shares = f"{best.geometry.needed} of {best.geometry.total} are needed"
        rows += [
            ("Size", _size(best.geometry.size)),
            ("Version", f"{best.sequence:,}"),
            ("Shares", shares),
        ]
    if isinstance(cap, MutableWriteCap):
        rows.append(("Cap to change it", tags.code(str(cap))))
    read_cap, verify_cap = cap.read_cap(), cap.verify_cap()
    rows += [
        ("Cap to read it", tags.code(str(read_cap))),
        ("Cap to check it", tags.code(str(verify_cap))),
        ("Storage index", tags.code(base32.encode(verify_cap.storage_index))),
    ]
    # The content may be a page that knows its address: that has the cap to read it only.
    name, content = (quote(str(each), safe="") for each in (cap, read_cap))
    more = _overwrite(name, frame) if isinstance(cap, MutableWriteCap) else ""
    return _page("A mutable file", rows, name, _content(content, frame), frame, more)


def directory_info_page(
    about: Mapping[str, object], name: str, frame: Frame, new_id: Callable[[], str]
) -> bytes:
    """
    Return the page of one directory, whose cap is *name*, of what is said *about* it.

    :param new_id: gives ids of walks that its forms begin.
    """
    heads = {
        "rw_uri": "Cap to change it",
        "ro_uri": "Cap to list it",
        "verify_uri": "Cap to check it",
    }
    rows: list[tuple[str, Flattenable]] = [
        (head, tags.code(str(about[key]))) for key, head in heads.items() if key in about
    ]
    if not about["mutable"]:
        rows.insert(0, ("Content", "never changes"))
    quoted = quote(name, safe="")
    listed, more = f"{frame.root}uri/{quoted}/", _below(quoted, frame, new_id)
    return _page("A directory", rows, quoted, listed, frame, more)


def _content(name: str, frame: Frame) -> str:
    """Return where the content of a file is."""
    return f"{frame.root}file/{name}/@@named=/raw.txt"


def _size(size: int) -> str:
    return amount(size) + (f" ({size:,} bytes)" if size >= 1000 else "")


def _overwrite(name: str, frame: Frame) -> Tag:
    """Return the form that writes the mutable file *name* anew, and comes back here."""
    form = tags.form(
        tags.label("A file from this device becomes its content", for_="file"),
        tags.div(
            tags.input(type="file", name="file", id="file", required=""),
            tags.button("Overwrite"),
            class_="row",
        ),
        action=f"{frame.root}uri/{name}?t=upload&when_done=%3Ft%3Dinfo",
        method="post",
        enctype="multipart/form-data",
    )
    return section("A new version", form)


def _below(name: str, frame: Frame, new_id: Callable[[], str]) -> Tag:
    """Return the forms that begin walks below the directory *name*."""
    forms = [
        _button(label, f"{frame.root}uri/{name}?t=start-{query}&ophandle={new_id()}")
        for label, query in (
            ("List all", "manifest"),
            ("Count all", "deep-stats"),
            ("Sum up all sizes", "deep-size"),
            ("Check all", "deep-check"),
            ("Verify all bytes", "deep-check&verify=true"),
            ("Check and repair all", "deep-check&repair=true"),
        )
    ]
    return section("All that is below it", tags.div(forms, class_="row"))


def _button(label: str, action: str) -> Tag:
    return tags.form(tags.button(label), action=action, method="post")


def _page(
    title: str,
    rows: list[tuple[str, Flattenable]],
    name: str,
    content: str,
    frame: Frame,
    more: Flattenable = "",
) -> bytes:
    """Return a page that checks the cap *name*, links to *content*, and has *more*."""
    checks = [
        _button(label, f"{frame.root}uri/{name}?t=check{query}")
        for label, query in (
            ("Check", ""),
            ("Verify every byte", "&verify=true"),
            ("Check and repair", "&repair=true"),
        )
    ]
    return render_page(
        title,
        tags.h1(title),
        pairs(rows),
        tags.p(tags.a("Its content", href=content)),
        section("Is it whole?", tags.div(checks, class_="row")),
        more,
        frame=frame,
    )
