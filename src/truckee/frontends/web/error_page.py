"""Errors as browsers show them to people; programs get the same in plain text."""

from __future__ import annotations

import re
from http import HTTPStatus

from attrs import define, evolve
from twisted.web.http import Request
from twisted.web.template import Flattenable, tags

from truckee.frontends.web.frame import Frames
from truckee.frontends.web.page import POLICY, render_page
from truckee.frontends.web.visits import is_visit
from truckee.frontends.web.words import foreign
from truckee.net.http.respond import TEXT, Answer

_MOST = 4000  # characters of a text

# What programs for stock gateways look for.
_NAME = re.compile(r"^[A-Z][A-Za-z]+Error: ")

_TITLES = {
    400: "This cannot be done as it was asked",
    403: "This is not allowed",
    404: "Nothing is here",
    409: "This does not go with what is there",
    410: "The file cannot be read now",
    413: "This is too large",
    500: "Something went wrong",
    503: "Not now",
    507: "There is no room",
}
_WAYS = {
    404: "Check the address: a cap must be there whole, without a line break in it.",
    410: "More servers may be back later: look at the grid, and try again.",
    503: "It may pass: look at the grid, and try again.",
    507: "Make room on the servers, or add one, and try again.",
}


@define(eq=False)
class ErrorPages:
    """Makes a page of an error for whoever looks at it in a browser."""

    _frames: Frames

    def show(self, request: Request, answer: Answer) -> Answer:
        """Return *answer*, or a page of it."""
        if answer.headers.get("content-type") != TEXT or not is_visit(request):
            return answer
        frame = self._frames.of(request)
        title = _title(answer.status)
        way = _WAYS.get(answer.status)
        # What it was is in the answer; where it was may be a cap.
        text = foreign(answer.body.decode("utf-8", "replace"), _MOST).strip()
        text = _NAME.sub("", text)
        lines: list[Flattenable] = [tags.p(line) for line in text.splitlines() if line]
        lines.append(tags.small(f"HTTP status {answer.status}"))
        page = render_page(
            title,
            tags.h1(title),
            tags.div(lines, class_="error"),
            "" if way is None else tags.p(way),
            tags.ul(
                tags.li(tags.a("Upload or read a file", href=frame.root or ".")),
                tags.li(tags.a("See what the gateway does", href=f"{frame.root}status")),
                class_="ways",
            ),
            frame=frame,
        )
        headers = {
            **answer.headers,
            "content-type": "text/html; charset=utf-8",
            "content-security-policy": POLICY,
        }
        return evolve(answer, body=page, headers=headers)


def _title(status: int) -> str:
    if status in _TITLES:
        return _TITLES[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Error {status}"
