"""Bytes in several buffers, one behind the other: cut, and not copied.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

from truckee.codec.hashes import Buffer


def take(parts: list[memoryview], size: int) -> list[memoryview]:
    """Take the first *size* bytes out of *parts*; all when there are fewer."""
    taken: list[memoryview] = []
    for part in parts:
        if not size:
            break
        taken.append(part[:size])
        size -= len(taken[-1])
    whole = len(taken)
    if taken and len(taken[-1]) < len(parts[whole - 1]):
        whole -= 1
        parts[whole] = parts[whole][len(taken[-1]) :]
    del parts[:whole]
    return taken


def in_groups(parts: Sequence[Buffer], size: int) -> list[list[memoryview]]:
    """Return *parts* in groups of *size* bytes, > 0; the last has what is left."""
    rest = [memoryview(part) for part in parts if part]
    groups: list[list[memoryview]] = []
    while rest:
        groups.append(take(rest, size))
    return groups
