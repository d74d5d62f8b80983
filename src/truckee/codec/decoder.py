"""
From the bytes of shares to ciphertext that is proved to belong to a cap.

Source: formats, "What a reader checks".  Nothing leaves here unverified; every failure
is a ValueError that says which part was wrong, and the caller knows whose it was.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field, frozen

from truckee.codec import erasure
from truckee.codec.caps import ChkVerifyCap
from truckee.codec.geometry import MAX_SEGMENT_SIZE, Geometry
from truckee.codec.hashes import (
    Buffer,
    block_hash,
    segment_and_block_hashes,
    segment_hash,
    ueb_hash,
)
from truckee.codec.merkle import PagedTree, check_chain
from truckee.codec.share import ShareOffsets
from truckee.codec.ueb import Ueb, parse_ueb


@frozen(eq=False)
class FileProof:
    """What the first good UEB said about the file; the same for all its shares."""

    geometry: Geometry
    share_root: bytes = field(repr=False)
    crypttext: PagedTree  # leaves: the hashes of the ciphertext segments
    ueb: bytes = field(repr=False)

    @classmethod
    def check(cls, cap: ChkVerifyCap, ueb: bytes) -> FileProof:
        """Believe *ueb* if its hash is in *cap*.  :raises ValueError: otherwise."""
        if ueb_hash(ueb) != cap.ueb_hash:
            raise ValueError("the UEB is not the one the cap names")
        parsed: Ueb = parse_ueb(ueb)
        if not 0 < parsed.segment_size <= MAX_SEGMENT_SIZE + cap.needed:
            raise ValueError(f"segments of {parsed.segment_size} bytes are not supported")
        geometry = Geometry(cap.size, cap.needed, cap.total, parsed.segment_size)
        tree = PagedTree(parsed.crypttext_root_hash, geometry.segments)
        return cls(geometry, parsed.share_root_hash, tree, ueb)


@define(eq=False)
class ShareProof:
    """One share of the file: where its parts stand and which blocks it must hold."""

    number: int
    offsets: ShareOffsets
    blocks: PagedTree  # leaves: the hashes of this share's blocks

    @classmethod
    def check(
        cls, file: FileProof, number: int, offsets: ShareOffsets, chain: bytes
    ) -> ShareProof:
        """Believe that share *number* belongs to *file*.  :raises ValueError: otherwise."""
        # A chain can lead to the root from padding leaves and from below the leaves too.
        if not 0 <= number < file.geometry.total:
            raise ValueError(f"the file has no share {number}")
        root = check_chain(chain, number, file.geometry.total, file.share_root)
        return cls(number, offsets, PagedTree(root, file.geometry.segments))

    def block_range(self, geometry: Geometry, segments: range) -> tuple[int, int]:
        """Return offset and length of the blocks of adjacent *segments*."""
        size = geometry.block_size
        before_last = size * (len(segments) - 1)
        offset = self.offsets.data + segments[0] * size
        return offset, before_last + geometry.block_length(segments[-1])

    def is_good(self, segment: int, block: Buffer) -> bool:
        """Tell whether *block* is this share's block of *segment*, whose leaf is known."""
        return block_hash(block) == self.blocks.leaf(segment)


def prove_segment(
    file: FileProof, segment: int, blocks: Mapping[ShareProof, Buffer]
) -> tuple[set[ShareProof], bytes]:
    """
    Return the shares whose blocks are bad; if none is, the ciphertext of *segment* too.

    There are k blocks; the leaves of all of them, and of the segment, are known.

    :raises ValueError: as ``join_segment`` does.
    """
    size = file.geometry.block_length(segment)
    bad = {share for share, block in blocks.items() if len(block) != size}
    if bad:
        return bad, b""
    ciphertext = _joined(file, segment, {s.number: block for s, block in blocks.items()})
    # All at once: side by side they take half of the time.
    digest, found = segment_and_block_hashes(ciphertext, list(blocks.values()))
    for share, block_digest in zip(blocks, found, strict=True):
        if block_digest != share.blocks.leaf(segment):
            bad.add(share)
    if bad:
        return bad, b""
    _check_promised(file, segment, ciphertext, digest)
    return bad, ciphertext


def join_segment(file: FileProof, segment: int, blocks: Mapping[int, Buffer]) -> bytes:
    """
    Return the ciphertext of *segment* from k good numbered *blocks*, without padding.

    :raises ValueError: when it is not the segment the cap promises, though all blocks
        were: then whoever made the shares lied, and no other share can help.
    """
    ciphertext = _joined(file, segment, blocks)
    _check_promised(file, segment, ciphertext, segment_hash(ciphertext))
    return ciphertext


def _joined(file: FileProof, segment: int, blocks: Mapping[int, Buffer]) -> bytes:
    geometry = file.geometry
    primary = erasure.decode(blocks, geometry.needed, geometry.total)
    return b"".join(primary)[: geometry.segment_length(segment)]


def _check_promised(
    file: FileProof, segment: int, ciphertext: bytes, digest: bytes
) -> None:
    length, promised = file.geometry.segment_length(segment), file.crypttext.leaf(segment)
    # The hash alone would let an uploader promise a shorter segment than the cap does.
    if len(ciphertext) != length or digest != promised:
        raise ValueError("the decoded segment is not the one the cap promises")
