"""The frame of the pages for people."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.template import Flattenable, Tag, flattenString, tags

from truckee.frontends.web.frame import ALONE, Frame, header

# No script or style but ours, and nothing from or to anywhere else.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src data:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


# Of every page.  A browser that sends no referrer sends its forms without an origin, which
# look like forms of another site.  An address, with its cap, goes to us alone.
PAGE_HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": POLICY,
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}


def set_page_headers(request: Request, *, uploads: bool = False) -> None:
    """Have a browser show the answer to *request* as a page of ours, which may upload."""
    if uploads:
        request.setHeader(b"connection", b"close")  # see frontends/tus/resource.py
    for name, value in PAGE_HEADERS.items():
        request.setHeader(name.encode("ascii"), value.encode("ascii"))


def render_page(
    title: str,
    *body: Flattenable,
    frame: Frame = ALONE,
    here: str = "-",
    head: Sequence[Flattenable] = (),
) -> bytes:
    """
    Return a page; all text in *body* is escaped.

    *here* is its place in the navigation; *head* is added to what stands in the page's
    head.
    """
    static = f"{frame.root}static"
    heads: list[Flattenable] = [
        tags.meta(charset="utf-8"),
        tags.meta(name="viewport", content="width=device-width, initial-scale=1"),
        tags.meta(name="color-scheme", content="light dark"),
        tags.title(title),
        tags.link(rel="icon", href="data:,"),
        tags.link(rel="stylesheet", href=f"{static}/style.css"),
        tags.script(src=f"{static}/workers.js", defer=""),
        *head,
    ]
    main = Tag("main")(body, id="main", tabindex="-1")
    page = tags.html(
        tags.head(heads), "\n", tags.body(header(frame, here), "\n", main), lang="en"
    )
    # Nothing in a page is waited for, so it is done at once.
    done: list[bytes | Failure] = []
    flattenString(None, page).addBoth(done.append)
    [flat] = done
    if isinstance(flat, Failure):
        flat.raiseException()
    assert isinstance(flat, bytes)
    return b"<!DOCTYPE html>\n" + flat + b"\n"


def section(title: str, *body: Flattenable, name: str = "") -> Tag:
    """Return a part of a page under a heading; *name* is what links call it."""
    named = {"id": name} if name else {}
    return tags.section(tags.h2(title), body, **named)


def empty(*body: Flattenable) -> Tag:
    """Return what stands where nothing is, and says what to do."""
    return tags.p(body, class_="empty")
