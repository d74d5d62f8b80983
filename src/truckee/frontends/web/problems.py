"""What is wrong with the node, in the same words on all pages and in all documents."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.web.template import Flattenable, tags

from truckee.frontends.web.words import foreign, moment
from truckee.status.problems import Problem

# Characters of a text that is shown in full.
MOST_TEXT = 2000


def problems_section(problems: Iterable[Problem]) -> Flattenable:
    """Return what a page says of *problems*; nothing when there are none."""
    found = list(problems)
    if not found:
        return ""
    lines = [
        tags.li(
            tags.strong(foreign(each.name)),
            " since ",
            moment(each.since),
            tags.p(foreign(each.text, MOST_TEXT)),
        )
        for each in found
    ]
    return tags.section(
        tags.h2("Problems"), tags.div(tags.ul(lines), role="alert"), id="problems"
    )


def problems_json(problems: Iterable[Problem]) -> list[dict[str, object]]:
    """Return what a document says of *problems*, the oldest first."""
    return [
        {"name": each.name, "text": each.text, "since": round(each.since, 3)}
        for each in problems
    ]
