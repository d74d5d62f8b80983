"""Byte ranges of RFC 9110, section 14."""

from __future__ import annotations

import re

from attrs import define, frozen

from truckee.errors import Misuse


@define
class RangeNotSatisfiable(Misuse):
    """The range asked for starts at or after the end of the {size} bytes."""

    size: int


@frozen
class ByteRange:
    """The bytes from *start* up to, not including, *end* of *size*."""

    start: int
    end: int
    size: int

    def __str__(self) -> str:
        return f"bytes {self.start}-{self.end - 1}/{self.size}"


def parse_range(header: str, size: int) -> ByteRange | None:
    """
    Return the one range that *header* asks for of *size* bytes.

    None when there is none to honour: another unit, several ranges, or nonsense; then
    the whole is sent.  :raises RangeNotSatisfiable: when no byte is in the range.
    """
    match = re.fullmatch(r"bytes\s*=\s*([0-9]{0,20})-([0-9]{0,20})", header.strip(), re.I)
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start = int(first)
        if last and int(last) < start:
            return None
        end = min(size, int(last) + 1) if last else size
    if start >= end:
        raise RangeNotSatisfiable(size)
    return ByteRange(start, end, size)
