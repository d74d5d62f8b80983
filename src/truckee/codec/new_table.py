"""
The table of a new directory, out of entries in any order.

Source: ``docs/formats/directories.md``, "Table".  The entries are packed as they come, and
given in order without a copy of all of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

from attrs import define, field

from truckee.codec.directory_entry import Entry, name_at

_PIECE = 256 << 10  # bytes that are given at once, or one entry more


@define(eq=False)
class NewTable:
    """Add entries, sort them, then take the table."""

    size: int = field(default=0, init=False)  # bytes
    _packed: bytearray = field(factory=bytearray, init=False, repr=False)
    # Where each entry starts and ends.
    _starts: array[int] = field(init=False, factory=lambda: array("Q"), repr=False)
    _ends: array[int] = field(init=False, factory=lambda: array("Q"), repr=False)
    _last: str = field(default="", init=False, repr=False)  # name that was added
    _in_order: bool = field(default=True, init=False)

    def add(self, entry: Entry) -> None:
        """:raises UnicodeEncodeError: when its name has half a surrogate pair"""
        self._in_order = self._in_order and (not self._starts or self._last < entry.name)
        self._last = entry.name
        self._starts.append(len(self._packed))
        self._packed += entry.pack()
        self._ends.append(len(self._packed))
        self.size = len(self._packed)

    def sort(self) -> None:
        """Bring the entries in order; of those with one name the last one stays."""
        if self._in_order:
            return
        names = [name_at(self._packed, start) for start in self._starts]
        order = sorted(range(len(names)), key=names.__getitem__)
        last_of_each = zip(order, [*order[1:], None], strict=True)
        kept = [
            index
            for index, after in last_of_each
            if after is None or names[index] != names[after]
        ]
        self._starts = array("Q", [self._starts[index] for index in kept])
        self._ends = array("Q", [self._ends[index] for index in kept])
        self.size = sum(self._ends) - sum(self._starts)
        self._in_order = True

    def pieces(self) -> Iterator[bytes]:
        """Give the table in pieces, once it is sorted; nothing is added any more."""
        view, group, size = memoryview(self._packed), [], 0
        for start, end in zip(self._starts, self._ends, strict=True):
            group.append(view[start:end])
            size += end - start
            if size >= _PIECE:
                yield b"".join(group)
                group, size = [], 0
        if group:
            yield b"".join(group)


def pack_table(entries: Iterable[Entry]) -> bytes:
    """
    Return *entries* as the table of a new directory, whatever their order.

    Of entries with one name the last is kept.

    :raises UnicodeEncodeError: when a name has half a surrogate pair.
    """
    table = NewTable()
    for entry in entries:
        table.add(entry)
    table.sort()
    return b"".join(table.pieces())
