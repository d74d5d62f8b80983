"""
From ciphertext segments to the contents of N shares.

Two steps, so that segments can be coded side by side: ``encode_segment`` looks at one
segment alone; ``FileEncoder.absorb`` takes the results in order.
"""

from __future__ import annotations

from attrs import define, field, frozen

from truckee.codec import erasure
from truckee.codec.caps import ChkVerifyCap
from truckee.codec.geometry import Geometry, round_up
from truckee.codec.hashes import (
    HASH_SIZE,
    Buffer,
    CrypttextHasher,
    crypttext_hasher,
    ueb_hash,
)
from truckee.codec.merkle import TreeBuilder, build_tree, pack_chain, padding_rows
from truckee.codec.share import ShareLayout
from truckee.codec.speed import FlatHash
from truckee.codec.ueb import pack_ueb


@frozen(eq=False)
class EncodedSegment:
    """One segment's blocks, N of one length, and their hashes."""

    blocks: list[Buffer] = field(repr=False)
    block_hashes: list[bytes] = field(repr=False)


def encode_segment(ciphertext: Buffer, needed: int, total: int) -> EncodedSegment:
    """
    Code one segment, which is padded with zeros to a multiple of k.

    The first k blocks may be views of *ciphertext*: leave it unchanged.
    """
    whole = round_up(len(ciphertext), needed)
    padded = ciphertext
    if whole > len(ciphertext):
        padded = bytearray(ciphertext)
        padded += bytes(whole - len(ciphertext))
    return EncodedSegment(*erasure.encode_and_hash(padded, needed, total))


@frozen(eq=False)
class EncodedFile:
    """What ends the shares of a file, and the cap that checks them."""

    geometry: Geometry
    verify_cap: ChkVerifyCap
    ueb: bytes = field(repr=False)
    crypttext_tree: bytes = field(repr=False)
    _block_trees: list[bytes] = field(repr=False)
    _share_tree: bytes = field(repr=False)

    def trailer(self, share: int, layout: ShareLayout) -> list[Buffer]:
        """Return the parts of *share* from the ciphertext tree to its end, in order."""
        return [
            self.crypttext_tree,
            self._block_trees[share],
            pack_chain(self._share_tree, share, self.geometry.total),
            layout.pack_ueb_length(len(self.ueb)),
            self.ueb,
        ]


@define(eq=False)
class FileEncoder:
    """
    Take encoded segments in order; give the end of the shares.

    It holds 64 bytes for each segment and share, packed, and no file data.
    """

    storage_index: bytes
    needed: int
    total: int
    size: int = field(default=0, init=False)  # bytes of ciphertext so far
    _hasher: CrypttextHasher | FlatHash = field(factory=crypttext_hasher, init=False)
    _crypttext: TreeBuilder = field(factory=TreeBuilder, init=False)
    _blocks: list[TreeBuilder] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._blocks = [TreeBuilder() for _ in range(self.total)]

    def absorb(self, ciphertext: Buffer, encoded: EncodedSegment) -> bytes:
        """
        Add the next segment: its ciphertext without padding, and what it became.

        Returns its ``segment_hash``.
        """
        digest = self._hasher.absorb(ciphertext)
        self.size += len(ciphertext)
        self._crypttext.append(digest)
        for tree, leaf in zip(self._blocks, encoded.block_hashes, strict=True):
            tree.append(leaf)
        return digest

    def block_hash(self, share: int, segment: int) -> bytes | None:
        """Return the hash of a block of a segment; None: it was not absorbed yet."""
        return self._blocks[share].leaf(segment)

    def finish(self, segment_size: int) -> EncodedFile:
        """Return the end of the file, cut in segments of *segment_size* bytes."""
        geometry = Geometry(self.size, self.needed, self.total, segment_size)
        padding = padding_rows(geometry.segments)
        crypttext_tree = self._crypttext.finish(padding)
        block_trees = [tree.finish(padding) for tree in self._blocks]
        share_tree = build_tree([tree[:HASH_SIZE] for tree in block_trees])
        ueb = pack_ueb(
            geometry,
            self._hasher.digest(),
            crypttext_tree[:HASH_SIZE],
            share_tree[:HASH_SIZE],
        )
        cap = ChkVerifyCap(
            self.storage_index, ueb_hash(ueb), self.needed, self.total, self.size
        )
        return EncodedFile(geometry, cap, ueb, crypttext_tree, block_trees, share_tree)
