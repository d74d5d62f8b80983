"""
One entry of the ciphertext cache: its name and its bytes.

Source: formats, "Ciphertext cache".
"""

from __future__ import annotations

from truckee.codec import base32
from truckee.codec.caps import ChkVerifyCap
from truckee.codec.hashes import Buffer, TaggedHasher, tagged_hash

_NAME = b"truckee_cache_name_v1"
_ENTRY = b"truckee_cache_entry_v1"
_MAGIC = b"truckee cache 1\n"
_NAME_SIZE = 20  # bytes, of the hash that is a name

HEADER_SIZE = len(_MAGIC) + 32  # bytes
NAME_LENGTH = _NAME_SIZE * 8 // 5  # characters

# The part of a file that is its UEB; the others are the numbers of its segments.
UEB = -1


def entry_name(cap: ChkVerifyCap, part: int) -> str:
    """Return the name of a part of a file, from which the cap cannot be found."""
    return base32.encode(tagged_hash(_NAME, b"%d %s" % (part, str(cap).encode("ascii"))))[
        :NAME_LENGTH
    ]


def pack_header(name: str, data: Buffer) -> bytes:
    """Return what stands in front of *data* in the entry called *name*."""
    return _MAGIC + _digest(name, data)


def unpack_entry(name: str, entry: bytes) -> memoryview:
    """
    Return the data of the entry called *name*.

    :raises ValueError: when it is not what was stored under this name.
    """
    data = memoryview(entry)[HEADER_SIZE:]
    if entry[:HEADER_SIZE] != pack_header(name, data):
        raise ValueError("an entry of the cache is torn")
    return data


def _digest(name: str, data: Buffer) -> bytes:
    state = TaggedHasher(_ENTRY)
    state.update(name.encode("ascii"))
    state.update(data)
    return state.digest()
