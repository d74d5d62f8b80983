"""
One segment of a mutable file: encrypted and coded, or decoded and decrypted.

Source: ``docs/formats/mutable.md``, "Segments".  Each function looks at one segment alone,
so that many can be worked on side by side, in worker threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from attrs import field, frozen

from truckee.codec import erasure
from truckee.codec.cipher import crypt, crypt_in_place, crypt_joined
from truckee.codec.geometry import round_up
from truckee.codec.hashes import Buffer, block_hash, block_hashes
from truckee.codec.mutable_errors import BadShare
from truckee.codec.mutable_geometry import SALT_SIZE, MutableGeometry
from truckee.codec.mutable_secrets import data_key

# The blocks of a longer segment are made one at a time, as they are asked for: together
# they take N/k times its size.
LONG = 4 << 20  # bytes
# Bytes of a segment that are encrypted at once for a part of one block.
_COLUMN = 1 << 20


class Blocks(Protocol):
    """The N blocks of a segment, by share number."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Buffer: ...

    def __iter__(self) -> Iterator[Buffer]: ...


@frozen(eq=False)
class StoredBlock:
    """One share's block of a segment, checked, and what the segment's key is made with."""

    salt: bytes  # 16 bytes: MDMF's in front of the block, or the IV of SDMF
    block: Buffer = field(repr=False)


@frozen(eq=False)
class EncodedSegment:
    """
    One segment's N blocks, all of one length.

    Those of one of ``LONG`` bytes are made anew each time, which is for a worker thread.
    """

    salt: bytes
    blocks: Blocks = field(repr=False)
    block_hashes: list[bytes] = field(repr=False)  # the leaves of the N block trees


def encode_segment(
    plaintext: Buffer, read_key: bytes, salt: bytes, geometry: MutableGeometry
) -> EncodedSegment:
    """
    Return what the shares get of *plaintext*, a whole segment or the last one.

    *salt* is 16 bytes that no other segment of this file ever had.  Of *geometry* only k, N
    and the kind count, so that the size of the file need not be known.  A *plaintext* of
    ``LONG`` bytes must not change while the blocks are in use.

    :raises ValueError: when *salt* has another length.
    """
    if len(salt) != SALT_SIZE:
        raise ValueError(f"a salt has {SALT_SIZE} bytes")
    key, size = data_key(read_key, salt), len(plaintext)
    front = salt if geometry.salted else b""
    if size >= LONG:
        later = BlocksOnDemand(plaintext, key, geometry.needed, geometry.total)
        # By number: none is there any more while the next one is made.
        hashes = [block_hash(later[n], front) for n in range(len(later))]
        return EncodedSegment(salt, later, hashes)
    padded = bytearray(round_up(size, geometry.needed))
    padded[:size] = plaintext
    crypt_in_place(key, 0, padded)
    # Padding is added to the ciphertext, not to the plaintext.
    padded[size:] = bytes(len(padded) - size)
    blocks = erasure.encode(padded, geometry.needed, geometry.total)
    return EncodedSegment(salt, blocks, block_hashes(blocks, front))


@frozen(eq=False)
class BlocksOnDemand:
    """
    The blocks of a segment that is in memory once, as plaintext.

    Each is encrypted and coded when it is asked for, column by column.
    """

    _plaintext: Buffer = field(repr=False)
    _key: bytes = field(repr=False)  # of the segment
    _needed: int
    _total: int

    def __len__(self) -> int:
        return self._total

    def __iter__(self) -> Iterator[Buffer]:
        return (self[number] for number in range(self._total))

    def __getitem__(self, number: int, /) -> Buffer:
        """Return block *number*.  :raises IndexError:"""
        if not 0 <= number < self._total:
            raise IndexError(number)
        size = -(-len(self._plaintext) // self._needed)
        block, width = bytearray(size), max(1, _COLUMN // self._needed)
        for start in range(0, size, width):
            end = min(start + width, size)
            if number < self._needed:
                part = self._part(number * size + start, end - start)
            else:
                rows = range(0, self._needed * size, size)
                column = [self._part(row + start, end - start) for row in rows]
                part = erasure.encode_one(column, number, self._total)
            block[start:end] = part
        return block

    def _part(self, offset: int, length: int) -> Buffer:
        """Return a part of the ciphertext, with zeros where it is beyond the end."""
        piece = memoryview(self._plaintext)[offset : offset + length]
        return crypt(self._key, offset, piece).ljust(length, b"\0")


def decode_segment(
    blocks: Mapping[int, StoredBlock],
    read_key: bytes,
    segment: int,
    geometry: MutableGeometry,
) -> bytes:
    """
    Return the plaintext of *segment* from k checked blocks, by share number.

    :raises BadShare: when they do not belong together, though whoever signed the version
        vouches for all: then other shares may be of no help.
    :raises ValueError: when they are not k, or one has a number that no share has.
    """
    salts = {stored.salt for stored in blocks.values()}
    length = geometry.block_length(segment)
    if len(salts) > 1:
        raise BadShare(f"the shares disagree about the salt of segment {segment}")
    if any(len(stored.block) != length for stored in blocks.values()):
        raise BadShare(f"a block of segment {segment} has a wrong length")
    bare = {number: stored.block for number, stored in blocks.items()}
    primary = erasure.decode(bare, geometry.needed, geometry.total)
    size = geometry.segment_length(segment)
    return crypt_joined(data_key(read_key, salts.pop()), primary, size)
