"""Where something is linked that gets its name from a command line."""

from __future__ import annotations

from attrs import frozen

from truckee.cli.grid import Grid
from truckee.cli.grid_nodes import GridNode
from truckee.cli.grid_path import GridPath
from truckee.cli.problems import NOT_FOUND, Problem


@frozen
class FilePlace:
    """Where a file is linked."""

    path: GridPath
    in_place: bool  # whether it is a new version of a mutable file


async def file_place_for(grid: Grid, target: GridPath, name: str) -> FilePlace:
    """Return where a file goes that is named *name* here.  :raises Problem:"""
    if not target.names:
        found = await grid.find(target)
        if found.is_file:
            return _checked(target, found)
    place = await place_for(grid, target, name, several=False)
    return _checked(place, await grid.look(place))


def _checked(place: GridPath, found: GridNode | None) -> FilePlace:
    if found is not None and found.is_directory:
        raise Problem(f"{place.shown} is a directory, and is not replaced by a file")
    in_place = found is not None and found.is_mutable and bool(found.write_cap)
    if not (place.names or in_place):
        raise Problem(f"{place.shown} is a file that cannot be changed")
    return FilePlace(place, in_place)


async def place_for(grid: Grid, target: GridPath, name: str, several: bool) -> GridPath:
    """
    Return where what is named *name* goes: into *target*, if that is a directory.

    *several*: there are more of them, so it must be one.  :raises Problem:
    """
    if target.names and not target.slash and not several:
        found = await grid.look(target)
        if found is None or not found.is_directory:
            return target
    elif target.names:
        found = await grid.look(target)
        if found is None or not found.is_directory:
            raise Problem(
                f"{target.shown} is no directory; truckee mkdir makes one", NOT_FOUND
            )
    if not name:
        raise Problem(f"{target.shown}: say the name that it gets there")
    return target.child(name)
