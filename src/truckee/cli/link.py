"""Where ``truckee put`` links the file that it stores: looked at before, set after it."""

from __future__ import annotations

from attrs import define, field

from truckee.cli.gateway import Gateway
from truckee.cli.grid import Grid
from truckee.cli.grid_path import GridPath
from truckee.cli.targets import FilePlace, file_place_for


@define(eq=False)
class Link:
    """A place in the grid, or none."""

    _target: GridPath | None
    _name: str  # of the file here
    _found: FilePlace | None = field(default=None, init=False)

    async def prepare(self, gateway: Gateway) -> None:
        """Look at the place.  :raises Problem: when no file can be there."""
        if self._target is not None:
            self._found = await file_place_for(Grid(gateway), self._target, self._name)

    @property
    def in_place(self) -> bool:
        """Whether a mutable file is there, of which the file becomes the new version."""
        return self._found is not None and self._found.in_place

    @property
    def place(self) -> str:
        """Where in the web API a file is stored that is linked by the same request."""
        return "uri" if self._found is None else self._found.path.url

    async def set(self, gateway: Gateway, cap: str) -> None:
        """Link *cap* there.  :raises Problem:"""
        if self._found is not None:
            await Grid(gateway).link(self._found.path, cap)
