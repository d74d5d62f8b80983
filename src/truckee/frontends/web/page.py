"""The frame of the pages for people, and their words for sizes and times."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256

from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.template import Flattenable, Tag, flattenString, tags

# On a narrow screen each row of a list is a block, and each cell says what it is.
STYLE = """
:root { color-scheme: light dark; accent-color: #2a7fa5; --bar: #2a7fa5;
  --rest: rgba(127, 127, 127, .3) }
@media (prefers-color-scheme: dark) { :root { --bar: #4fb0dc } }
body { font: 1em/1.5 sans-serif; max-width: 52em; margin: 2em auto; padding: 0 1em;
  overflow-wrap: anywhere }
h1, h2 { line-height: 1.2 }
h2 { margin-top: 1.6em }
code { background: rgba(127, 127, 127, .18); padding: .1em .3em }
input { max-width: 100%; box-sizing: border-box }
table { border-collapse: collapse }
th, td { text-align: left; vertical-align: top; padding: .2em 1.5em .2em 0 }
td, .pairs th { border-top: 1px solid rgba(127, 127, 127, .35) }
.pairs th { font-weight: normal }
td, th { overflow-wrap: normal }
small { display: block; opacity: .75 }
.whole { white-space: nowrap }
.head th { white-space: nowrap }
.act { display: inline-block; margin: 1em .6em 0 0 }
button { padding: .2em .8em }
button:focus-visible, input:focus-visible, a:focus-visible { outline: 3px solid var(--bar);
  outline-offset: 2px }
progress { display: block; width: 12em; max-width: 100%; margin: .5em 0 .2em }
@media (forced-colors: none) {
  progress { appearance: none; height: .7em; border: 0; border-radius: .35em;
    overflow: hidden; background: var(--rest) }
  progress:indeterminate { background: repeating-linear-gradient(-45deg,
    var(--rest) 0 .5em, var(--bar) .5em 1em) }
  progress::-webkit-progress-bar { background: none }
  progress::-webkit-progress-value { background: var(--bar) }
  progress::-moz-progress-bar { background: var(--bar) }
  progress:indeterminate::-moz-progress-bar { background: none }
}
@media (max-width: 40em) {
  body { margin: 1em auto }
  .list, .list tbody, .list tr, .list td { display: block }
  .list .head { display: none }
  .list tr { border-top: 1px solid rgba(127, 127, 127, .35); padding: .4em 0 }
  .list td { border: 0; padding: 0 0 0 7em; overflow-wrap: anywhere }
  .list td::before { content: attr(data-label); float: left; margin-left: -7em;
    width: 6.5em; opacity: .75 }
  .list td:empty { display: none }
  progress { width: 100% }
}
"""


_STYLE_HASH = b64encode(sha256(STYLE.encode()).digest()).decode("ascii")

# No script but ours, and nothing from or to anywhere else.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        f"style-src 'self' 'sha256-{_STYLE_HASH}'",
        "connect-src 'self'",
        "img-src data:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


# Of every page.  A browser that sends no referrer sends its forms without an origin, which
# look like forms of another site; no cap is in the address of a page that has forms.
PAGE_HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": POLICY,
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}


def set_page_headers(request: Request) -> None:
    """Have a browser show the answer to *request* as a page of ours."""
    for name, value in PAGE_HEADERS.items():
        request.setHeader(name.encode("ascii"), value.encode("ascii"))


def render_page(
    title: str,
    *body: Flattenable,
    refresh: int | None = None,
    head: Sequence[Flattenable] = (),
) -> bytes:
    """
    Return a page; all text in *body* is escaped.

    *refresh* has a browser load it again so many seconds later; *head* is added to what
    stands in the page's head.
    """
    heads: list[Flattenable] = [
        tags.meta(charset="utf-8"),
        tags.meta(name="viewport", content="width=device-width, initial-scale=1"),
        tags.title(title),
        tags.link(rel="icon", href="data:,"),
        tags.style(STYLE),
        tags.script(src="/static/workers.js", defer=""),
        *head,
    ]
    if refresh is not None:
        heads.append(tags.meta(**{"http-equiv": "refresh"}, content=str(refresh)))
    page = tags.html(tags.head(heads), "\n", tags.body(body), lang="en")
    # Nothing in a page is waited for, so it is done at once.
    done: list[bytes | Failure] = []
    flattenString(None, page).addBoth(done.append)
    [flat] = done
    if isinstance(flat, Failure):
        flat.raiseException()
    assert isinstance(flat, bytes)
    return b"<!DOCTYPE html>\n" + flat + b"\n"


def table(heads: Sequence[str], rows: Sequence[Sequence[Flattenable]]) -> Tag:
    """Return a list of things: a line of *heads* over its *rows*."""
    lines: list[Flattenable] = [tags.tr([_head(head) for head in heads], class_="head")]
    for row in rows:
        cells = zip(heads, row, strict=True)
        line = [tags.td(cell, **{"data-label": head}) for head, cell in cells]
        lines += ["\n", tags.tr(line)]
    return tags.table(lines, class_="list")


def _head(text: str) -> Tag:
    return tags.th(text, scope="col")


def pairs(rows: Sequence[tuple[str, str]]) -> Tag:
    """Return what is told of one thing: a name and a value in each row."""
    lines = [tags.tr(tags.th(name, scope="row"), tags.td(told)) for name, told in rows]
    return tags.table(lines, class_="pairs")


def foreign(text: str) -> str:
    """Return what others call themselves, in a form that any page can have."""
    return text[:100].encode("utf-8", "replace").decode("utf-8")


def amount(size: int) -> str:
    """Return *size* bytes for people."""
    if size < 1000:
        return "1 byte" if size == 1 else f"{size} bytes"
    number, units = float(size), iter(("kB", "MB", "GB", "TB", "PB", "EB"))
    unit = ""
    # What would be rounded to 1000.0 is 1.0 of the next.
    while number >= 999.95:
        number, unit = number / 1000, next(units)
    return f"{number:.1f} {unit}"


def moment(seconds: float) -> str:
    """Return a time, in Unix seconds, for people anywhere."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
