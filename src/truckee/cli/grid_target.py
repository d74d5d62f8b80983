"""A directory of the grid, as the place where trees are copied to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from attrs import define, field

from truckee.cli.board import Board
from truckee.cli.copy_state import CopyState
from truckee.cli.file_sender import FileSender
from truckee.cli.gateway import Gateway
from truckee.cli.grid import Child, Grid, packed
from truckee.cli.grid_entries import GridEntry
from truckee.cli.grid_nodes import GridNode
from truckee.cli.grid_path import GridPath
from truckee.cli.local_entries import LocalEntry
from truckee.cli.met_names import MetNames
from truckee.cli.problems import Problem
from truckee.cli.relay import relay
from truckee.cli.tree_walk import Entry, Frame
from truckee.codec.directory_name import new_name

_MOST = 4 << 20  # bytes of children that are linked by one request
FRESH = 86400.0  # seconds that what is stored waits for its link


@define(eq=False)
class Place:
    """A directory there, or one that will be made."""

    path: GridPath  # for people
    cap: str = field(repr=False)  # empty: it is not made yet
    found: dict[str, GridNode]  # what is in it
    links: dict[str, Child] = field(factory=dict)  # that will be set
    names: MetNames = field(factory=MetNames)


@define(eq=False)
class GridTarget:
    """Copies into the grid: files are stored or linked, each directory is written once."""

    _grid: Grid
    _gateway: Gateway
    _sender: FileSender
    _state: CopyState | None  # None: what is cut off begins again
    _board: Board
    _job: bytes  # of which a copy that goes on is the same
    _now: Callable[[], float]

    async def open(self, entry: Entry, parent: Frame) -> Place:
        """Begin a directory; one that is there already is continued in."""
        above = parent.target
        assert isinstance(above, Place)
        name = above.names.of(entry)
        path = above.path.child(name)
        there = above.found.get(name)
        if there is None:
            return Place(path, "", {})
        if not there.is_directory:
            raise Problem(f"{path.shown} is no directory, and is not replaced by one")
        return await place_of(self._grid, path, there)

    async def store(self, entry: Entry, frame: Frame) -> None:
        """Store or link a file, unless it is there."""
        place = frame.target
        assert isinstance(place, Place)
        name = place.names.of(entry)
        there = place.found.get(name)
        if there is not None and there.is_directory:
            shown = place.path.child(name).shown
            raise Problem(f"{shown} is a directory, and is not replaced by a file")
        child = None
        if isinstance(entry, LocalEntry):
            child = await self._sent(entry, there)
        elif isinstance(entry, GridEntry):
            child = await self._linked(entry, there)
        if child is not None:
            place.links[name] = child

    async def _sent(self, entry: LocalEntry, there: GridNode | None) -> Child | None:
        status = entry.status
        if there is not None and there.is_copy_of(status.st_size, status.st_mtime):
            self._board.was_there(status.st_size)
            return None
        if there is not None and there.is_mutable and there.write_cap:
            await self._sender.send(entry, GridPath(there.write_cap, (), "").url)
            return None
        known = self._state.file(entry.path, status) if self._state else None
        if known is not None and self._now() - known.seen < FRESH:
            self._board.was_there(status.st_size)
            cap = known.cap
        else:
            cap, same = await self._sender.send(entry)
            if same and self._state:
                self._state.add_file(entry.path, status, cap)
        return "filenode", {"ro_uri": cap, "metadata": {"mtime": status.st_mtime}}

    async def _linked(self, entry: GridEntry, there: GridNode | None) -> Child | None:
        node = entry.node
        if node.is_mutable:
            return await self._copied(entry, there)
        size = node.size or 0
        if there is not None and there.read_cap == node.read_cap:
            self._board.was_there(size)
            return None
        self._board.copied(size)
        kept = {key: value for key, value in node.metadata.items() if key != "tahoe"}
        return "filenode", {"ro_uri": node.read_cap or node.cap, "metadata": kept}

    async def _copied(self, entry: GridEntry, there: GridNode | None) -> Child | None:
        """Copy what is in a mutable file now: a link would change with it."""
        node = entry.node
        place = f"uri?format={node.fields.get('format', 'SDMF')}"
        if there is not None and there.is_mutable and there.write_cap:
            place = GridPath(there.write_cap, (), "").url
        source = GridPath(node.read_cap or node.cap, (), entry.shown)
        cap, size = await relay(self._gateway, source, place)
        self._board.copied(size)
        if "?" not in place:
            return None
        kept = {key: value for key, value in node.metadata.items() if key != "tahoe"}
        return "filenode", {"rw_uri": cap, "metadata": kept}

    async def close(self, frame: Frame) -> None:
        """Write a directory, with all that was stored in it, at once."""
        place = frame.target
        assert isinstance(place, Place)
        if place.cap:
            for links in _batches(place.links):
                await self._grid.link_many(place.cap, links, place.path.shown)
            return
        assert frame.entry is not None and frame.parent is not None
        above = frame.parent.target
        assert isinstance(above, Place)
        cap = await self._made(place)
        above.links[new_name(frame.entry.name)] = ("dirnode", {"rw_uri": cap})

    async def _made(self, place: Place) -> str:
        """Return a new directory, or that of an earlier attempt that was cut."""
        first, *rest = _batches(place.links) or [{}]
        text = "\0".join(place.path.names).encode() + b"\0" + packed(place.links)
        digest = hashlib.sha256(self._job + text).digest()
        known = self._state.directory(digest) if self._state else None
        fresh = known is not None and self._now() - known.seen < FRESH
        if known is not None and fresh and await self._has(known.cap, place):
            return known.cap
        shown = place.path.shown
        cap = await self._grid.make_directory(first, "mkdir-with-children", shown)
        for links in rest:
            await self._grid.link_many(cap, links, shown)
        if self._state:
            self._state.add_directory(digest, cap, self._job)
        return cap

    async def _has(self, cap: str, place: Place) -> bool:
        """Tell whether the directory of *cap* has what it was made with, and no more."""
        found = await self._grid.look(GridPath(cap, (), place.path.shown))
        wanted = {
            name: fields.get("rw_uri") or fields.get("ro_uri")
            for name, (_, fields) in place.links.items()
        }
        return found is not None and wanted == {
            name: node.cap for name, node in found.children.items()
        }


async def place_of(grid: Grid, path: GridPath, node: GridNode) -> Place:
    """Return a directory that is there.  :raises Problem: when it cannot be changed."""
    if not node.write_cap:
        raise Problem(f"{path.shown} can only be read: use a cap that may change it")
    listed = await grid.read_directory(GridPath(node.write_cap, (), path.shown))
    return Place(path, node.write_cap, listed.children)


def _batches(links: dict[str, Child]) -> list[dict[str, Child]]:
    """Return *links* in parts that a gateway takes at once."""
    found: list[dict[str, Child]] = []
    size = _MOST
    for name, child in links.items():
        length = len(packed({name: child}))
        if size + length > _MOST:
            found.append({})
            size = 0
        size += length
        found[-1][name] = child
    return found


def job_of(*parts: Any) -> bytes:
    """Return what tells one copy from another one."""
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "replace")).digest()
