"""What a gateway tells of files and directories, as ``t=json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from truckee.cli.problems import Problem

# Two times of a file that differ less than this are the same: JSON has them as floats.
SAME_TIME = 2e-6  # seconds


@frozen
class GridNode:
    """A file, a directory, or something of a kind that is not known."""

    kind: str  # filenode, dirnode, unknown
    fields: Mapping[str, Any] = field(repr=False)

    @property
    def is_directory(self) -> bool:
        """Whether it has children."""
        return self.kind == "dirnode"

    @property
    def is_file(self) -> bool:
        """Whether it has bytes."""
        return self.kind == "filenode"

    @property
    def cap(self) -> str:
        """The strongest cap that is known; empty: none."""
        return self.write_cap or self.read_cap

    @property
    def write_cap(self) -> str:
        """The cap that permits changes; empty: there is none."""
        return str(self.fields.get("rw_uri") or "")

    @property
    def read_cap(self) -> str:
        """The cap that permits reading; empty: it is not known."""
        return str(self.fields.get("ro_uri") or "")

    @property
    def is_mutable(self) -> bool:
        """Whether it may change."""
        return bool(self.fields.get("mutable"))

    @property
    def size(self) -> int | None:
        """How many bytes it has, where that is known."""
        size = self.fields.get("size")
        return size if isinstance(size, int) else None

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the link to it says."""
        found = self.fields.get("metadata")
        return found if isinstance(found, dict) else {}

    @property
    def modified(self) -> float | None:
        """When the file was changed that it was copied from, in seconds since 1970."""
        return _time(self.metadata.get("mtime"))

    @property
    def linked(self) -> float | None:
        """When the link was set last, in seconds since 1970."""
        times = self.metadata.get("tahoe")
        return _time(times.get("linkmotime")) if isinstance(times, dict) else None

    @property
    def children(self) -> dict[str, GridNode]:
        """What is in it, by name."""
        found: dict[str, GridNode] = self.fields.get("children") or {}
        return found

    def is_copy_of(self, size: int, modified: float) -> bool:
        """Tell whether it is of a file of that size and time."""
        return (
            self.is_file
            and not self.is_mutable
            and self.size == size
            and self.modified is not None
            and abs(self.modified - modified) < SAME_TIME
        )


def _time(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def node_of(text: str) -> GridNode:
    """Return what a gateway told.  :raises Problem: when it told something else."""
    try:
        kind, fields = json.loads(text)
        children = fields.get("children") or {}
        return _node(
            kind, {**fields, "children": {n: _node(*c) for n, c in children.items()}}
        )
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise Problem(
            "what answers is no gateway of Tahoe-LAFS: name one with -u URL or -d NODEDIR"
        ) from None


def _node(kind: Any, fields: Any) -> GridNode:
    if not isinstance(kind, str) or not isinstance(fields, dict):
        raise ValueError
    return GridNode(kind, fields)
