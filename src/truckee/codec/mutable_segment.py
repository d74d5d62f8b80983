"""
One segment of a mutable file: encrypted and coded, or decoded and decrypted.

Source: ``docs/formats/mutable.md``, "Segments".  Each function looks at one segment alone,
so that many can be worked on side by side, in worker threads.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from truckee.codec import erasure
from truckee.codec.cipher import crypt, crypt_in_place
from truckee.codec.geometry import round_up
from truckee.codec.hashes import Buffer, block_hash
from truckee.codec.mutable_errors import BadShare
from truckee.codec.mutable_geometry import SALT_SIZE, MutableGeometry
from truckee.codec.mutable_secrets import data_key


@frozen(eq=False)
class StoredBlock:
    """One share's block of a segment, checked, and what the segment's key is made with."""

    salt: bytes  # 16 bytes: MDMF's in front of the block, or the IV of SDMF
    block: Buffer = field(repr=False)


@frozen(eq=False)
class EncodedSegment:
    """One segment's N blocks, all of one length."""

    salt: bytes
    blocks: list[Buffer] = field(repr=False)
    block_hashes: list[bytes] = field(repr=False)  # the leaves of the N block trees


def encode_segment(
    plaintext: Buffer, read_key: bytes, salt: bytes, geometry: MutableGeometry
) -> EncodedSegment:
    """
    Return what the shares get of *plaintext*, a whole segment or the last one.

    *salt* is 16 bytes that no other segment of this file ever had.  Of *geometry* only k, N
    and the kind count, so that the size of the file need not be known.

    :raises ValueError: when *salt* has another length.
    """
    if len(salt) != SALT_SIZE:
        raise ValueError(f"a salt has {SALT_SIZE} bytes")
    size = len(plaintext)
    padded = bytearray(round_up(size, geometry.needed))
    padded[:size] = plaintext
    crypt_in_place(data_key(read_key, salt), 0, padded)
    # Padding is added to the ciphertext, not to the plaintext.
    padded[size:] = bytes(len(padded) - size)
    blocks = erasure.encode(padded, geometry.needed, geometry.total)
    front = salt if geometry.salted else b""
    return EncodedSegment(salt, blocks, [block_hash(block, front) for block in blocks])


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
    ciphertext = memoryview(b"".join(primary))[: geometry.segment_length(segment)]
    return crypt(data_key(read_key, salts.pop()), 0, ciphertext)
