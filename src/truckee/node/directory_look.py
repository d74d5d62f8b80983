"""How the storage directories of a node are, whether it runs or not.  All of it blocks."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from attrs import define, evolve, frozen

from truckee.codec import base32
from truckee.errors import Misuse
from truckee.flow.durable import DiskFault, fault_of
from truckee.flow.sizes import parse_size
from truckee.node.config_file import ConfigFile
from truckee.node.directory_record import DirectoryRecord, Remembered
from truckee.node.disk_watch import LEAST, SHARES, Place
from truckee.node.identity import read_identity
from truckee.node.layout import NodeDirectory
from truckee.node.missing_storage import OtherStorage, check_place
from truckee.node.own_grid import directory_name, parse_storage_dirs
from truckee.storage.directory_status import DirectoryStatus

_COUNTING = 1.0  # seconds, for the shares of one directory


@define
class NoOwnGrid(Misuse):
    """
    The node in {path} has no storage directories of its own (no [grid] storage_dirs in its
    tahoe.cfg). Name another with -d NODEDIR, or make one with: truckee create-grid
    """

    path: Path


@frozen
class OwnGrid:
    """The storage directories of one node, as its files say."""

    node: NodeDirectory
    file: ConfigFile
    paths: list[Path]
    remembered: Remembered

    @classmethod
    def read(cls, node: NodeDirectory) -> OwnGrid:
        """:raises NoNodeDirectory: :raises BadConfig: :raises NoOwnGrid:"""
        node.check()
        file = ConfigFile.read(node.config)
        paths = parse_storage_dirs(node.path, file)
        if not paths:
            raise NoOwnGrid(node.path)
        return cls(node, file, paths, DirectoryRecord(node.path).read())

    def look(self) -> list[DirectoryStatus]:
        """Return how each is."""
        reserved = self.file.get("grid", "reserved_space", 0, parse_size)
        return [
            look_at(number, path, self.remembered, self.paths, reserved)
            for number, path in enumerate(self.paths)
        ]


def look_at(
    number: int,
    path: Path,
    remembered: Remembered,
    used: Collection[Path],
    reserved: int,
) -> DirectoryStatus:
    """Return how the directory *number* is, which should be at *path*."""
    found = Place("", path, "", max(LEAST, reserved), below=SHARES).look()
    known = remembered.at(path)
    identity = None if known is None else base32.encode(known)
    status = DirectoryStatus(
        directory_name(number), identity, found.fault, found.size, found.free
    )
    try:
        there = read_identity(path)
        check_place(path, there, remembered, used)
    except (FileNotFoundError, NotADirectoryError):
        return evolve(status, fault=DiskFault.MISSING, size=None, free=None)
    except OtherStorage:
        return evolve(status, fault=DiskFault.OTHER, size=None, free=None)
    except ValueError:
        return evolve(status, fault=DiskFault.FAILING, free=None)
    except OSError as error:
        fault = fault_of(error) or DiskFault.FAILING
        return evolve(status, fault=fault, size=None, free=None)
    return evolve(status, identity=base32.encode(there))


def count_shares(path: Path, seconds: float = _COUNTING) -> int | None:
    """Return how many shares are in *path*; None: they are too many to count in time."""
    end = time.monotonic() + seconds
    count = 0
    try:
        for near in _directories(path / "shares"):
            if near.name == "incoming":
                continue
            for file in _directories(Path(near.path)):
                if time.monotonic() > end:
                    return None
                with os.scandir(file.path) as names:
                    count += sum(each.name.isdecimal() for each in names)
    except FileNotFoundError:
        return count
    except OSError:
        return None
    return count


def _directories(path: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(path) as entries:
        for each in entries:
            if each.is_dir(follow_symlinks=False):
                yield each
