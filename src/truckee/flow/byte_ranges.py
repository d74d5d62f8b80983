"""Which bytes of a file are there, as disjoint ranges.  Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from attrs import define, field


@define(eq=False)
class ByteRanges:
    """Half-open ranges; those that touch are one."""

    _starts: list[int] = field(factory=list, init=False)
    _ends: list[int] = field(factory=list, init=False)

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._ends, strict=True))

    @property
    def lowest(self) -> int | None:
        """The first byte that is there; None: there is none."""
        return self._starts[0] if self._starts else None

    def add(self, start: int, end: int) -> None:
        """From *start* up to, not including, *end* is there now."""
        if start >= end:
            return
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def cut(self, size: int) -> None:
        """Nothing from byte *size* on is there any more."""
        keep = bisect_left(self._starts, size)
        del self._starts[keep:], self._ends[keep:]
        if self._ends and self._ends[-1] > size:
            self._ends[-1] = size

    def end_from(self, offset: int) -> int:
        """Return where the bytes end that are there from *offset* on without a gap."""
        number = bisect_right(self._starts, offset) - 1
        return max(offset, self._ends[number]) if number >= 0 else offset

    def runs(self, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """Give what is there and what is not from *start* to *end*, in order."""
        number = max(0, bisect_right(self._starts, start) - 1)
        while start < end:
            while number < len(self._ends) and self._ends[number] <= start:
                number += 1
            if number == len(self._starts):
                yield start, end, False
                return
            there = self._starts[number]
            if there > start:
                yield start, min(there, end), False
                start = min(there, end)
            else:
                stop = min(self._ends[number], end)
                yield start, stop, True
                start = stop
