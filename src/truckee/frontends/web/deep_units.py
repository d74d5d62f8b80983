"""
Objects of a tree as lines of JSON, with the keys of stock gateways and a cursor.

Source: ``docs/reference/web-api.md``, "Whole trees".
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from attrs import frozen

from truckee.codec.caps import (
    ChkReadCap,
    DirectoryCap,
    FileCap,
    MutableWriteCap,
)
from truckee.codec.children import Child
from truckee.codec.walk_cursor import END, Cursor, CursorKey, Rank
from truckee.errors import TruckeeError
from truckee.mutable.errors import NotEnoughMutableShares
from truckee.tree.tree_statistics import TreeStatistics
from truckee.tree.walk import Walked

_TYPES = {
    Rank.UNKNOWN: "unknown",
    Rank.FILE: "file",
    Rank.DIRECTORY: "directory",
}


@frozen(eq=False)
class Units:
    """Describes what a walk of one tree meets."""

    _key: CursorKey
    _stops: bool  # an error has a line of its own

    def lines(self, batch: Sequence[Walked]) -> bytes:
        """Return the lines of a manifest."""
        return b"".join(self.line(each) for each in batch)

    def line(self, walked: Walked, more: dict[str, object] | None = None) -> bytes:
        """Return the line of one object, with what is known *more* of it."""
        told = describe(walked) | (more or {})
        if walked.error is not None and not self._stops:
            told["error"] = str(walked.error)
        told["cursor"] = self._key.seal(walked.cursor)
        return json.dumps(told).encode("ascii") + b"\n"

    def end(self, statistics: TreeStatistics) -> bytes:
        """Return the last line."""
        cursor = self._key.seal(Cursor(END))
        told = {"type": "stats", "stats": statistics.document(), "cursor": cursor}
        return json.dumps(told).encode("ascii") + b"\n"


def describe(walked: Walked) -> dict[str, object]:
    """Return what everybody is told of an object that a walk met."""
    child = walked.child
    return {
        "path": walked.path,
        "cap": child.rw or child.ro,
        "type": _TYPES[walked.rank],
        "verifycap": walked.verify,
        "repaircap": _repair_cap(child, walked.verify),
        "storage-index": index_in(walked.verify),
    }


def index_in(verify: str) -> str:
    """Return the storage index in a verify cap, in base32; empty: there is none."""
    return verify.split(":", 3)[2] if verify else ""


def _repair_cap(child: Child, verify: str) -> str:
    """Return the cap that is needed for a repair, as stock gateways name it."""
    if isinstance(_inner(child), MutableWriteCap):
        return child.rw or ""
    return verify if isinstance(child.cap, ChkReadCap) else ""


def _inner(child: Child) -> FileCap | None:
    """Return the cap of the file, of a directory too; None: of no known kind."""
    cap = child.cap
    return cap.inner if isinstance(cap, DirectoryCap) else cap


def error_line(error: TruckeeError) -> bytes:
    """Return what programs for stock gateways take for the end by an error."""
    text = str(error).replace("\n", " ")
    line = f"{type(error).__name__}({text})"
    if isinstance(error, NotEnoughMutableShares):
        line = "UnrecoverableFileError(no recoverable versions)"
    return f"ERROR: {line}\n".encode()
