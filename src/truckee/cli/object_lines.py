"""
Lines that name objects of the grid: those of manifest, check and deep-check, and caps.

Pure.  Source: ``docs/reference/commands.md``, "Lines that name objects".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import define, frozen

from truckee.codec.caps import (
    ChkReadCap,
    ChkVerifyCap,
    DirectoryCap,
    FileCap,
    LiteralCap,
    MalformedCap,
    MutableWriteCap,
    UnknownCap,
    parse_cap,
)

Unit = dict[str, Any]

RESULTS = ("check-and-repair-results", "check-results")


@define
class BadLine(Exception):
    """A line that names no object, and why."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@frozen(eq=False)
class Item:
    """The object of a line, and what an earlier check found of it."""

    unit: Unit  # with the keys of a manifest
    asked: FileCap | None  # what is checked; None: it has no shares, or is of no known kind
    found: Mapping[str, Any] | None  # the results of a check; None: there was none
    is_checked: bool  # and it went well

    @property
    def path(self) -> str:
        """Where it is; empty: that is not known, or it is the root."""
        return "/".join(self.unit["path"])

    @property
    def is_healthy(self) -> bool:
        """Whether the earlier check says so; what was not checked is not."""
        if not self.is_checked or self.found is None:
            return False
        results = self.found.get("results")
        # What a deep check with repair says of what is in its cap.
        return results is None or results.get("healthy") is True


def parse_line(line: bytes) -> Item | None:
    """
    Return the object in a line; None: it is empty, or has the statistics of a tree.

    :raises BadLine: when it is damaged, or no such line.
    """
    if not line.strip():
        return None
    if line.startswith(b"{"):
        return _parse_unit(line)
    cap, _, path = line.decode("utf-8", "surrogateescape").partition(" ")
    if not cap.startswith(("URI:", "ro.", "imm.")) or ":" not in cap:
        raise BadLine("it is no line of manifest, check or deep-check, and no cap")
    return _item(cap, path.split("/") if path else [], None, False, False)


def _parse_unit(line: bytes) -> Item | None:
    try:
        told = json.loads(line)
        if told.get("type") == "stats":
            return None
        cap = next(told[key] for key in ("cap", "repaircap", "verifycap") if told.get(key))
        path = told.get("path") or []
        found = next((told[key] for key in RESULTS if key in told), None)
        if isinstance(found, dict):
            found = found.get("post-repair-results", found)
        well_formed = (
            isinstance(cap, str)
            and isinstance(path, list)
            and all(isinstance(name, str) for name in path)
            and (found is None or isinstance(found.get("results", {}), dict))
        )
    except StopIteration:
        raise BadLine("no cap is in it") from None
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise BadLine("it is damaged: its JSON cannot be read") from None
    if not well_formed:
        raise BadLine("it is damaged: its JSON is not that of manifest or of a check")
    return _item(cap, path, found, not told.get("error"), told.get("type") == "unknown")


def _item(
    text: str,
    path: list[str],
    found: Mapping[str, Any] | None,
    is_checked: bool,
    may_be_unknown: bool,
) -> Item:
    try:
        cap = parse_cap(text)
    except MalformedCap:
        raise BadLine("its cap is damaged") from None
    unit: Unit = {"path": path, "cap": text}
    if isinstance(cap, UnknownCap):
        if not may_be_unknown:
            raise BadLine("its cap is of a kind that is not known here")
        more = {"type": "unknown", "verifycap": "", "repaircap": "", "storage-index": ""}
        return Item(unit | more, None, found, is_checked)
    inner = cap.inner if isinstance(cap, DirectoryCap) else cap
    verify = str(cap.verify_cap() or "")
    unit["type"] = "directory" if isinstance(cap, DirectoryCap) else "file"
    unit["verifycap"] = verify
    unit["repaircap"] = ""
    if isinstance(inner, MutableWriteCap):
        unit["repaircap"] = text
    elif isinstance(inner, ChkReadCap | ChkVerifyCap):
        unit["repaircap"] = verify
    unit["storage-index"] = verify.split(":", 3)[2] if verify else ""
    asked = None if isinstance(inner, LiteralCap) else inner
    return Item(unit, asked, found, is_checked)
