"""What cannot be made a storage directory, and why.  All of it blocks."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from attrs import define

from truckee.errors import Misuse
from truckee.flow.durable import DRAFT
from truckee.node.directory_look import OwnGrid
from truckee.node.identity import SERVER_ID, read_mark
from truckee.node.layout import NodeDirectory

# What a new file system has in it.
_OF_THE_SYSTEM = {"lost+found"}


@define
class NoNewDirectory(Misuse):
    """{path} cannot be a new storage directory: {reason}."""

    path: Path
    reason: str


def check_new(grid: OwnGrid, path: Path, replaced: int | None = None) -> bytes | None:
    """
    Return the identity that an attempt which was broken off gave *path*; None: none did.

    *replaced* is the number of the directory that it takes the place of, whose path it
    may have.  :raises NoNewDirectory: with a sentence.
    """
    reason = (
        _why_no_name(path)
        or _why_not_beside(grid, path, replaced)
        or _why_not_of_node(grid.node, path)
        or _why_no_directory(path)
    )
    if reason:
        raise NoNewDirectory(path, reason)
    names = set(os.listdir(path)) - _OF_THE_SYSTEM if path.exists() else set()
    mark = read_mark(path) if SERVER_ID in names else None
    if mark is not None:
        reason = _why_not_marked(grid, path, mark)
        if not reason and path in grid.paths:
            reason = "it is the storage directory itself; name another one"
    rest = sorted(names - {SERVER_ID, SERVER_ID + DRAFT})
    if not reason and rest:
        reason = f"it is not empty (it has {rest[0]!r}); name an empty or a new directory"
    if reason:
        raise NoNewDirectory(path, reason)
    return mark


def _why_no_name(path: Path) -> str:
    text = str(path)
    if not text.isprintable() or text != text.strip():
        return "its name must be printable text, without blanks at its end"
    return ""


def _why_not_beside(grid: OwnGrid, path: Path, replaced: int | None) -> str:
    """Return why *path* cannot be beside the others."""
    real = os.path.realpath(path)
    for number, other in enumerate(grid.paths):
        theirs = os.path.realpath(other)
        if number == replaced:
            continue
        if real == theirs:
            return f"it is storage directory {number} already; name another one"
        if _is_within(real, theirs):
            return f"it is inside of storage directory {number}; name one outside of it"
        if _is_within(theirs, real):
            return f"storage directory {number} is inside of it; name another one"
    return ""


def _why_not_of_node(node: NodeDirectory, path: Path) -> str:
    """Return why *path* cannot be where the node has its own files."""
    real, home = os.path.realpath(path), os.path.realpath(node.path)
    if real == home or _is_within(home, real):
        return "the node directory is there; name an empty or a new directory"
    for used in _own(node):
        theirs = os.path.realpath(used)
        if real == theirs or _is_within(real, theirs):
            return f"the node has other things in {used}; name another one"
    return ""


def _own(node: NodeDirectory) -> Sequence[Path]:
    return (
        node.private,
        node.spool,
        node.cache,
        node.upload_logs,
        node.helper,
        node.journal,
    )


def _why_no_directory(path: Path) -> str:
    """Return why there is no directory to write to."""
    if not path.parent.is_dir():
        return f"there is no directory {path.parent}; mount its disk, or make it first"
    if path.is_symlink() and not path.exists():
        return "it is a link to nowhere; remove it, or name another one"
    if path.exists() and not path.is_dir():
        return "it is not a directory; name another one"
    place = path if path.exists() else path.parent
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        return "its disk is read-only; mount it for writing, or name another one"
    if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
        return f"{place} cannot be written to; change its owner or its mode"
    return ""


def _why_not_marked(grid: OwnGrid, path: Path, mark: bytes) -> str:
    """Return why a directory that has a mark already cannot be a new one."""
    known = grid.remembered
    replaced = known.replacement(mark, grid.paths)
    if replaced is not None:
        day = time.strftime("%Y-%m-%d", time.localtime(replaced.when))
        return f"it was replaced on {day}; empty it first, if its files were repaired"
    place = known.places.get(mark)
    if place is None:
        return f"it has the {SERVER_ID} of another node's storage directory; name another"
    if place != path:
        return (
            f"it is the storage directory that was {place}; if it was moved, write its new "
            "path into tahoe.cfg in the place of the old one"
        )
    return ""


def _is_within(path: str, other: str) -> bool:
    return path.startswith(other.rstrip("/") + "/")
