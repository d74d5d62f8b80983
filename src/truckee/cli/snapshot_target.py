"""
A tree as it is now, as immutable directories.

Source: ``docs/formats/directories.md``; with the metadata that ``tahoe backup`` writes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field

from truckee.cli.board import Board
from truckee.cli.checked import check, is_healthy
from truckee.cli.copy_state import CopyState, Stored
from truckee.cli.file_sender import FileSender
from truckee.cli.grid import Child, Grid, packed
from truckee.cli.grid_path import GridPath
from truckee.cli.local_entries import LocalEntry
from truckee.cli.met_names import MetNames
from truckee.cli.problems import Problem
from truckee.cli.tree_walk import Entry, Frame
from truckee.codec.directory_name import new_name

_MONTH = 30 * 86400  # seconds
_KEPT = ("st_mode", "st_ino", "st_dev", "st_uid", "st_gid")
# What is another one after a restart, and says nothing of a file.
_FLEETING = ("st_ino", "st_dev")


@define(eq=False)
class Contents:
    """What will be in a directory."""

    links: dict[str, Child] = field(factory=dict)
    names: MetNames = field(factory=MetNames)
    cap: str = field(default="", repr=False)  # when it is made


@define(eq=False)
class SnapshotTarget:
    """Stores what is new, and links the rest as it was stored before."""

    _grid: Grid
    _sender: FileSender
    _state: CopyState
    _board: Board
    _now: Callable[[], float]

    async def open(self, entry: Entry, parent: Frame) -> Contents:
        """Begin a directory."""
        above = parent.target
        assert isinstance(above, Contents)
        above.names.of(entry)
        return Contents()

    async def store(self, entry: Entry, frame: Frame) -> None:
        """Store a file, unless it is stored."""
        assert isinstance(entry, LocalEntry) and isinstance(frame.target, Contents)
        name = frame.target.names.of(entry)
        known = self._state.file(entry.path, entry.status)
        if known is not None and await self._is_good(known, os.fsencode(entry.path)):
            if self._now() - known.seen > _MONTH:
                self._state.add_file(entry.path, entry.status, known.cap)
            self._board.was_there(entry.status.st_size)
            cap = known.cap
        else:
            cap, same = await self._sender.send(entry)
            if same:
                self._state.add_file(entry.path, entry.status, cap)
        frame.target.links[name] = _child("filenode", cap, entry)

    async def close(self, frame: Frame) -> None:
        """Make a directory, unless there is one with the same in it."""
        contents, entry = frame.target, frame.entry
        assert isinstance(contents, Contents) and isinstance(entry, LocalEntry)
        digest = _digest(contents.links)
        known = self._state.directory(digest)
        if known is not None and await self._is_good(known, digest):
            cap = known.cap
        else:
            links = dict(sorted(contents.links.items()))
            cap = await self._grid.make_directory(links, "mkdir-immutable", entry.shown)
            known = None
        if known is None or self._now() - known.seen > _MONTH:
            self._state.add_directory(digest, cap)
        contents.cap = cap
        if frame.parent is not None and isinstance(frame.parent.target, Contents):
            name = new_name(entry.name)
            frame.parent.target.links[name] = _child("dirnode", cap, entry)

    async def _is_good(self, known: Stored, what: bytes) -> bool:
        """Tell whether what was stored still is; asked once in one to two months."""
        # Not of all at once: what was stored on one day is asked for on many.
        later = int.from_bytes(hashlib.sha256(what).digest()[:4], "big") / 2**32
        if self._now() - known.seen < _MONTH * (1 + later):
            return True
        try:
            path = GridPath(known.cap, (), "CAP")
            return is_healthy(await check(self._grid, path, {"add-lease": "true"}))
        except Problem as problem:
            if type(problem) is not Problem:
                raise
            return False


def _child(kind: str, cap: str, entry: LocalEntry) -> Child:
    return kind, {"ro_uri": cap, "metadata": metadata_of(entry.status)}


def metadata_of(status: os.stat_result) -> dict[str, Any]:
    """Return what a link says of a file here."""
    times = {"ctime": status.st_ctime, "mtime": status.st_mtime}
    return times | {name: getattr(status, name) for name in _KEPT}


def _digest(links: Mapping[str, Child]) -> bytes:
    lasting = {}
    for name in sorted(links):
        kind, fields = links[name]
        metadata = {
            key: value for key, value in fields["metadata"].items() if key not in _FLEETING
        }
        lasting[name] = (kind, {**fields, "metadata": metadata})
    return hashlib.sha256(packed(lasting)).digest()


def default_state(private: Path) -> Path:
    """Return where the state of backups is.  :raises Problem: when it can be nowhere."""
    try:
        private.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        raise Problem(
            f"there is no node directory {private.parent} that could keep the state of "
            "backups: name one with -d NODEDIR, or a file with --database FILE"
        ) from None
    return private / "truckee-backup.sqlite"
