"""``t=info``: what a cap says of its file, for people."""

from __future__ import annotations

from urllib.parse import quote

from twisted.web.template import Flattenable, tags

from truckee.codec import base32
from truckee.codec.caps import ChkReadCap, LiteralCap
from truckee.frontends.web.frame import Frame
from truckee.frontends.web.page import render_page, section
from truckee.frontends.web.tables import pairs
from truckee.frontends.web.words import amount


def info_page(cap: ChkReadCap | LiteralCap, frame: Frame) -> bytes:
    """Return the page of one file."""
    text, verify_cap = str(cap), cap.verify_cap()
    name = quote(text, safe="")
    size = amount(cap.size) + (f" ({cap.size:,} bytes)" if cap.size >= 1000 else "")
    rows: list[tuple[str, Flattenable]] = [
        ("Size", size),
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
    checks = [
        tags.form(
            tags.button(label),
            action=f"{frame.root}uri/{name}?t=check{query}",
            method="post",
        )
        for label, query in (
            ("Check", ""),
            ("Verify every byte", "&verify=true"),
            ("Check and repair", "&repair=true"),
        )
    ]
    content = f"{frame.root}file/{name}/@@named=/raw.txt"
    return render_page(
        "A file",
        tags.h1("A file"),
        pairs(rows),
        tags.p(tags.a("Its content", href=content)),
        section("Is it whole?", tags.div(checks, class_="row")),
        frame=frame,
    )
