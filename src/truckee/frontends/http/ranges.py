"""
Byte ranges of RFC 9110, section 14: which bytes a Range header asks for.

Nothing here but ``RangeNotSatisfiable`` is an error: what is malformed, of another unit or
too much is None, and the whole is sent, as the RFC has it.  Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from attrs import define, frozen

from truckee.errors import Misuse

# Every range of an answer costs at least one segment from the grid, however short it is.
# Players and readers of archives and documents ask for a handful.
MAX_RANGES = 32

# What stands between two ranges of a multipart answer is about this long (section
# 15.3.7.2), so that a shorter gap costs less when it is sent.
_NEAR = 80

# No file is longer than 20 digits tell; int() refuses thousands of them.
_MAX_DIGITS = 20
_BEYOND = 10**_MAX_DIGITS

_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
_BLANK = " \t"


@define
class RangeNotSatisfiable(Misuse):
    """The range asked for has none of the {size} bytes."""

    size: int


@frozen
class ByteRange:
    """The bytes from *start* up to, not including, *end* of *size*."""

    start: int
    end: int
    size: int

    def __str__(self) -> str:
        """As in a Content-Range header; an empty range has no such form."""
        return f"bytes {self.start}-{self.end - 1}/{self.size}"

    @property
    def length(self) -> int:
        """How many bytes it has."""
        return self.end - self.start


def parse_ranges(header: str, size: int) -> tuple[ByteRange, ...] | None:
    """
    Return the ranges of *size* bytes that *header* asks for, none of them empty.

    They neither overlap nor touch: those that did are one, which stands where the first of
    them stood; otherwise they keep their order.  When more than ``MAX_RANGES`` are left,
    near ones are joined together with the gap between them.

    None when the header is to be ignored: another unit, nonsense, too many ranges even so,
    or the end of an empty file, which is the whole of it.

    :raises RangeNotSatisfiable: when no byte is in any of the ranges.
    """
    unit, _, range_set = header.strip(_BLANK).partition("=")
    specs = [spec for each in range_set.split(",") if (spec := each.strip(_BLANK))]
    if unit.lower() != "bytes" or not specs:
        return None
    asked = []
    for spec in specs:
        match = _SPEC.fullmatch(spec)
        limits = None if match is None else _limits(match[1], match[2], size)
        if limits is None:
            return None
        asked.append(limits)
    joined = _join(asked, 0)
    if not joined:
        if size == 0 and any(_is_suffix(spec) for spec in specs):
            return None
        raise RangeNotSatisfiable(size)
    if len(joined) > MAX_RANGES:
        joined = _join(joined, _NEAR)
    if len(joined) > MAX_RANGES:
        return None
    return tuple(ByteRange(start, end, size) for start, end in joined)


def _limits(first: str, last: str, size: int) -> tuple[int, int] | None:
    """Return start and end of one range, end <= start if it has no byte; None: nonsense."""
    if not first:
        return (size - min(size, _number(last)), size) if last else None
    if not last:
        return _number(first), size
    if _order(last) < _order(first):
        return None
    return _number(first), min(size, _number(last) + 1)


def _is_suffix(spec: str) -> bool:
    """Return whether *spec* asks for the end of a file: any file has one, if empty."""
    return spec.startswith("-") and spec.strip("-0") != ""


def _order(digits: str) -> tuple[int, str]:
    """Return what compares as the number does, of any count of *digits*."""
    significant = digits.lstrip("0")
    return len(significant), significant


def _number(digits: str) -> int:
    """Return a number that is exact where a file can be that long."""
    length, significant = _order(digits)
    return int(significant or "0") if length <= _MAX_DIGITS else _BEYOND


def _join(ranges: Iterable[tuple[int, int]], gap: int) -> list[tuple[int, int]]:
    """Return *ranges* without the empty ones; those up to *gap* bytes apart are one."""
    joined: list[tuple[int, int, int]] = []  # with the place of the first in each
    placed = ((start, end, place) for place, (start, end) in enumerate(ranges))
    for start, end, place in sorted(each for each in placed if each[0] < each[1]):
        if joined and start <= joined[-1][1] + gap:
            before = joined.pop()
            joined.append((before[0], max(before[1], end), min(before[2], place)))
        else:
            joined.append((start, end, place))
    joined.sort(key=lambda each: each[2])
    return [(start, end) for start, end, _ in joined]
