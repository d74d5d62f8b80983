"""
The UEB (URI extension block), whose hash is in the cap.  Source: formats, "UEB".
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from truckee.codec.geometry import Geometry
from truckee.codec.hashes import HASH_SIZE
from truckee.codec.netstring import netstring, split_netstring

# Stock verifiers and helpers call a longer one corrupt.
MAX_SIZE = 2000  # bytes
_MAX_DIGITS = 20  # of any number in it

# In the order of ``Geometry``.
_SHAPE = ("size", "needed_shares", "total_shares", "segment_size")
_NUMBERS = (*_SHAPE, "num_segments")


@frozen
class Ueb:
    """What a UEB says that a reader may believe once its hash matched the cap."""

    segment_size: int  # bytes, a multiple of k
    crypttext_root_hash: bytes
    share_root_hash: bytes


def pack_ueb(
    geometry: Geometry,
    crypttext_hash: bytes,
    crypttext_root_hash: bytes,
    share_root_hash: bytes,
) -> bytes:
    """
    Return the one UEB of a file.

    It has exactly the eleven keys that stock clients write: their repair rebuilds the
    UEB from scratch, and one key more or less would make the new shares worthless.
    """
    k, n = geometry.needed, geometry.total
    values = {
        b"codec_name": b"crs",
        b"codec_params": b"%d-%d-%d" % (geometry.segment_size, k, n),
        b"crypttext_hash": crypttext_hash,
        b"crypttext_root_hash": crypttext_root_hash,
        b"needed_shares": b"%d" % k,
        b"num_segments": b"%d" % geometry.segments,
        b"segment_size": b"%d" % geometry.segment_size,
        b"share_root_hash": share_root_hash,
        b"size": b"%d" % geometry.size,
        b"tail_codec_params": b"%d-%d-%d" % (geometry.padded_tail_size, k, n),
        b"total_shares": b"%d" % n,
    }
    return b"".join(key + b":" + netstring(values[key]) for key in sorted(values))


def parse_ueb(data: bytes) -> Ueb:
    """
    Return the parts of a UEB that readers need; check its hash before.

    k, N and the size come from the cap, unknown keys are passed over.

    :raises ValueError: when it does not parse or a needed key is missing.
    """
    values = _split(data)
    try:
        size = values[b"segment_size"]
        roots = values[b"crypttext_root_hash"], values[b"share_root_hash"]
    except KeyError as missing:
        raise ValueError(f"the UEB has no {missing}") from None
    if not size.isdigit() or len(size) > _MAX_DIGITS:
        raise ValueError("the UEB's segment size is not a number")
    if any(len(root) != HASH_SIZE for root in roots):
        raise ValueError("a root hash in the UEB is not 32 bytes")
    return Ueb(int(size), *roots)


def size_in_ueb(data: bytes) -> int:
    """
    Return the size of the file, in bytes, as an unchecked UEB states it.

    For those who have no cap.  :raises ValueError: when it does not say.
    """
    size = _split(data).get(b"size", b"")
    if not size.isdigit() or not 0 < len(size) <= _MAX_DIGITS:
        raise ValueError("the UEB does not state the file's size")
    return int(size)


def crypttext_hash_in_ueb(data: bytes) -> bytes:
    """Return the flat hash of the ciphertext that a UEB states; empty if it does not."""
    return _split(data).get(b"crypttext_hash", b"")


def geometry_in_ueb(data: bytes) -> Geometry:
    """
    Return how the file is cut, as an unchecked UEB states it.

    For those who have no cap.  :raises ValueError: when no file is cut so.
    """
    values = fields_in_ueb(data)
    numbers = [values.get(name, b"") for name in _SHAPE]
    if not all(isinstance(number, int) for number in numbers):
        raise ValueError("the UEB does not state how the file is cut")
    return Geometry(*(int(number) for number in numbers))


def fields_in_ueb(data: bytes) -> dict[str, int | bytes]:
    """
    Return all that a UEB states, numbers as numbers, as helpers tell it to clients.

    :raises ValueError: when it does not parse.
    """
    fields: dict[str, int | bytes] = {}
    for key, value in _split(data).items():
        name = key.decode("ascii", "replace")
        fields[name] = value
        if name in _NUMBERS:
            if not value.isdigit() or len(value) > _MAX_DIGITS:
                raise ValueError(f"{name} in the UEB is not a number")
            fields[name] = int(value)
    return fields


def ueb_of_fields(fields: Mapping[str, object]) -> bytes:
    """Return the UEB that states *fields*.  :raises ValueError: when none does."""
    parts = []
    for name in sorted(fields):
        value = fields[name]
        if isinstance(value, int):
            value = b"%d" % value
        if not isinstance(value, bytes) or not name.isascii():
            raise ValueError("a UEB states numbers and byte strings")
        parts.append(name.encode("ascii") + b":" + netstring(value))
    return b"".join(parts)


def _split(data: bytes) -> dict[bytes, bytes]:
    values: dict[bytes, bytes] = {}
    position = 0
    while position < len(data):
        colon = data.find(b":", position)
        if colon == -1:
            raise ValueError("a UEB key has no value")
        key = data[position:colon]
        values[key], position = split_netstring(data, colon + 1)
    return values
