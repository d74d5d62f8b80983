"""
Pages that stay true while somebody looks at them.

A script loads them again whenever the gateway tells of a change, and puts what is new in
the place of what was; without scripts the browser loads them again every few seconds.
"""

from __future__ import annotations

from twisted.web.template import Flattenable, tags

from truckee.frontends.web.frame import Frame
from truckee.frontends.web.page import render_page

# Where nothing tells of changes, what is shown is looked at again after so many seconds.
REFRESH = 5


def render_live(
    title: str,
    *body: Flattenable,
    frame: Frame,
    here: str = "-",
    every: int = REFRESH,
    told: bool = True,
    moves: bool = True,
) -> bytes:
    """
    Return a page whose *body* is kept as it is at the gateway.

    *told*: events tell of all its changes; else it is looked at again *every* so many
    seconds.  Without scripts it is loaded again as long as something *moves*.
    """
    again = tags.meta(**{"http-equiv": "refresh"}, content=str(every))
    pace = {"data-every": str(every), **({} if told else {"data-poll": ""})}
    script = tags.script(src=f"{frame.root}static/live.js", defer="", **pace)
    return render_page(
        title,
        tags.p(id="said", role="status", class_="note"),
        tags.div(body, id="live"),
        frame=frame,
        here=here,
        head=(tags.noscript(again) if moves else "", script),
    )
