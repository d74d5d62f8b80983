"""
How a file is cut into segments and blocks.  Source: formats, "Segmentation".
"""

from __future__ import annotations

from attrs import field, frozen

# The largest number of shares the erasure code can make: one for each value of a byte.
MAX_SHARES = 256
DEFAULT_SEGMENT_SIZE = 1 << 20  # bytes; what stock clients write since 1.15
# What a segment may be when somebody else wrote the file.  A reader holds k blocks and
# one decoded segment, so this bounds its memory.
MAX_SEGMENT_SIZE = 64 << 20
LITERAL_LIMIT = 55  # bytes; a file this short lives in its cap


def round_up(number: int, multiple: int) -> int:
    """Return the least multiple of *multiple* that is not below *number*."""
    return -(-number // multiple) * multiple


@frozen
class Encoding:
    """How a gateway encodes new files: k, N and the largest segment."""

    needed: int = 3  # k
    total: int = 10  # N
    max_segment_size: int = DEFAULT_SEGMENT_SIZE  # bytes

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.needed <= self.total <= MAX_SHARES:
            raise ValueError(
                f"shares must be 1 <= needed <= total <= {MAX_SHARES}, "
                f"not {self.needed}-of-{self.total}"
            )
        if not 1 <= self.max_segment_size <= MAX_SEGMENT_SIZE:
            raise ValueError(f"segment size must be 1 to {MAX_SEGMENT_SIZE} bytes")

    @property
    def streaming_segment_size(self) -> int:
        """Bytes in a segment when the size of the file is not known yet."""
        return round_up(self.max_segment_size, self.needed)

    def coded_size(self, segment_size: int) -> int:
        """Return the bytes of a segment together with its N blocks."""
        return segment_size * (self.needed + self.total) // self.needed

    def geometry(self, size: int) -> Geometry:
        """Return how a file of *size* bytes (at least 1) is cut."""
        segment_size = round_up(min(size, self.max_segment_size), self.needed)
        return Geometry(size, self.needed, self.total, segment_size)


@frozen
class Geometry:
    """The sizes of one file's parts, all in bytes."""

    size: int  # of the plaintext and of the ciphertext, >= 1
    needed: int  # k
    total: int  # N
    segment_size: int  # of every segment but the last; a multiple of k

    segments: int = field(init=False)
    tail_size: int = field(init=False)  # of the last segment, 1..segment_size
    block_size: int = field(init=False)  # of every block but the last
    tail_block_size: int = field(init=False)
    share_data_size: int = field(init=False)  # of all blocks of one share

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.needed <= self.total <= MAX_SHARES or self.size < 1:
            raise ValueError("impossible number of shares or size")
        if self.segment_size < 1 or self.segment_size % self.needed:
            raise ValueError("the segment size is not a multiple of k")
        segments = -(-self.size // self.segment_size)
        tail = self.size - (segments - 1) * self.segment_size
        block = self.segment_size // self.needed
        tail_block = -(-tail // self.needed)
        assign = object.__setattr__
        assign(self, "segments", segments)
        assign(self, "tail_size", tail)
        assign(self, "block_size", block)
        assign(self, "tail_block_size", tail_block)
        assign(self, "share_data_size", (segments - 1) * block + tail_block)

    @property
    def padded_tail_size(self) -> int:
        """Bytes of the last segment with its padding, a multiple of k."""
        return self.tail_block_size * self.needed

    def segment_length(self, segment: int) -> int:
        """Return the bytes of ciphertext in *segment*, without padding."""
        return self.tail_size if segment == self.segments - 1 else self.segment_size

    def block_length(self, segment: int) -> int:
        """Return the bytes of each block of *segment*."""
        return self.tail_block_size if segment == self.segments - 1 else self.block_size
