"""The hashes of the blocks of an upload, by where they stand in their shares."""

from __future__ import annotations

from attrs import define, field

from truckee.codec.encoder import EncodedSegment, FileEncoder


@define(eq=False)
class BlockHashes:
    """
    Of all blocks that were coded, while the file grows.

    Pure: what is coded and not absorbed yet is here, the rest in the encoder.
    """

    _encoder: FileEncoder
    _data: int  # the offset of the first block in a share
    _block: int  # bytes of a block, but for the last
    _coded: dict[int, EncodedSegment] = field(factory=dict, init=False, repr=False)
    _last: int | None = field(default=None, init=False)  # a segment with shorter blocks
    _shorter: int = field(default=0, init=False)  # bytes of these

    def add(self, segment: int, encoded: EncodedSegment) -> None:
        """Take those of a segment, until ``absorbed``."""
        self._coded[segment] = encoded
        size = len(encoded.blocks[0])
        if size != self._block:
            self._last, self._shorter = segment, size

    def absorbed(self, segment: int) -> None:
        """The encoder has those of a segment now."""
        del self._coded[segment]

    def of(self, share: int, offset: int, size: int) -> bytes | None:
        """Return the hash of a block of *share*; None: no block has this place and size."""
        segment, between = divmod(offset - self._data, self._block)
        expected = self._shorter if segment == self._last else self._block
        if segment < 0 or between or size != expected:
            return None
        coded = self._coded.get(segment)
        if coded is not None:
            return coded.block_hashes[share]
        return self._encoder.block_hash(share, segment)
