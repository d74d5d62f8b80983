"""Whether somebody looks at an answer in a browser: then it is a page, else plain text."""

from __future__ import annotations

from twisted.web.http import Request


def is_visit(request: Request) -> bool:
    """Tell whether a browser shows the answer to *request* as a page."""
    mode = request.getHeader("sec-fetch-mode")
    accepted = (request.getHeader("accept") or "").split(",")
    kinds = {each.partition(";")[0].strip().lower() for each in accepted}
    return "text/html" in kinds and mode in (None, "navigate")
