"""What the commands for whole trees have in common."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from truckee.cli.counter import Counter
from truckee.cli.grid import Grid
from truckee.cli.ls import escaped
from truckee.cli.problems import Problem
from truckee.cli.session import Session
from truckee.cli.walk_state import WalkState

if TYPE_CHECKING:
    from truckee.cli.gateway import Gateway

Unit = dict[str, Any]


def walk(
    session: Session,
    directory: str | None,
    args: Mapping[str, str],
    state: str | None,
    show: Callable[[Unit, dict[str, int]], str],
    finish: Callable[[dict[str, int]], str],
) -> dict[str, int]:
    """
    Print what *show* makes of each object below *directory*; return what it counted.

    *finish* makes the last line.  Neither is printed where it is empty.
    """
    if sys.stdout is None:
        raise Problem("standard output is closed: there is nowhere to show it")
    [place] = session.directories([] if directory is None else [directory])
    name = "\n".join((place.url, *(f"{key}={value}" for key, value in args.items())))
    known = WalkState.open(state, name, time.monotonic)
    counter = Counter(known.counts.get("objects", 0))

    async def work(_grid: Grid, gateway: Gateway) -> None:
        from truckee.cli.tree_lines import TreeLines  # noqa: PLC0415  # loads Twisted

        lines = TreeLines(gateway, place, args, session.tell, known.cursor)
        try:
            async with aclosing(lines.batches()) as batches:
                async for units in batches:
                    objects = [unit for unit in units if unit["type"] != "stats"]
                    counts = dict(known.counts)
                    counts["objects"] = counts.get("objects", 0) + len(objects)
                    _print([show(unit, counts) for unit in objects])
                    known.counts, known.cursor = counts, units[-1]["cursor"]
                    known.note()
                    counter.show(known.counts["objects"])
        finally:
            counter.clear()
            known.save()
        _print([finish(known.counts)])
        sys.stdout.flush()

    session.run_many(work)
    known.finish()  # as late as can be: after that a repetition starts anew
    return known.counts


def path_of(unit: Unit) -> str:
    """Return the path of an object on one line."""
    return escaped("/".join(unit["path"]))


def _print(texts: Sequence[str]) -> None:
    sys.stdout.write("".join(f"{text}\n" for text in texts if text))
