"""
One entry of a directory's table, as bytes.

Source: ``docs/formats/directories.md``, "Table".  What the caps and the metadata in it mean
is said by ``truckee.codec.directory_children`` and ``truckee.codec.link_metadata``.
"""

from __future__ import annotations

import re

from attrs import define, field, frozen

from truckee.codec.directory_name import normalize_name
from truckee.codec.netstring import netstring
from truckee.errors import Corrupt

_LENGTH = re.compile(rb"(0|[1-9][0-9]{0,15}):")
_HEAD = re.compile(_LENGTH.pattern * 2)  # of an entry and of its name
_NEXT = re.compile(b"," + _LENGTH.pattern)  # of a field behind another one


@define
class BadDirectory(Corrupt):
    """
    The directory is damaged: {reason}. It was stored so: link what you still find in it
    from a new directory.
    """

    reason: str


@frozen
class Entry:
    """What a table has of one link; a new one is made by ``directory_children``."""

    name: str  # NFC
    ro: bytes = field(repr=False)  # the read cap as it is stored, or nothing
    rwdata: bytes = field(repr=False)  # the encrypted write cap; nothing if immutable
    metadata: bytes = field(repr=False)  # a JSON object

    def pack(self) -> bytes:
        """
        Return the entry as it stands in a table.

        :raises UnicodeEncodeError: when the name has half a surrogate pair.
        """
        fields = (self.name.encode("utf-8"), self.ro, self.rwdata, self.metadata)
        return netstring(b"".join(netstring(each) for each in fields))


def check_entry(packed: bytes, start: int) -> tuple[str, int]:
    """
    Return the name of the entry at *start*, and where the next one starts.

    :raises BadDirectory: when it has no four fields, or its name is not UTF-8.
    """
    places, end = _places(packed, start)
    return _name(packed, *places[0]), end


def read_entry(packed: bytes, start: int) -> Entry:
    """Return the entry at *start*.  :raises BadDirectory: as ``check_entry``."""
    (name, *others), _end = _places(packed, start)
    ro, rwdata, metadata = (packed[first:last] for first, last in others)
    return Entry(_name(packed, *name), ro, rwdata, metadata)


def name_at(packed: bytes | bytearray, start: int) -> str:
    """Return the name of the entry at *start*, which was checked."""
    head = _HEAD.match(packed, start)
    assert head is not None
    return _name(packed, head.end(), head.end() + int(head[2]))


def _places(packed: bytes, start: int) -> tuple[list[tuple[int, int]], int]:
    """
    Return where the four fields of the entry at *start* begin and end, and its own end.

    Bytes behind the fourth field belong to nobody.  :raises BadDirectory:
    """
    # Large tables are checked with this: five lengths by four matches, no calls.
    match = _HEAD.match(packed, start)
    if match is None:
        raise BadDirectory(f"the entry at byte {start} does not begin with its lengths")
    end = match.end(1) + 1 + int(match[1])
    places = []
    while True:
        first = match.end()
        last = first + int(match[match.lastindex or 1])
        places.append((first, last))
        if len(places) == 4:
            break
        match = _NEXT.match(packed, last)
        if match is None:
            raise BadDirectory(f"the entry at byte {start} has no four fields")
    # Each field begins behind the one before: if the last one fits all do.
    if last >= end or packed[last : last + 1] != b",":
        raise BadDirectory(f"a field is longer than its entry, at byte {start}")
    if packed[end : end + 1] != b",":
        raise BadDirectory(f"the entry at byte {start} does not end with a comma")
    return places, end + 1


def _name(packed: bytes | bytearray, first: int, last: int) -> str:
    try:
        name = packed[first:last].decode("utf-8")
    except UnicodeDecodeError:
        raise BadDirectory(f"the name at byte {first} is not UTF-8") from None
    return name if name.isascii() else normalize_name(name)
