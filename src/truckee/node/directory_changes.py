"""
Adding and replacing storage directories of a grid of its own.  All of it blocks.

The identity of a new directory is noted first, then written into it, then comes the line
in ``tahoe.cfg``.  Whoever dies between leaves a node that starts, and can begin again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from attrs import define, frozen

from truckee.errors import Misuse
from truckee.flow.durable import DiskFault, rewrite_durably, sync_directory
from truckee.flow.ownership import give_to_owner_of
from truckee.node.config_edit import add_value, replace_value
from truckee.node.config_file import ConfigFile
from truckee.node.directory_look import OwnGrid
from truckee.node.directory_record import DirectoryRecord, Remembered, Replaced
from truckee.node.identity import SERVER_ID, SERVER_ID_SIZE, read_mark, write_identity
from truckee.node.layout import NodeDirectory
from truckee.node.new_directory import NoNewDirectory, check_new
from truckee.node.own_grid import directory_name, parse_storage_dirs
from truckee.storage.directory_status import FINE

_MOST = 256  # as many as a new grid may have
_SHORT = 8  # characters of an identity


@define
class NoSuchDirectory(Misuse):
    """
    There is no storage directory {name}. Name it by its number, its path, or its id: see
    truckee storage list
    """

    name: str


@define
class StillGood(Misuse):
    """
    {name} is {state}, and its shares can be read. To have more space, add one with truckee
    storage add; to move it, stop the node, move it with all that is in it, and write its
    new path into tahoe.cfg; to replace it all the same, use --force
    """

    name: str
    state: str


@define
class CannotEdit(Misuse):
    """
    {path} is written in a way that only people can change. Write {line} into the list
    [grid] storage_dirs yourself, in a line of its own
    """

    path: Path
    line: str


@frozen
class Change:
    """What was done."""

    number: int  # of the directory, from 0
    path: Path
    shared: list[int]  # numbers of others on the same disk
    left: int  # how many others are there
    needed: int  # as many shares give a file back


def add_directory(
    node: NodeDirectory, path: Path, random: Callable[[int], bytes] = os.urandom
) -> Change:
    """
    Make *path* one more storage directory, from the next start of the node on.

    :raises NoNewDirectory: :raises CannotEdit: :raises OSError:
    """
    OwnGrid.read(node)  # of a node that has none nothing is locked
    with DirectoryRecord(node.path).locked():
        grid = OwnGrid.read(node)
        identity = check_new(grid, path) or random(SERVER_ID_SIZE)
        if len(grid.paths) >= _MOST:
            raise NoNewDirectory(path, f"there are {_MOST} already, which is the most")
        text = _with_line(grid, path, None)
        _make(grid, path, identity, grid.remembered.seen(identity, path))
        rewrite_durably(node.config, text)
        return _change(grid, len(grid.paths), path)


def replace_directory(
    node: NodeDirectory,
    name: str,
    path: Path,
    force: bool = False,
    random: Callable[[int], bytes] = os.urandom,
) -> Change:
    """
    Put *path*, which may be the same, in the place of the storage directory *name*.

    Its identity is a new one, since what the old one had is not there.
    :raises NoSuchDirectory: :raises StillGood: unless *force*.
    :raises NoNewDirectory: :raises CannotEdit: :raises OSError:
    """
    OwnGrid.read(node)
    record = DirectoryRecord(node.path)
    with record.locked():
        grid = OwnGrid.read(node)
        number = _find(grid, name)
        status = grid.look()[number]
        if not force and status.fault in (None, DiskFault.FULL):
            raise StillGood(directory_name(number), status.state)
        identity = check_new(grid, path, number) or random(SERVER_ID_SIZE)
        old = grid.paths[number]
        known = grid.remembered.at(old)
        if status.state == FINE or known is None:
            with suppress(OSError):
                known = read_mark(old) or known
        remembered = grid.remembered.seen(identity, path)
        if known and known != identity:
            gone = Replaced(known, old, identity, time.time())
            remembered = remembered.with_replaced(gone)
        text = _with_line(grid, path, number)
        _make(grid, path, identity, remembered)
        if old != path:
            rewrite_durably(node.config, text)
        return _change(grid, number, path)


def _find(grid: OwnGrid, name: str) -> int:
    """Return the number of a directory.  :raises NoSuchDirectory:"""
    real = os.path.realpath(os.path.abspath(name))
    for number, (path, status) in enumerate(zip(grid.paths, grid.look(), strict=True)):
        names = (str(number), status.name, str(path))
        # People are shown the beginning of it.
        is_id = len(name) >= _SHORT and (status.identity or "").startswith(name)
        if is_id or name in names or os.path.realpath(path) == real:
            return number
    for number, path in enumerate(grid.paths):  # as it is in tahoe.cfg
        if path == grid.node.path / name:
            return number
    raise NoSuchDirectory(name if name.isprintable() else repr(name))


def _make(grid: OwnGrid, path: Path, identity: bytes, remembered: Remembered) -> None:
    """Write the record, and the new directory."""
    record = DirectoryRecord(grid.node.path)
    record.write(remembered)
    try:
        if not path.exists():
            path.mkdir(0o700)
            sync_directory(path.parent)
        write_identity(path / SERVER_ID, identity)
        for each in (path, path / SERVER_ID):
            give_to_owner_of(grid.node.path, each)
    except OSError:
        with suppress(OSError):
            record.write(grid.remembered)
        raise


def _with_line(grid: OwnGrid, path: Path, number: int | None) -> bytes:
    """Return ``tahoe.cfg`` with *path* as directory *number*; None: as one more."""
    file, wanted = grid.node.config, list(grid.paths)
    text = file.read_bytes().decode("utf-8")
    line = grid.file.line_of("grid", "storage_dirs")
    if number is None:
        wanted.append(path)
        edited = add_value(text, line, str(path))
    else:
        wanted[number] = path
        edited = replace_value(text, line, number, str(path))
    with suppress(Misuse):
        parsed = ConfigFile.parse(file, edited.removeprefix("\ufeff"))
        if parse_storage_dirs(grid.node.path, parsed) == wanted:
            return edited.encode("utf-8")
    raise CannotEdit(file, str(path))


def _change(grid: OwnGrid, number: int, path: Path) -> Change:
    shared = []
    left = sum(each.is_there for each in grid.look()[:number] + grid.look()[number + 1 :])
    for other, place in enumerate(grid.paths):
        with suppress(OSError):
            if other != number and os.stat(place).st_dev == os.stat(path).st_dev:
                shared.append(other)
    needed = grid.file.get("client", "shares.needed", 3, int)
    return Change(number, path, shared, left, needed)
