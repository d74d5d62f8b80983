"""
One version of a mutable file, from its encoded segments to the bytes of its shares.

Source: ``docs/formats/mutable.md``.  The steps: ``VersionEncoder`` takes the segments, an
``UnsignedVersion`` has the hash trees over them, a ``SignedVersion`` writes shares.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field, frozen

from truckee.codec.hashes import HASH_SIZE, padding_leaf_hash
from truckee.codec.merkle import (
    CHAIN_ENTRY,
    TreeBuilder,
    build_tree,
    pack_chain,
    padding_rows,
    width_of,
)
from truckee.codec.mutable_geometry import MutableGeometry
from truckee.codec.mutable_layout import MutableLayout, ShareHeader
from truckee.codec.mutable_prefix import Prefix
from truckee.codec.mutable_secrets import encrypt_private_key
from truckee.codec.mutable_segment import EncodedSegment
from truckee.codec.rsa_keys import SigningKey

Write = tuple[int, bytes]  # offset in the share, and what is written there


@frozen(eq=False)
class UnsignedVersion:
    """The hash trees of a version, and what is to be signed."""

    prefix: Prefix
    block_trees: Sequence[bytes] = field(repr=False)  # packed, of share 0 to N-1
    share_tree: bytes = field(repr=False)  # packed

    @classmethod
    def of_trees(
        cls,
        geometry: MutableGeometry,
        sequence: int,
        block_trees: Sequence[bytes],
        iv: bytes | None = None,
    ) -> UnsignedVersion:
        """Return the version with these block trees.  :raises ValueError: impossible"""
        if len(block_trees) != geometry.total:
            raise ValueError("each share has one block tree")
        share_tree = build_tree([tree[:HASH_SIZE] for tree in block_trees])
        prefix = Prefix(sequence, share_tree[:HASH_SIZE], geometry, iv)
        return cls(prefix, block_trees, share_tree)

    def chain(self, number: int) -> bytes:
        """Return the chain of share *number*, without its own leaf."""
        total = self.prefix.geometry.total
        packed = pack_chain(self.share_tree, number, total)
        leaf = width_of(total) - 1 + number
        return b"".join(
            CHAIN_ENTRY.pack(node, value)
            for node, value in CHAIN_ENTRY.iter_unpack(packed)
            if node != leaf
        )

    def sign(self, key: SigningKey, write_key: bytes) -> SignedVersion:
        """Return the version as its shares have it; this is for a worker thread."""
        return SignedVersion(
            self,
            key.sign(self.prefix.pack()),
            key.verifying_key.der,
            encrypt_private_key(write_key, key),
        )


@frozen(eq=False)
class SignedVersion:
    """
    All of a version but its blocks.

    :raises ValueError: when the keys are too long for the format.
    """

    version: UnsignedVersion
    signature: bytes = field(repr=False)
    public_key: bytes = field(repr=False)  # DER
    private_key: bytes = field(repr=False)  # encrypted
    header: ShareHeader = field(init=False)  # the same in all shares

    def __attrs_post_init__(self) -> None:
        prefix = self.version.prefix
        layout = MutableLayout.planned(
            prefix.geometry, len(self.public_key), len(self.private_key)
        )
        object.__setattr__(self, "header", ShareHeader(prefix, layout))

    def writes(self, number: int) -> list[Write]:
        """Return what share *number* has around its blocks, adjacent parts as one."""
        layout = self.header.layout
        pieces = [
            (0, self.header.pack()),
            (layout.public_key.offset, self.public_key),
            (layout.signature.offset, self.signature),
            (layout.chain.offset, self.version.chain(number)),
            (layout.block_tree.offset, self.version.block_trees[number]),
            (layout.private_key.offset, self.private_key),
        ]
        return _joined(pieces)

    def block_write(self, number: int, segment: int, encoded: EncodedSegment) -> Write:
        """Return what share *number* has of a segment, with its salt in MDMF."""
        cut = self.header.prefix.geometry
        salt = encoded.salt if cut.salted else b""
        offset = self.header.layout.data.offset + cut.block_offset(segment)
        return offset, salt + bytes(encoded.blocks[number])

    def share(self, number: int, segments: Sequence[EncodedSegment]) -> bytes:
        """Return the whole share *number*, of a file that fits in memory."""
        blocks = [
            self.block_write(number, segment, encoded)
            for segment, encoded in enumerate(segments)
        ]
        share = bytearray(self.header.layout.end)
        for offset, data in self.writes(number) + blocks:
            share[offset : offset + len(data)] = data
        return bytes(share)


def _joined(pieces: list[Write]) -> list[Write]:
    joined: list[Write] = []
    for offset, data in sorted(pieces):
        if joined and joined[-1][0] + len(joined[-1][1]) == offset:
            joined[-1] = joined[-1][0], joined[-1][1] + data
        else:
            joined.append((offset, data))
    return joined


@define(eq=False)
class VersionEncoder:
    """
    Take encoded segments in order; give the hash trees over them.

    It holds 64 bytes for each segment and share, packed, and no data of the file.
    """

    total: int  # N
    segments: int = field(default=0, init=False)  # so far
    _trees: list[TreeBuilder] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._trees = [TreeBuilder() for _ in range(self.total)]

    def absorb(self, encoded: EncodedSegment) -> None:
        """Add the next segment."""
        self.segments += 1
        for tree, leaf in zip(self._trees, encoded.block_hashes, strict=True):
            tree.append(leaf)

    def finish(
        self, geometry: MutableGeometry, sequence: int, iv: bytes | None = None
    ) -> UnsignedVersion:
        """
        Return the version; the encoder is used up.  *iv* is that of SDMF.

        :raises ValueError: when *geometry* has another number of segments.
        """
        if geometry.segments != self.segments:
            raise ValueError(f"the file has {geometry.segments} segments")
        if not self.segments:
            trees = [padding_leaf_hash(0)] * self.total
        else:
            padding = padding_rows(self.segments)
            trees = [tree.finish(padding) for tree in self._trees]
        return UnsignedVersion.of_trees(geometry, sequence, trees, iv)
