"""
MDMF: a mutable file of many segments, some of which can be changed where they are.

Source: ``docs/formats/mutable.md``, "Changing some segments".  A new file is made with
``MutableGeometry.mdmf``, ``encode_segment`` and ``VersionEncoder``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define, evolve, frozen

from truckee.codec.hashes import Buffer
from truckee.codec.merkle import tree_size
from truckee.codec.merkle_update import replace_leaves
from truckee.codec.mutable_geometry import MAX_TREES_SIZE, MutableGeometry
from truckee.codec.mutable_layout import MutableLayout, ShareHeader
from truckee.codec.mutable_segment import EncodedSegment
from truckee.codec.mutable_version import UnsignedVersion
from truckee.errors import Misuse


@define
class BeyondEnd(Misuse):
    """The file has {size} bytes: write at that offset or before it, not at {offset}."""

    offset: int
    size: int


def is_updatable(header: ShareHeader) -> bool:
    """
    Tell whether segments of the share can be changed where they are.

    The block trees of all shares must fit in memory for this.
    """
    cut, layout = header.prefix.geometry, header.layout
    if not cut.salted or tree_size(cut.leaves) * cut.total > MAX_TREES_SIZE:
        return False
    try:
        planned = MutableLayout.planned(
            cut, layout.public_key.length, layout.private_key.length
        )
    except ValueError:
        return False
    return layout == planned


@frozen
class Update:
    """Some bytes that are written into a version: which segments change, and how."""

    before: MutableGeometry
    offset: int  # of the first byte written
    length: int  # bytes written

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.offset <= self.before.size:
            raise BeyondEnd(self.offset, self.before.size)

    @property
    def after(self) -> MutableGeometry:
        """How the new version is cut."""
        size = max(self.before.size, self.offset + self.length)
        return evolve(self.before, size=size)

    @property
    def segments(self) -> range:
        """The segments to be encrypted and coded anew."""
        size = self.before.segment_size
        if not self.length:
            return range(0)
        return range(self.offset // size, -(-(self.offset + self.length) // size))

    @property
    def needed(self) -> list[int]:
        """Those of them of which something stays: at most two, to be read before."""
        return [
            segment
            for segment in dict.fromkeys([*self.segments[:1], *self.segments[-1:]])
            if any(part for part in self._kept(segment))
        ]

    def piece(self, segment: int) -> range:
        """Return which of the bytes written go into *segment*, counted from 0."""
        start = segment * self.before.segment_size
        end = start + self.before.segment_size
        return range(max(start - self.offset, 0), min(end - self.offset, self.length))

    def plaintext(self, segment: int, written: Buffer, old: Buffer = b"") -> bytes:
        """
        Return the new *segment* from its piece of what is written, and from the old one.

        *old* is its old plaintext, empty where the segment is not ``needed``.
        """
        front, back = self._kept(segment)
        view = memoryview(old)
        return b"".join((view[: len(front)], written, view[back.start : back.stop]))

    def _kept(self, segment: int) -> tuple[range, range]:
        """Which bytes of the old segment stay: at its front and at its end."""
        start = segment * self.before.segment_size
        length = 0
        if segment < self.before.segments:
            length = self.before.segment_length(segment)
        first = min(max(self.offset - start, 0), length)
        behind = min(self.offset + self.length - start, length)
        return range(first), range(behind, length)

    def apply(
        self,
        sequence: int,
        block_trees: Sequence[bytes],
        changed: Mapping[int, EncodedSegment],
    ) -> UnsignedVersion:
        """
        Return the new version from the block trees of all N shares, each checked.

        *changed* has every one of ``segments``, encoded with a new salt.

        :raises ValueError: when a tree or a segment is missing.
        """
        if sorted(changed) != list(self.segments):
            raise ValueError("not all changed segments are there")
        trees = [
            replace_leaves(
                tree,
                self.before.leaves,
                {segment: each.block_hashes[number] for segment, each in changed.items()},
                self.after.leaves,
            )
            for number, tree in enumerate(block_trees)
        ]
        return UnsignedVersion.of_trees(self.after, sequence, trees)
