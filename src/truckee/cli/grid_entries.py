"""Files and directories of the grid, as what is copied."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from truckee.cli.grid import Grid
from truckee.cli.grid_nodes import GridNode
from truckee.cli.grid_path import GridPath
from truckee.cli.problems import Problem


@frozen(eq=False)
class GridEntry:
    """One file or directory of the grid."""

    name: str
    path: GridPath  # for people; it is read by its cap
    node: GridNode
    grid: Grid

    @property
    def shown(self) -> str:
        """Where it is."""
        return self.path.shown

    @property
    def is_directory(self) -> bool:
        """Whether it has children."""
        return self.node.is_directory

    @property
    def identity(self) -> object:
        """The same for a directory however it is come to."""
        return self.node.read_cap

    async def children(self) -> Sequence[GridEntry]:
        """Return what is in the directory, by name.  :raises Problem:"""
        cap = self.node.read_cap or self.node.cap
        listed = await self.grid.read_directory(GridPath(cap, (), self.shown))
        return [
            GridEntry(name, self.path.child(name), child, self.grid)
            for name, child in sorted(listed.children.items())
        ]

    def renamed(self, name: str) -> GridEntry:
        """Return it with another name at its target."""
        return evolve(self, name=name)


async def grid_entry(grid: Grid, path: GridPath) -> GridEntry:
    """Return what is at *path*.  :raises Problem: when there is nothing to be copied."""
    found = await grid.find(path)
    if not (found.is_directory or found.is_file):
        raise Problem(f"{path.shown} is of no kind that this program knows")
    return GridEntry(path.name, path, found, grid)
