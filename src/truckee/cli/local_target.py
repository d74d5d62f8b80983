"""A directory of this machine, as the place where trees of the grid are copied to."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from attrs import define

from truckee.cli.board import Board
from truckee.cli.download import Remote, download
from truckee.cli.gateway import Gateway
from truckee.cli.grid_entries import GridEntry
from truckee.cli.grid_nodes import SAME_TIME, GridNode
from truckee.cli.paths import hidden_part_of, unfinished
from truckee.cli.problems import Problem, Unreachable, printable
from truckee.cli.tree_walk import Entry, Frame
from truckee.flow.durable import sync_directory

_PERMISSIONS = 0o777  # what of a mode is restored: no set-user-id


@define(eq=False)
class LocalTarget:
    """
    Copies files of the grid to this machine.

    A file appears, or is replaced, when all of it is on the disk.
    """

    _gateway: Gateway
    _board: Board
    _modes: bool  # whether the modes of a backup are restored
    _failed: Callable[[Problem], None]

    async def open(self, entry: Entry, parent: Frame) -> Path:
        """Make a directory, unless it is there."""
        path = _below(parent, entry)
        self.make(path)
        return path

    def make(self, path: Path) -> None:
        """Make the directory *path*, unless it is there.  :raises OSError:"""
        try:
            # Its mode is restored when all is in it.
            path.mkdir(0o700 if self._modes else 0o777)
        except FileExistsError:
            if path.is_symlink() or not path.is_dir():
                raise Problem(
                    f"{printable(str(path))} is no directory: move it away"
                ) from None

    async def store(self, entry: Entry, frame: Frame) -> None:
        """Copy a file, unless it is there."""
        assert isinstance(entry, GridEntry)
        path, node = _below(frame, entry), entry.node
        if not node.is_file:
            raise Problem(f"{entry.shown} is of no kind that this program knows")
        size, when = node.size, node.modified or node.linked
        there = _look(path)
        if there is not None and stat.S_ISDIR(there.st_mode):
            raise Problem(f"{printable(str(path))} is a directory: move it away")
        if there is not None and _is_copy(there, node, when):
            self._set_mode(path, entry)
            self._board.was_there(there.st_size)
            return
        self._board.begin(entry, entry.name, size)
        try:
            size = await self._download(entry, path, when)
        finally:
            self._board.end(entry)
        self._board.copied(size)

    async def _download(self, entry: GridEntry, path: Path, when: float | None) -> int:
        def show(done: int, _: int | None) -> None:
            self._board.moved(entry, done)

        cap = entry.node.read_cap or entry.node.cap
        part, remote = hidden_part_of(path, cap), Remote.of_cap(cap)
        with unfinished(path, part, 0o600 if self._modes else 0o666) as file:
            resume = not entry.node.is_mutable and os.fstat(file.fileno()).st_size > 0
            try:
                await download(self._gateway, remote, file, part, show, resume=resume)
            except Unreachable:
                raise
            except Problem as problem:
                text = f"{entry.shown}: {problem.message}"
                raise Problem(text, problem.exit_code) from None
            size = os.fstat(file.fileno()).st_size
            if when is not None:
                _set_time(file.fileno(), when)
            mode = self._mode_for(path, entry)
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
            os.rename(part, path)
        return size

    def _mode_for(self, path: Path, entry: Entry) -> int | None:
        """Return the mode that a file gets: of the backup, or of the one it replaces."""
        if self._modes:
            return _mode_of(entry)
        there = _look(path)
        if there is not None and stat.S_ISREG(there.st_mode):
            return stat.S_IMODE(there.st_mode)
        return None

    def _set_mode(self, path: Path, entry: Entry) -> None:
        mode = _mode_of(entry) if self._modes else None
        if mode is not None:
            os.chmod(path, mode)

    async def close(self, frame: Frame) -> None:
        """Give a directory its mode and time: all is in it."""
        path = frame.target
        assert isinstance(path, Path)
        sync_directory(path)
        if not self._modes or frame.entry is None:
            return
        assert isinstance(frame.entry, GridEntry)
        self._set_mode(path, frame.entry)
        if frame.entry.node.modified is not None:
            _set_time(path, frame.entry.node.modified)


def _below(frame: Frame, entry: Entry) -> Path:
    """Return where *entry* goes.  :raises Problem: when its name would lead elsewhere."""
    assert isinstance(frame.target, Path)
    name = entry.name
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise Problem(f"{entry.shown}: no file here can have the name {printable(name)!r}")
    return frame.target / name


def _look(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _is_copy(there: os.stat_result, node: GridNode, when: float | None) -> bool:
    return (
        stat.S_ISREG(there.st_mode)
        and not node.is_mutable
        and there.st_size == node.size
        and when is not None
        and abs(there.st_mtime - when) < SAME_TIME
    )


def _set_time(file: int | Path, when: float) -> None:
    try:
        nanoseconds = round(when * 1e9)
        os.utime(file, ns=(nanoseconds, nanoseconds))
    except (OverflowError, ValueError, OSError):
        return  # a time that no file here can have


def _mode_of(entry: Entry) -> int | None:
    assert isinstance(entry, GridEntry)
    mode = entry.node.metadata.get("st_mode")
    return mode & _PERMISSIONS if isinstance(mode, int) else None
