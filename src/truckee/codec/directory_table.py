"""
The table of a directory: found in, listed and changed without reading all of it again.

Source: ``docs/formats/directories.md``, "Table".  Kept are the packed bytes and where each
entry starts.  A change copies the bytes of all other entries as they are.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from attrs import define, field

from truckee.codec.directory_entry import Entry, check_entry, name_at, read_entry
from truckee.codec.directory_name import normalize_name


@define(eq=False)
class DirectoryTable:
    """A table whose entries are sorted and have distinct names; it does not change."""

    packed: bytes = field(repr=False)  # what is stored
    _starts: array[int] = field(repr=False)  # offset of each entry, ascending

    def __len__(self) -> int:
        return len(self._starts)

    def __contains__(self, name: str) -> bool:
        return self._find(normalize_name(name)) is not None

    def __iter__(self) -> Iterator[Entry]:
        """Give the entries sorted by name.  :raises BadDirectory: never, once parsed."""
        return (read_entry(self.packed, start) for start in self._starts)

    def names(self) -> Iterator[str]:
        """Give the names, NFC, in order of their code points."""
        return (name_at(self.packed, start) for start in self._starts)

    def get(self, name: str) -> Entry | None:
        """Return the entry of *name*, normalised or not; None when there is none."""
        index = self._find(normalize_name(name))
        return None if index is None else read_entry(self.packed, self._starts[index])

    def changed(
        self, put: Iterable[Entry] = (), removed: Iterable[str] = ()
    ) -> DirectoryTable:
        """
        Return the table with entries put in, or replaced, and others removed.

        What is both removed and put is there afterwards; of two with one name the last.
        A removed name that is not there changes nothing.

        :raises UnicodeEncodeError: when a name of *put* has half a surrogate pair.
        """
        changes: dict[str, bytes] = {normalize_name(name): b"" for name in removed}
        changes |= {normalize_name(entry.name): entry.pack() for entry in put}
        splice = _Splice(self.packed, self._starts)
        for name in sorted(changes):
            index = self._place(name)
            there = self._is_at(index, name)
            splice.replace(index, index + there, changes[name])
        return splice.result()

    def _place(self, name: str) -> int:
        """Return the index of *name*, or the one at which it would have to be."""
        return bisect_left(self._starts, name, key=lambda at: name_at(self.packed, at))

    def _is_at(self, index: int, name: str) -> bool:
        starts = self._starts
        return index < len(starts) and name_at(self.packed, starts[index]) == name

    def _find(self, name: str) -> int | None:
        index = self._place(name)
        return index if self._is_at(index, name) else None


@define(eq=False)
class _Splice:
    """New packed bytes, from pieces of the old ones and from new entries."""

    _packed: bytes
    _starts: array[int]  # of the old entries
    _pieces: list[bytes | memoryview] = field(factory=list, init=False)
    _new: array[int] = field(init=False, factory=lambda: array("Q"))  # starts
    _size: int = field(default=0, init=False)  # bytes of the pieces
    _index: int = field(default=0, init=False)  # of the first old entry still to come

    def replace(self, first: int, last: int, entry: bytes) -> None:
        """Put *entry*, or nothing, for old ones from *first* up to *last*; ascending."""
        self._keep(first)
        self._index = last
        if entry:
            self._new.append(self._size)
            self._add(entry)

    def result(self) -> DirectoryTable:
        """Return the new table."""
        self._keep(len(self._starts))
        return DirectoryTable(b"".join(self._pieces), self._new)

    def _keep(self, last: int) -> None:
        """Keep the old entries up to *last* as they are."""
        first = self._offset(self._index)
        shift = self._size - first
        moved = self._starts[self._index : last]
        self._new.extend(array("Q", [at + shift for at in moved]) if shift else moved)
        self._add(memoryview(self._packed)[first : self._offset(last)])

    def _add(self, piece: bytes | memoryview) -> None:
        self._pieces.append(piece)
        self._size += len(piece)

    def _offset(self, index: int) -> int:
        return self._starts[index] if index < len(self._starts) else len(self._packed)


def parse_table(packed: bytes) -> DirectoryTable:
    """
    Return the table of *packed*, whose metadata is not looked at yet.

    One that is not sorted is sorted in memory; of entries with one name the last is kept.

    :raises BadDirectory: when it is damaged.
    """
    starts = array("Q")
    at, previous, in_order = 0, "", True
    while at < len(packed):
        starts.append(at)
        name, at = check_entry(packed, at)
        in_order = in_order and (previous < name or len(starts) == 1)
        previous = name
    table = DirectoryTable(packed, starts)
    return table if in_order else _sorted(table, starts)


def _sorted(table: DirectoryTable, starts: array[int]) -> DirectoryTable:
    """Return *table* in order, with the last entry of each name."""
    last = dict(zip(table.names(), range(len(table)), strict=True))
    ends = [*starts[1:], len(table.packed)]
    view = memoryview(table.packed)
    pieces, new, size = [], array("Q"), 0
    for name in sorted(last):
        piece = view[starts[last[name]] : ends[last[name]]]
        pieces.append(piece)
        new.append(size)
        size += len(piece)
    return DirectoryTable(b"".join(pieces), new)
