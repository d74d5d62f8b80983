"""
Shares that outlive their writers, as HTTPS carries what is asked of them.  Pure.

Source: ``docs/formats/kept-shares.md``, "Over HTTPS".  What a peer sent is read here; what
has another form is a ``ValueError``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Any

import cbor2
from attrs import frozen

from truckee.codec import base32
from truckee.storage.gbs_cbor import (
    MAX_SHARES,
    decode,
    fields,
    numbers,
    unsigned,
    wanted_shares,
)
from truckee.storage.interfaces import MAX_KEPT_SIZE

# The header that distinguishes a writer from the one that had a share before.
WRITER = "X-Truckee-Writer"
WRITER_SIZE = 16  # bytes, whose base32 is its value
_WRITER = re.compile(rb"[a-z2-7]{26}")
_HASH = 32  # bytes


@frozen
class Opening:
    """What is asked when shares are begun, or continued."""

    shares: Set[int]
    size: int  # bytes, of each; at most that if it is open-ended
    open_ended: bool
    brief: bool = False


def home(storage_index: bytes) -> str:
    """Return the path of the kept shares of a file."""
    return f"/truckee/kept/{base32.encode(storage_index)}"


def writer_header(writer: bytes) -> bytes:
    """Return the value of the header that says who writes."""
    return base32.encode(writer).encode("ascii")


def parse_writer(value: bytes) -> bytes:
    """Return what tells a writer from others."""
    if not _WRITER.fullmatch(value):
        raise ValueError(f"{WRITER} has 26 characters of base32")
    return value


def encode_unfinished(lengths: Mapping[int, int]) -> bytes:
    """Answer which shares are kept, and how long they are."""
    return cbor2.dumps(dict(lengths))


def parse_unfinished(body: bytes) -> Mapping[int, int]:
    """Return the lengths of the shares that are kept."""
    return _lengths(decode(body), MAX_KEPT_SIZE)


def encode_open(opening: Opening) -> bytes:
    """Ask for shares to be opened."""
    return cbor2.dumps(
        {
            "share-numbers": set(opening.shares),
            "size": opening.size,
            "open-ended": opening.open_ended,
            "brief": opening.brief,
        }
    )


def parse_open(body: bytes) -> Opening:
    """Return which shares are to be opened."""
    names = "share-numbers", "size", "open-ended", "brief"
    shares, size, *switches = fields(decode(body), *names)
    if not all(isinstance(switch, bool) for switch in switches):
        raise ValueError("open-ended and brief are true or false")
    return Opening(wanted_shares(shares), unsigned(size), *switches)


def encode_opened(already: Set[int], lengths: Mapping[int, int]) -> bytes:
    """Answer which shares are finished, and how long those are that were opened."""
    return cbor2.dumps({"already-have": set(already), "opened": dict(lengths)})


def parse_opened(
    body: bytes, shares: Set[int], size: int
) -> tuple[Set[int], Mapping[int, int]]:
    """
    Return the shares that are finished, and the lengths of those that were opened.

    Asked for were *shares* of *size* bytes.
    """
    already, opened = fields(decode(body), "already-have", "opened")
    lengths = _lengths(opened, size)
    if not lengths.keys() <= shares:
        raise ValueError("these shares were not asked for")
    return numbers(already), lengths


def encode_hashes(offset: int, piece: int, count: int) -> bytes:
    """Ask for the hashes of pieces of a share."""
    return cbor2.dumps({"offset": offset, "piece": piece, "count": count})


def parse_hashes(body: bytes) -> tuple[int, int, int]:
    """Return offset, length and number of the pieces that are asked for."""
    offset, piece, count = map(unsigned, fields(decode(body), "offset", "piece", "count"))
    return offset, piece, count


def split_hashes(body: bytes, count: int) -> list[bytes]:
    """Return the hashes in an answer, which are *count* or fewer."""
    if len(body) % _HASH or len(body) > _HASH * count:
        raise ValueError("these are not so many hashes")
    return [body[at : at + _HASH] for at in range(0, len(body), _HASH)]


def encode_close(size: int) -> bytes:
    """Ask for a share to be finished."""
    return cbor2.dumps({"size": size})


def parse_close(body: bytes) -> int:
    """Return the size with which a share is to be finished."""
    (size,) = fields(decode(body), "size")
    return unsigned(size)


def _lengths(value: Any, most: int) -> dict[int, int]:
    """Return the lengths of shares by their numbers."""
    if not isinstance(value, dict) or len(value) > MAX_SHARES:
        raise ValueError("it is no map of at most 256 shares")
    lengths = {unsigned(share): unsigned(length) for share, length in value.items()}
    if any(share >= MAX_SHARES for share in lengths):
        raise ValueError("share numbers are 0 to 255")
    if any(length > most for length in lengths.values()):
        raise ValueError("a share is longer than it can be")
    return lengths
