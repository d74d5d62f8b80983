"""The children of one directory as a walk meets them, some at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from itertools import compress, islice

from attrs import define, field, frozen

from truckee.codec.caps import DirectoryCap
from truckee.codec.children import Child
from truckee.codec.directory_entry import Entry
from truckee.codec.walk_cursor import Rank
from truckee.flow.cpu import Workers
from truckee.tree.directories import Directory

# Children that are made of a table at once: some milliseconds of a worker.
BATCH = 128
# Entries of a table that is decoded once, and is in memory decoded: some megabytes.
SMALL = 2048
_UNLISTED = 255  # for an entry that breaks a rule


@frozen
class Found:
    """A child and its name."""

    name: str
    child: Child
    verify: str  # its verify cap; empty: it has none

    @property
    def rank(self) -> Rank:
        """What it is to a walk."""
        return rank_of(self.child)


def rank_of(child: Child) -> Rank:
    """Return what *child* is to a walk."""
    if child.cap is None:
        return Rank.UNKNOWN
    return Rank.DIRECTORY if isinstance(child.cap, DirectoryCap) else Rank.FILE


@define(eq=False)
class Listing:
    """
    What is in a directory, by kinds.

    A small one is decoded once.  Of a large one the packed table is kept, with one byte for
    each entry, and what is of a kind is decoded again when that kind is asked for.
    """

    _directory: Directory
    _cpu: Workers
    children: int = field(default=0, init=False)  # complete once unknown ones were given
    _ranks: bytearray = field(factory=bytearray, init=False, repr=False)
    _small: list[Found] | None = field(default=None, init=False, repr=False)

    @property
    def size(self) -> int:
        """Bytes of the table."""
        return len(self._directory.table.packed)

    async def of(self, rank: Rank) -> AsyncGenerator[list[Found], None]:
        """Give the children of one kind by name, some at a time; ask for unknown first."""
        if self._small is not None:
            found = [each for each in self._small if each.rank is rank]
            for start in range(0, len(found), BATCH):
                yield found[start : start + BATCH]
            return
        if rank is not Rank.UNKNOWN and rank not in self._ranks:
            return
        batches = self._first() if rank is Rank.UNKNOWN else self._again(rank)
        while (batch := await self._cpu.run(next, batches, None)) is not None:
            if batch:
                yield batch

    # In the workers:

    def _first(self) -> Iterator[list[Found]]:
        """Look at all entries; give what is unknown."""
        entries, small = iter(self._directory.table), list[Found]()
        is_small = len(self._directory.table) <= SMALL
        while batch := list(islice(entries, BATCH)):
            found = [self._read(entry) for entry in batch]
            listed = [each for each in found if each is not None]
            self.children += len(listed)
            if is_small:
                small += listed
            else:
                ranks = (_UNLISTED if each is None else each.rank for each in found)
                self._ranks += bytes(ranks)
            yield [each for each in listed if each.rank is Rank.UNKNOWN]
        self._small = small if is_small else None

    def _again(self, rank: Rank) -> Iterator[list[Found]]:
        wanted = (each == rank for each in self._ranks)
        entries = compress(self._directory.table, wanted)
        while batch := list(islice(entries, BATCH)):
            found = (self._read(entry) for entry in batch)
            yield [each for each in found if each is not None]

    def _read(self, entry: Entry) -> Found | None:
        child = self._directory.child_of(entry)
        return None if child is None else found(entry.name, child)


def found(name: str, child: Child) -> Found:
    """Return *child* with what it is known by."""
    verify = child.verify_cap()
    return Found(name, child, "" if verify is None else str(verify))
