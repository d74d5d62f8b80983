"""
Pages that stay true while somebody looks at them.

A script loads them again whenever the gateway tells of a change, and puts what is new in
the place of what was; without scripts the browser loads them again every few seconds.
"""

from __future__ import annotations

from twisted.web.template import Flattenable, tags

from truckee.frontends.web.page import render_page

# Where nothing tells of changes, what is shown is looked at again after so many seconds.
REFRESH = 5


def render_live(title: str, *body: Flattenable) -> bytes:
    """Return a page whose *body* is kept as it is at the gateway."""
    again = tags.meta(**{"http-equiv": "refresh"}, content=str(REFRESH))
    return render_page(
        title,
        tags.div(body, id="live"),
        tags.p(id="said", role="status"),
        head=(
            tags.noscript(again),
            tags.script(src="/static/live.js", defer="", **{"data-every": str(REFRESH)}),
        ),
    )
