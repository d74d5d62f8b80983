"""
What this gateway wrote last into mutable files.

Who changes a file again finds out which version is there, as always.  If it is the one
that was written here, neither its content nor its private key has to be read.
"""

from __future__ import annotations

from attrs import field, frozen

from truckee.codec.caps import MutableWriteCap
from truckee.codec.mutable_prefix import Prefix
from truckee.flow.recently_used import RecentlyUsed
from truckee.mutable.versions import Versions

# Bytes of all contents together.
_LIMIT = 16 << 20
# What is kept of a version beside its content: trees, signature, keys.
_AROUND = 32 << 10


@frozen(eq=False)
class Written:
    """One version, and where it is."""

    prefix: Prefix
    content: bytes = field(repr=False)
    versions: Versions = field(repr=False)  # of it alone, with the private key


LastWritten = RecentlyUsed[MutableWriteCap, Written]


def last_written(limit: int = _LIMIT) -> LastWritten:
    """Return a memory of what is written, of *limit* bytes."""
    return RecentlyUsed(limit, lambda written: len(written.content) + _AROUND)
