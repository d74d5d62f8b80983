"""
A directory below the node directory that may be on a disk of its own.

One that is gets a mark, which the node directory has a copy of: so it is known from the
empty directory that is there in its place while its disk is not mounted, and nothing is
written to that one or missed in it.

Source: ``docs/reference/node-directory.md``, "Storage directories".
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from attrs import define, field

from truckee.codec import base32
from truckee.errors import Unavailable
from truckee.flow.durable import write_durably

MARK = "directory-id"
_SIZE = 20  # bytes


@define
class DirectoryMissing(Unavailable):
    """
    The directory {name} is not there, or empty, or another one than it was. Mount its disk,
    or remove {copy} from the node directory if it is a new one.
    """

    name: str
    copy: str


@define(eq=False)
class OtherDisk:
    """The directory *path* of the node in *node*."""

    path: Path
    _node: Path
    _random: Callable[[int], bytes] = field(default=os.urandom, repr=False)

    @property
    def _copy(self) -> Path:
        return self._node / f"{self.path.name}-id"

    def check(self) -> None:
        """Blocks for a moment.  :raises DirectoryMissing: while its disk is not mounted."""
        known = _read(self._copy)
        if known and _read(self.path / MARK) != known:
            raise DirectoryMissing(self.path.name, self._copy.name)

    def is_there(self) -> bool:
        """Tell whether its disk is mounted, if it has one; blocks for a moment."""
        try:
            self.check()
        except DirectoryMissing:
            return False
        return True

    def is_apart(self) -> bool:
        """Tell whether it is on another disk than the node directory; blocks."""
        with suppress(OSError):
            if os.stat(self.path).st_dev != os.stat(self._node).st_dev:
                return True
        return bool(_read(self._copy))

    def mark(self) -> None:
        """Mark it, if it is on another disk than the node directory; blocks."""
        # A disk that takes nothing now is marked at another start.
        with suppress(OSError):
            if not (self.is_apart() and self.is_there()):
                return
            mark = _read(self.path / MARK)
            if not mark:
                mark = f"{base32.encode(self._random(_SIZE))}\n".encode("ascii")
                # Before its copy: a copy without it means that the disk is missing.
                write_durably(self.path / MARK, mark)
            if _read(self._copy) != mark:
                write_durably(self._copy, mark)


def _read(path: Path) -> bytes:
    """Return what is in a file; empty when it cannot be read."""
    with suppress(OSError):
        return path.read_bytes()
    return b""
