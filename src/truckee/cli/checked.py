"""What a gateway says of one object that it checked, asked for and read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from truckee.cli.finding import NO_GATEWAY
from truckee.cli.grid import Grid
from truckee.cli.grid_path import GridPath
from truckee.cli.problems import Problem, printable


async def check(grid: Grid, place: GridPath, args: Mapping[str, str]) -> dict[str, Any]:
    """Return what a check of *place* found.  :raises Problem:"""
    given = {"t": "check", "output": "JSON", **args}
    text = await grid.change(place.shown, "POST", place.url, given)
    try:
        told = json.loads(text)
        is_healthy(told)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Problem(NO_GATEWAY) from None
    return dict(told)


def is_healthy(told: Mapping[str, Any]) -> bool:
    """Tell whether all is well, or was made so."""
    if "repair-attempted" in told:
        told = told["post-repair-results"]
    return bool(told["results"]["healthy"])


def verdict(told: Mapping[str, Any]) -> str:
    """Return what was found, for people."""
    if told.get("repair-attempted"):
        before, after = told["pre-repair-results"], told["post-repair-results"]
        done = "repaired" if told.get("repair-successful") else "the repair failed"
        return f"{done}; it was {_state(before)}, and is {_state(after)}"
    return _state(told.get("pre-repair-results", told))


def _state(told: Mapping[str, Any]) -> str:
    found = told["results"]
    good, needed = found.get("count-shares-good"), found.get("count-shares-needed")
    if good is None:
        return "healthy (it is in its cap)"
    state = "healthy" if found["healthy"] else "not healthy"
    if not found.get("recoverable", True):
        state = "lost"
    text = (
        f"{state}, {good} of {found.get('count-shares-expected')} shares, {needed} needed"
    )
    corrupt = found.get("count-corrupt-shares")
    if corrupt:
        text += f", {corrupt} damaged"
    silent = len(found.get("servers-not-responding", ()))
    if silent:
        text += f", {silent} {'servers' if silent > 1 else 'server'} did not answer"
    return printable(text)
