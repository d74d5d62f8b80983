"""What came of a form, for people in a browser; programs get the same in plain text."""

from __future__ import annotations

from urllib.parse import quote

from twisted.web.http import Request
from twisted.web.template import tags

from truckee.frontends.web.frame import Frames
from truckee.frontends.web.page import PAGE_HEADERS, render_page
from truckee.frontends.web.visits import is_visit
from truckee.net.http.respond import TEXT, Answer

# The address of such a page may be a cap, and it has no forms.
_HEADERS = {**PAGE_HEADERS, "referrer-policy": "no-referrer"}


def show_stored(request: Request, answer: Answer, frames: Frames) -> Answer:
    """Return *answer*, whose body is the cap of a new file, or a page of it."""
    if not _is_shown(request, answer):
        return answer
    frame, cap = frames.of(request), answer.body.decode("ascii")
    page = render_page(
        "Stored",
        tags.h1("The file is stored"),
        tags.p(
            "This is its cap. Copy it now: nothing else finds and decrypts the file, and "
            "whoever has it can read the file.",
            class_="lead",
        ),
        tags.pre(tags.code(cap)),
        tags.ul(
            tags.li(tags.a("Open the file", href=f"{frame.root}uri/{quote(cap, safe='')}")),
            tags.li(tags.a("Upload or read another file", href=frame.root or ".")),
            class_="ways",
        ),
        frame=frame,
    )
    return Answer(page, answer.status, {**answer.headers, **_HEADERS})


def show_checked(
    request: Request, answer: Answer, frames: Frames, back: str = ""
) -> Answer:
    """
    Return *answer*, whose body tells what a check found, or a page of it.

    Who does not say what is wanted gets the page, as stock gateways give it.

    :param back: where a link leads, if anywhere.
    """
    anything = not request.requestHeaders.hasHeader(b"accept")
    if not _is_shown(request, answer, anything):
        return answer
    frame, lines = frames.of(request), answer.body.decode("utf-8").splitlines()
    healthy = any(line.startswith("Healthy") for line in lines)
    page = render_page(
        "Checked",
        tags.h1("The file was checked"),
        tags.div(
            tags.div(tags.strong(tags.span(lines[0]))),
            [tags.div(line) for line in lines[1:] if line],
            class_="well" if healthy else "error",
        ),
        tags.ul(
            tags.li(tags.a("Back", href=back)) if back else "",
            tags.li(tags.a("Check, verify or repair it again", href="?t=info")),
            tags.li(tags.a("Upload or read another file", href=frame.root or ".")),
            class_="ways",
        ),
        frame=frame,
    )
    return Answer(page, answer.status, {**answer.headers, **_HEADERS})


def _is_shown(request: Request, answer: Answer, anything: bool = False) -> bool:
    return (
        answer.status == 200
        and answer.headers.get("content-type") == TEXT
        and (anything or is_visit(request))
    )
