"""
Tagged hashes: SHA-256 applied twice, under a tag for each use.

Source: formats, "Hashing".  Everything here returns 32 bytes unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from attrs import define, field

from truckee.codec import speed
from truckee.codec.netstring import netstring

if TYPE_CHECKING:
    from hashlib import _Hash

Buffer = speed.Buffer

HASH_SIZE = 32  # bytes in every hash that is stored in a share

STORAGE_INDEX = b"allmydata_immutable_key_to_storage_index_v1"
BLOCK = b"allmydata_encoded_subshare_v1"
UEB = b"allmydata_uri_extension_v1"
CRYPTTEXT = b"allmydata_crypttext_v1"
CRYPTTEXT_SEGMENT = b"allmydata_crypttext_segment_v1"
MERKLE_NODE = b"Merkle tree internal node"
MERKLE_PADDING = b"Merkle tree empty leaf"


@define(eq=False)
class TaggedHasher:
    """Hash one value of any length under *tag*, piece by piece."""

    tag: bytes
    _state: _Hash = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._state = sha256(netstring(self.tag))

    def update(self, data: Buffer) -> None:
        """Append *data* to the value."""
        self._state.update(data)

    def digest(self) -> bytes:
        """Return the hash of all that was given so far."""
        return sha256(self._state.digest()).digest()


def tagged_hash(tag: bytes, value: Buffer) -> bytes:
    """Return the hash of one *value*, which is not itself a netstring."""
    state = sha256(netstring(tag))
    state.update(value)
    return sha256(state.digest()).digest()


def tagged_pair_hash(tag: bytes, left: bytes, right: bytes) -> bytes:
    """Return the hash of two values, each as a netstring."""
    return sha256(
        sha256(netstring(tag) + netstring(left) + netstring(right)).digest()
    ).digest()


# The prefixes below are the netstring forms above, made once: a tree over a large file
# hashes millions of nodes, a file millions of blocks.
BLOCK_FRONT = netstring(BLOCK)
_BLOCK_START = sha256(BLOCK_FRONT)
_SEGMENT_FRONT = netstring(CRYPTTEXT_SEGMENT)
_SEGMENT_START = sha256(_SEGMENT_FRONT)
_NODE_START = netstring(MERKLE_NODE) + b"32:"


def block_hash(block: Buffer, salt: bytes = b"") -> bytes:
    """
    Return the leaf of a block tree; padding of the tail belongs to the block.

    Some blocks of mutable files have a *salt* in front of them.
    """
    state = _BLOCK_START.copy()
    state.update(salt)
    state.update(block)
    return sha256(state.digest()).digest()


def block_hash_of(pieces: Iterable[Buffer]) -> bytes:
    """Return the ``block_hash`` of *pieces*, one behind the other."""
    state = _BLOCK_START.copy()
    for piece in pieces:
        state.update(piece)
    return sha256(state.digest()).digest()


def block_hashes(blocks: Sequence[Buffer], salt: bytes = b"") -> list[bytes]:
    """Return the ``block_hash`` of each of *blocks*."""
    if speed.hashes:
        return speed.hashes_of([BLOCK_FRONT + salt] * len(blocks), blocks)
    return [block_hash(block, salt) for block in blocks]


def segment_hash(ciphertext: Buffer) -> bytes:
    """Return the leaf of the ciphertext tree, of a segment without padding."""
    state = _SEGMENT_START.copy()
    state.update(ciphertext)
    return sha256(state.digest()).digest()


def segment_and_block_hashes(
    ciphertext: Buffer, blocks: Sequence[Buffer]
) -> tuple[bytes, list[bytes]]:
    """Return the ``segment_hash`` of *ciphertext* and the ``block_hashes`` of *blocks*."""
    if speed.hashes:
        fronts = [_SEGMENT_FRONT, *[BLOCK_FRONT] * len(blocks)]
        found, *others = speed.hashes_of(fronts, [ciphertext, *blocks])
        return found, others
    return segment_hash(ciphertext), block_hashes(blocks)


@define(eq=False)
class CrypttextHasher:
    """Hash a file's ciphertext, whose segments come in order, and each of these."""

    _flat: TaggedHasher = field(factory=lambda: TaggedHasher(CRYPTTEXT), init=False)

    def absorb(self, ciphertext: Buffer) -> bytes:
        """Go on over the next segment, without padding; return its ``segment_hash``."""
        self._flat.update(ciphertext)
        return segment_hash(ciphertext)

    def digest(self) -> bytes:
        """Return the flat hash of all segments so far."""
        return self._flat.digest()


def crypttext_hasher() -> CrypttextHasher | speed.FlatHash:
    """Return what hashes the ciphertext of a file."""
    if speed.hashes:
        return speed.FlatHash(netstring(CRYPTTEXT), _SEGMENT_FRONT)
    return CrypttextHasher()


def node_hash(left: Buffer, right: Buffer) -> bytes:
    """Return an inner Merkle node from its two 32-byte children."""
    value = b"".join((_NODE_START, left, b",32:", right, b","))
    return sha256(sha256(value).digest()).digest()


def node_hashes(row: Buffer) -> Buffer:
    """Return the ``node_hash`` of each two neighbours in *row*, of even length; packed."""
    if speed.hashes:
        return speed.row_above(_NODE_START, b",32:", b",", row)
    view, above = memoryview(row), bytearray()
    for at in range(0, len(view), 2 * HASH_SIZE):
        middle = at + HASH_SIZE
        above += node_hash(view[at:middle], view[middle : middle + HASH_SIZE])
    return above


def padding_leaf_hash(index: int) -> bytes:
    """Return the leaf that stands at position *index* past the last real leaf."""
    return tagged_hash(MERKLE_PADDING, b"%d" % index)


def ueb_hash(ueb: bytes) -> bytes:
    """Return the hash of a serialised UEB, the root of all trust in a file."""
    return tagged_hash(UEB, ueb)


def storage_index_of(key: bytes) -> bytes:
    """Return the 16-byte storage index of an immutable file's 16-byte *key*."""
    return tagged_hash(STORAGE_INDEX, key)[:16]
