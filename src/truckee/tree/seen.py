"""
What a walk has seen, exactly, in bounded memory.

A directory can be in itself and a file be linked ten thousand times, so a walk must know
each object that it met.  The first of them are in memory; when they are many they go to a
table on disk, of which some megabytes are in memory.  An object is there as a hash under a
key that is in memory alone: the table, which has no name either, tells nobody anything.

A Bloom filter would be smaller, but what it claims to know must be looked up all the same,
in a table that has everything.  Measured: 28 bytes of disk for each object, 5 µs.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b

from attrs import define, field

from truckee.errors import Unavailable
from truckee.flow.cpu import Workers
from truckee.flow.durable import DiskFault, disk_faults

# Objects that need no table: some megabytes of memory.
IN_MEMORY = 16384
# 160 bits: of 10^12 objects two have one hash with a chance of 10^-24.
_HASH = 20  # bytes
_KIB_IN_MEMORY = 4096  # of the table
_PAGE = 4096  # bytes
_MOST_PAGES = 1 << 21  # 8 GiB, some 250 million objects

_SETTINGS = (
    f"PRAGMA page_size={_PAGE}",
    "PRAGMA locking_mode=EXCLUSIVE",
    "PRAGMA journal_mode=OFF",
    "PRAGMA synchronous=OFF",
    "PRAGMA temp_store=MEMORY",
    f"PRAGMA cache_size=-{_KIB_IN_MEMORY}",
    "CREATE TABLE seen (hash BLOB PRIMARY KEY) WITHOUT ROWID",
    "BEGIN",
)


@define
class WalkDiskFull(Unavailable):
    """
    The gateway cannot write down what it has seen of this tree: {reason}. Free some space
    in its node directory, then continue with the cursor of the last line.
    """

    reason: str


@define(eq=False)
class Seen:
    """Objects by their verify caps.  Whoever makes one closes it."""

    _disk: Workers
    _directory: str  # where the table is
    _key: bytes = field(repr=False)  # 32 random bytes
    _most: int = IN_MEMORY
    _pages: int = _MOST_PAGES
    _hashes: set[bytes] = field(factory=set, init=False, repr=False)
    _table: sqlite3.Connection | None = field(default=None, init=False)
    _count: int = field(default=0, init=False)

    def __len__(self) -> int:
        return self._count

    async def add(self, names: Sequence[str]) -> list[bool]:
        """Return which of *names* are new, and know them.  :raises WalkDiskFull:"""
        hashes = [self._hash(name) for name in names]
        if self._table is None and len(self._hashes) + len(hashes) <= self._most:
            new = [self._is_new(each) for each in hashes]
        else:
            new = await self._disk.run(self._insert, hashes)
        self._count += sum(new)
        return new

    def _hash(self, name: str) -> bytes:
        return blake2b(name.encode("utf-8"), digest_size=_HASH, key=self._key).digest()

    def _is_new(self, each: bytes) -> bool:
        new = each not in self._hashes
        self._hashes.add(each)
        return new

    async def close(self) -> None:
        """Give memory and disk back; may be called twice."""
        self._hashes.clear()
        table, self._table = self._table, None
        if table is not None:
            await self._disk.run(table.close)

    # In the disk workers:

    def _insert(self, hashes: list[bytes]) -> list[bool]:
        with _full():
            if self._table is None:
                self._table = _open(self._directory, self._pages)
                self._put(self._table, self._hashes)
                self._hashes.clear()
            return list(self._put(self._table, hashes))

    @staticmethod
    def _put(table: sqlite3.Connection, hashes: Sequence[bytes] | set[bytes]) -> list[bool]:
        insert = table.execute
        text = "INSERT OR IGNORE INTO seen VALUES (?)"
        return [insert(text, (each,)).rowcount == 1 for each in hashes]


def _open(directory: str, pages: int) -> sqlite3.Connection:
    """Return an empty table in a file that has no name any more."""
    descriptor, path = tempfile.mkstemp(dir=directory, prefix="walk-")
    os.close(descriptor)
    try:
        # Its workers use it one at a time.
        table = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for each in _SETTINGS:
            table.execute(each)
        table.execute(f"PRAGMA max_page_count={pages}")
    finally:
        os.unlink(path)
    return table


@contextmanager
def _full() -> Iterator[None]:
    """:raises WalkDiskFull: when the disk takes nothing more."""
    with disk_faults(_refusal):
        try:
            yield
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            reason = _REASONS.get(code)
            if reason is None:
                raise
            raise WalkDiskFull(reason) from error


def _refusal(fault: DiskFault) -> WalkDiskFull:
    return WalkDiskFull(fault.value)


_REASONS = {
    sqlite3.SQLITE_FULL: DiskFault.FULL.value,
    sqlite3.SQLITE_IOERR: DiskFault.FAILING.value,
    sqlite3.SQLITE_CANTOPEN: DiskFault.MISSING.value,
    sqlite3.SQLITE_READONLY: DiskFault.READ_ONLY.value,
}

NewSeen = Callable[[], Seen]
