"""Which bytes of something are there already.  Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from attrs import define, field


@define(eq=False)
class RangeSet:
    """Byte numbers, as ranges that neither touch nor overlap."""

    _begins: list[int] = field(factory=list, init=False)
    _ends: list[int] = field(factory=list, init=False)  # exclusive, one for each begin

    def add(self, begin: int, end: int) -> None:
        """Add the bytes from *begin* up to, not including, *end*."""
        if begin >= end:
            return
        # Those that touch the new one become part of it.
        first = bisect_left(self._ends, begin)
        last = bisect_right(self._begins, end)
        if first < last:
            begin = min(begin, self._begins[first])
            end = max(end, self._ends[last - 1])
        self._begins[first:last] = [begin]
        self._ends[first:last] = [end]

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return sum(self._ends) - sum(self._begins)

    @property
    def count(self) -> int:
        """How many ranges it takes to name them."""
        return len(self._begins)

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The ranges, as (begin, end)."""
        return list(zip(self._begins, self._ends, strict=True))

    def missing(self, size: int) -> list[tuple[int, int]]:
        """Return the ranges below *size* that it lacks, as (begin, end)."""
        gaps = zip([0, *self._ends], [*self._begins, size], strict=True)
        return [(begin, min(end, size)) for begin, end in gaps if begin < min(end, size)]
