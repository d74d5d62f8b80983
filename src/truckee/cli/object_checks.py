"""Objects that are named by lines, checked and repaired."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from truckee.cli.checked import check
from truckee.cli.grid import Grid
from truckee.cli.grid_path import GridPath
from truckee.cli.line_work import HEALTHY, REPAIRED, SICK
from truckee.cli.object_lines import RESULTS, Item, Unit
from truckee.cli.problems import Problem, Unreachable

_REPAIRS, _CHECKS = RESULTS
# Of what has no shares, in the words of a deep check.
_CHECKED: Mapping[str, Any] = {"storage-index": "", "results": {"healthy": True}}
_REPAIRED: Mapping[str, Any] = {"storage-index": "", "repair-attempted": False}


@frozen(eq=False)
class ObjectChecks:
    """Checks objects, with these arguments of the web API."""

    _grid: Grid
    _args: Mapping[str, str]

    async def look(self, item: Item) -> tuple[Unit, str]:
        """
        Return the line of what is found, and what the object counts as.

        :raises Problem: when the object cannot be checked.
        """
        repairs = "repair" in self._args
        error = ""
        if item.asked is None:
            told = dict(_REPAIRED if repairs else _CHECKED)
            return _line(item, told, repairs, error), HEALTHY
        # A name of its own could have the cap in it.
        place = GridPath(str(item.asked), (), "the object")
        try:
            told = await check(self._grid, place, self._args)
        except Unreachable:
            raise
        except Problem as problem:
            if not repairs:
                raise
            told, error = await self._as_it_is(place), problem.message
        unit = _line(item, told, repairs, error)
        kind = HEALTHY if unit["healthy"] else SICK
        if repairs and unit["healthy"] and not unit["healthy-before"]:
            kind = REPAIRED
        return unit, kind

    async def _as_it_is(self, place: GridPath) -> Unit:
        """Return what a deep check says of what cannot be repaired."""
        args = {name: each for name, each in self._args.items() if name != "repair"}
        found = await check(self._grid, place, args)
        return {
            "storage-index": found["storage-index"],
            "repair-attempted": True,
            "repair-successful": False,
            "pre-repair-results": found,
            "post-repair-results": found,
        }


def _line(item: Item, told: Unit, repairs: bool, error: str) -> Unit:
    before, after = (told.get(f"{each}-repair-results", told) for each in ("pre", "post"))
    unit: Unit = {**item.unit, "healthy": _is_healthy(after)}
    if repairs:
        unit["healthy-before"] = _is_healthy(before)
    unit["summary"] = after.get("summary") or "Healthy"
    unit[_REPAIRS if repairs else _CHECKS] = told
    if error:
        unit["error"] = error
    return unit


def _is_healthy(found: Unit) -> bool:
    # Without results it is in its cap.
    return bool(found.get("results", {"healthy": True})["healthy"])
