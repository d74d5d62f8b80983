"""
Which bytes of a share a reader will need, before it knows anything but the cap.

A share tells in its header where its parts are, and in its UEB how the file is cut.  Most
writers do as stock does, so the parts are asked for at once where they probably are.  What
was guessed wrong is asked for again; nothing is believed because it was guessed.
"""

from __future__ import annotations

from attrs import define, field

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.geometry import DEFAULT_SEGMENT_SIZE, Encoding, Geometry
from truckee.codec.merkle import PagedTree
from truckee.codec.share import HEADER_SIZE, ShareLayout, ShareOffsets

# Two parts with no more than this between them are one read.
_GAP = 4096  # bytes


@define
class Guess:
    """How files are cut, and their shares laid out, going by the last one that was seen."""

    _segment_size: int = field(default=DEFAULT_SEGMENT_SIZE, init=False)  # bytes
    _streamed: bool = field(default=False, init=False)

    def geometry(self, cap: ChkVerifyCap) -> Geometry:
        """Return how the file of *cap* is cut, probably."""
        return Encoding(cap.needed, cap.total, self._segment_size).geometry(cap.size)

    def reads(
        self, geometry: Geometry, segment: int, tree: PagedTree | None
    ) -> list[tuple[int, int]]:
        """
        Return offset and length of what a share has for *segment*, and of what proves it.

        With a *tree*, what that one still needs of the ciphertext tree is among it.
        """
        kind = ShareLayout.streamed if self._streamed else ShareLayout.stock
        layout = kind(geometry)
        reads = [*_identity_reads(layout), *_block_reads(layout, segment)]
        if tree is not None:
            hashes = tree.missing(segment)
            reads += [(layout.crypttext_tree + at, size) for at, size in hashes]
        return _joined(reads)

    def learn(self, geometry: Geometry, offsets: ShareOffsets) -> None:
        """Guess for the next file what is true of this one."""
        streamed = ShareLayout.streamed(geometry)
        self._streamed = (offsets.data, offsets.crypttext_tree) == (
            streamed.data,
            streamed.crypttext_tree,
        )
        if geometry.segments > 1:
            self._segment_size = geometry.segment_size


def proof_reads(
    layout: ShareLayout, segment: int | None, piece: tuple[int, int] | None = None
) -> list[tuple[int, int]]:
    """
    Return offset and length of what proves that a share is of its file.

    With a *segment*, its block and the hashes that prove the block are among it; with a
    *piece* the bytes that it names, at an offset from the first block.
    """
    reads = _identity_reads(layout)
    if segment is not None:
        reads += _block_reads(layout, segment)
    if piece is not None:
        reads.append((layout.data + piece[0], piece[1]))
    return _joined(reads)


def _identity_reads(layout: ShareLayout) -> list[tuple[int, int]]:
    header = layout.pack_header().ljust(HEADER_SIZE, b"\0")
    offsets = ShareOffsets.parse(header, layout.geometry.total)
    return [(0, HEADER_SIZE), offsets.proof]


def _block_reads(layout: ShareLayout, segment: int) -> list[tuple[int, int]]:
    geometry = layout.geometry
    tree = PagedTree(b"", geometry.segments)
    hashes = [(layout.block_tree + at, size) for at, size in tree.missing(segment)]
    return [(layout.block(segment), geometry.block_length(segment)), *hashes]


def _joined(reads: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return reads in order, those near each other as one."""
    joined: list[tuple[int, int]] = []
    for start, length in sorted(reads):
        if joined and start - sum(joined[-1]) <= _GAP:
            first, before = joined.pop()
            joined.append((first, max(before, start + length - first)))
        else:
            joined.append((start, length))
    return joined
