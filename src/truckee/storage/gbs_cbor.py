"""
CBOR as the storage protocol has it over HTTPS: plain items of few kinds.  Pure.

What a peer sent is decoded here; whatever has another form is a ``ValueError``.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import cbor2

from truckee.codec.hashes import Buffer

MAX_SHARES = 256
MAX_NUMBER = (1 << 64) - 1
_MAX_DEPTH = 8  # of CBOR items in each other; four are needed


def fields(value: Any, *names: str) -> list[Any]:
    """Return the fields of a map that has these and no others."""
    if not isinstance(value, dict) or set(value) != set(names):
        raise ValueError("it is no map of " + ", ".join(names))
    return [value[name] for name in names]


def numbers(value: Any) -> Set[int]:
    """Return the numbers in a set of at most 256."""
    if not isinstance(value, (set, frozenset)) or len(value) > MAX_SHARES:
        raise ValueError("it is no set of at most 256 share numbers")
    return frozenset(unsigned(number) for number in value)


def unsigned(value: Any) -> int:
    """Return a number of at most 64 bits."""
    if type(value) is not int or not 0 <= value <= MAX_NUMBER:  # a bool is an int too
        raise ValueError("it is no number of 0 or more in 64 bits")
    return value


def wanted_shares(value: Any) -> Set[int]:
    """Return the shares in a set of them."""
    wanted = numbers(value)
    if any(number >= MAX_SHARES for number in wanted):
        raise ValueError("share numbers are 0 to 255")
    return wanted


def decode(data: bytes) -> Any:
    """Return the one CBOR item that *data* is."""
    _check_plain(data)
    try:
        return cbor2.loads(data)
    except (cbor2.CBORError, TypeError) as error:
        raise ValueError("it is not CBOR") from error


def _check_plain(data: bytes) -> None:
    """
    Let only plain items through: what decoders make of others is code we do not need.

    Plain are numbers, strings, arrays, maps and sets of known length, booleans and null,
    with nothing behind them.
    """
    position = 0
    due = [1]  # items that are still to come, at each depth
    while due:
        if not due[-1]:
            due.pop()
            continue
        due[-1] -= 1
        kind, number, position = item_head(data, position)
        if kind in _STRINGS:
            position += number
        elif kind in _INSIDE:
            due.append(_INSIDE[kind] * number)
        elif number not in _KNOWN.get(kind, (number,)):
            raise ValueError("it has a tag or a value that we do not know")
        elif kind == _TAG:
            due.append(1)
        if position > len(data) or len(due) > _MAX_DEPTH:
            raise ValueError("it is cut off, or nested too deeply")
    if position != len(data):
        raise ValueError("something stands behind it")


# Kinds of CBOR items, the first three bits of each.
_STRINGS = (2, 3)
_INSIDE = {4: 1, 5: 2}  # items for each one counted in an array, and in a map
_TAG, _SIMPLE = 6, 7
_KNOWN = {_TAG: (258,), _SIMPLE: (20, 21, 22)}  # a set; false, true, null


def item_head(data: Buffer, position: int) -> tuple[int, int, int]:
    """Return the kind and the number of the item at *position*, and where they end."""
    if position >= len(data):
        raise ValueError("it is cut off")
    kind, number = divmod(data[position], 32)
    position += 1
    if number > 23:
        width = 1 << (number - 24)
        if width > 8 or kind == _SIMPLE:
            raise ValueError("it has floats, or no known length")
        if position + width > len(data):
            raise ValueError("it is cut off")
        number = int.from_bytes(data[position : position + width], "big")
        position += width
    return kind, number, position
