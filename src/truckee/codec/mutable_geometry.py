"""
How a version of a mutable file is cut.  Source: ``docs/formats/mutable.md``, "Segments".
"""

from __future__ import annotations

from attrs import define, frozen

from truckee.codec.geometry import MAX_SEGMENT_SIZE, round_up
from truckee.errors import Refused

MAX_SHARES = 255  # k and N have a byte each
SALT_SIZE = 16  # bytes of a salt, and of an IV
MDMF_SEGMENT_SIZE = 131_072  # bytes, before it is rounded up to a multiple of k
# Bytes of block trees that are in memory at once: of all shares when segments are changed.
MAX_TREES_SIZE = 256 << 20
_MAX_NUMBER = (1 << 64) - 1


@define
class SegmentTooLarge(Refused):
    """This file is in segments of {size} bytes; at most {most} can be read here."""

    size: int
    most: int = MAX_SEGMENT_SIZE


@define
class TooManySegments(Refused):
    """This file has {segments} segments, too many to do this; its blocks can be read."""

    segments: int


@frozen
class MutableGeometry:
    """The sizes of one version's parts, all in bytes.  An empty file has no segment."""

    size: int  # of the plaintext and of the ciphertext, 0 or more
    needed: int  # k
    total: int  # N
    segment_size: int  # of every segment but the last; a multiple of k
    salted: bool  # each block has a salt in front of it: MDMF

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.needed <= self.total <= MAX_SHARES:
            raise ValueError(f"no file is stored {self.needed}-of-{self.total}")
        if not all(0 <= size <= _MAX_NUMBER for size in (self.size, self.segment_size)):
            raise ValueError("a size does not fit in 8 bytes")
        if self.segment_size % self.needed:
            raise ValueError("the segment size is not a multiple of k")
        if self.size and (self.segment_size < 1 or (self.segments > 1 and not self.salted)):
            raise ValueError(f"segments of {self.segment_size} bytes do not hold the file")

    @classmethod
    def sdmf(cls, size: int, needed: int, total: int) -> MutableGeometry:
        """Return how a writer cuts a file of *size* bytes: not at all."""
        return cls(size, needed, total, round_up(size, max(needed, 1)), False)

    @classmethod
    def mdmf(cls, size: int, needed: int, total: int) -> MutableGeometry:
        """Return how a writer cuts a file of *size* bytes in many segments."""
        segment = round_up(MDMF_SEGMENT_SIZE, max(needed, 1))
        return cls(size, needed, total, segment, True)

    def check_readable(self) -> None:
        """
        Refuse a file whose segments would take too much memory.

        Ask this of what a good signature covers.  :raises SegmentTooLarge:
        """
        if min(self.size, self.segment_size) > MAX_SEGMENT_SIZE:
            raise SegmentTooLarge(self.segment_size)

    @property
    def segments(self) -> int:
        """How many segments the file has."""
        return -(-self.size // self.segment_size) if self.size else 0

    @property
    def leaves(self) -> int:
        """The leaves of a block tree: that of an empty file has one, of padding."""
        return max(self.segments, 1)

    @property
    def salt_size(self) -> int:
        """Bytes in front of each block."""
        return SALT_SIZE if self.salted else 0

    @property
    def block_size(self) -> int:
        """Bytes of every block but the last."""
        return self.segment_size // self.needed

    @property
    def data_size(self) -> int:
        """Bytes of all blocks of one share, with their salts."""
        return self.block_offset(self.segments)

    def segment_length(self, segment: int) -> int:
        """Return the bytes of ciphertext in *segment*, without padding."""
        return min(self.segment_size, self.size - segment * self.segment_size)

    def block_length(self, segment: int) -> int:
        """Return the bytes of each block of *segment*, without its salt."""
        return -(-self.segment_length(segment) // self.needed)

    def block_offset(self, segment: int) -> int:
        """Return where the salt or block of *segment* is among a share's blocks."""
        at = segment * (self.block_size + self.salt_size)
        if segment and segment == self.segments:
            at -= self.block_size - self.block_length(segment - 1)
        return at
