"""``t=info``: what a cap says of its file, for people."""

from __future__ import annotations

from urllib.parse import quote

from twisted.web.template import tags

from truckee.codec import base32
from truckee.codec.caps import ChkReadCap, LiteralCap
from truckee.frontends.web.page import amount, pairs, render_page


def info_page(cap: ChkReadCap | LiteralCap) -> bytes:
    """Return the page of one file."""
    text, verify_cap = str(cap), cap.verify_cap()
    name = quote(text, safe="")
    rows = [("Size", f"{cap.size} bytes ({amount(cap.size)})"), ("Cap to read it", text)]
    if isinstance(cap, ChkReadCap):
        rows += [
            ("Cap to check it", str(verify_cap)),
            ("Storage index", base32.encode(cap.storage_index)),
            ("Shares", f"{cap.needed} of {cap.total} are needed"),
        ]
    else:
        rows.append(("Shares", "none: the file is in its cap"))
    checks = [
        tags.form(
            tags.button(label),
            class_="act",
            action=f"/uri/{name}?t=check{query}",
            method="post",
        )
        for label, query in (
            ("Check", ""),
            ("Verify every byte", "&verify=true"),
            ("Check and repair", "&repair=true"),
        )
    ]
    return render_page(
        "A file",
        tags.h1("A file"),
        pairs(rows),
        tags.p(tags.a("Its content", href=f"/file/{name}/@@named=/raw.txt")),
        checks,
    )
