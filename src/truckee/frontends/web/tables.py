"""Tables for wide screens and narrow ones, and bars."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.web.template import Flattenable, Tag, tags


def table(heads: Sequence[str], rows: Sequence[Sequence[Flattenable]], what: str) -> Tag:
    """
    Return a list of things: a line of *heads* over its *rows*; *what* names it.

    A column in which nothing stands is left out.  On a narrow screen each row is a card,
    headed by its first cell, and the other cells say what they are.
    """
    shown = [at for at in range(len(heads)) if any(row[at] != "" for row in rows)]
    top = tags.tr([tags.th(heads[at], scope="col") for at in shown])
    lines: list[Flattenable] = []
    for row in rows:
        first, *rest = shown
        cells: list[Flattenable] = [tags.th(row[first], scope="row")]
        cells += [tags.td(row[at], **{"data-label": heads[at]}) for at in rest]
        lines += ["\n", tags.tr(cells)]
    named = {"aria-label": what}
    return tags.table(tags.thead(top), tags.tbody(lines), class_="list", **named)


def pairs(rows: Sequence[tuple[str, Flattenable]]) -> Tag:
    """Return what is told of one thing: a name and a value in each row."""
    lines = [tags.div(tags.dt(name), tags.dd(told)) for name, told in rows]
    return tags.dl(lines, class_="pairs")


def bar(done: int | float, size: int, text: Flattenable, label: str) -> Flattenable:
    """Return a bar, and *text* that says the same; *label* says of what it is."""
    value = str(done) if isinstance(done, int) else f"{done:.4f}"
    full = {"max": str(max(1, size)), "value": value, "aria-label": label}
    return [tags.progress(**full), tags.span(text, class_="says")]
