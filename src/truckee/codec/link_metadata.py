"""
Metadata of links: read, brought up to date, written as stock writes it.

Source: ``docs/formats/directories.md``, "Metadata of links".
"""

from __future__ import annotations

import json
from typing import Any

from attrs import define

from truckee.codec.directory_entry import BadDirectory
from truckee.errors import Misuse

Metadata = dict[str, Any]  # a JSON object


@define
class BadMetadata(Misuse):
    """The metadata of a link is unusable: {reason}. Give a JSON object."""

    reason: str


def load_metadata(stored: bytes) -> Metadata:
    """
    Return the metadata that an entry holds.

    :raises BadDirectory: when it is no JSON object, or nested very deeply.
    """
    try:
        found = json.loads(stored)
    except (ValueError, RecursionError):
        raise BadDirectory("metadata of an entry is not JSON") from None
    if not isinstance(found, dict):
        raise BadDirectory("metadata of an entry is no JSON object")
    return found


def dump_metadata(metadata: Metadata) -> bytes:
    """
    Return *metadata* as an entry holds it: ASCII, keys in their order.

    :raises BadMetadata: when it is nested very deeply, or has what JSON has not.
    """
    try:
        return json.dumps(metadata).encode("ascii")
    except RecursionError:
        raise BadMetadata("it is nested too deeply") from None
    except (TypeError, ValueError):
        raise BadMetadata("it has values that JSON has not") from None


def updated(old: Metadata | None, new: Metadata | None, now: float) -> Metadata:
    """
    Return the metadata of a link that is set at *now*, in seconds since 1970.

    *old* is that of the link it replaces, *new* what was given; neither is changed.
    The first children of a new directory keep what was given, without this.
    """
    before = old or {}
    tahoe = before.get("tahoe")
    times = dict(tahoe) if isinstance(tahoe, dict) else {}
    if "linkcrtime" not in times:
        # Before 2009 the time of the first link was called ctime.
        ctime = before.get("ctime")
        times["linkcrtime"] = now if ctime is None else ctime
    times["linkmotime"] = now
    if new is None:
        return {**before, "tahoe": times}
    return {**{key: new[key] for key in new if key != "tahoe"}, "tahoe": times}


def is_read_only(metadata: Metadata) -> bool:
    """Tell whether the child of a link that is set is stored without its write cap."""
    return bool(metadata.get("no-write", False))
