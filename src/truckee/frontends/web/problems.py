"""What is wrong with the node, in the same words on all pages and in all documents."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.web.template import Flattenable, tags

from truckee.frontends.web.page import foreign, moment
from truckee.status.problems import Problem


def problems_section(problems: Iterable[Problem]) -> Flattenable:
    """Return what a page says of *problems*; nothing when there are none."""
    found = list(problems)
    if not found:
        return ""
    lines = [
        tags.li(
            tags.strong(foreign(each.name)),
            f", since {moment(each.since)}: ",
            foreign(each.text),
        )
        for each in found
    ]
    return [tags.h2("Problems"), tags.ul(lines, role="alert")]


def problems_json(problems: Iterable[Problem]) -> list[dict[str, object]]:
    """Return what a document says of *problems*, the oldest first."""
    return [
        {"name": each.name, "text": each.text, "since": round(each.since, 3)}
        for each in problems
    ]
