"""
Pieces of all shares of a file, made by somebody who has its ciphertext and no shares.

A byte of a block depends on the bytes at the same place in the k primary blocks of its
segment, and on nothing else.  So a few short pieces of these, at random places that nobody
else knows, are enough to tell what every share holds there.  Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field, frozen

from truckee.codec import erasure
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import Buffer
from truckee.immutable.samples import Part

# Places in a file; each share is compared at one of them.
_PLACES = 8
_PIECE = 256  # bytes at most
_ALL_PIECES = 1 << 16  # bytes at most of the pieces of primary blocks that are kept


@frozen(eq=False)
class _Place:
    segment: int
    start: int  # in each block
    primary: bytes = field(repr=False)  # the pieces of the k primary blocks


@define(eq=False)
class CiphertextSamples:
    """Takes the ciphertext of one file in order; keeps no more than a segment of it."""

    _encoding: Encoding
    _segment_size: int  # bytes
    _random: Callable[[int], bytes] = field(repr=False)
    _places: list[_Place] = field(factory=list, init=False, repr=False)
    _segment: int = field(default=0, init=False)  # the one that is not complete
    _chunks: list[memoryview] = field(factory=list, init=False, repr=False)  # of it
    _held: int = field(default=0, init=False)  # bytes of it
    _size: int = field(default=0, init=False)  # bytes so far

    def feed(self, data: Buffer) -> None:
        """Add the next bytes, which stay as they are."""
        view = memoryview(data)
        self._size += len(view)
        while view:
            part = view[: self._segment_size - self._held]
            self._chunks.append(part)
            self._held += len(part)
            view = view[len(part) :]
            if self._held == self._segment_size:
                self._end_segment()

    def pieces(self) -> list[Part]:
        """
        Return of each share a piece of its blocks, and its offset from the first block.

        No bytes can follow, and there must have been one.  It codes, so it is for the
        workers.
        """
        if self._held:
            self._end_segment()
        total = self._encoding.total
        size = self._encoding.geometry(self._size).block_size
        coded = [
            (place.segment * size + place.start, self._coded(place.primary))
            for place in self._places
        ]
        chosen = [coded[self._below(len(coded))] for _ in range(total)]
        return [
            (offset, bytes(blocks[share])) for share, (offset, blocks) in enumerate(chosen)
        ]

    def _coded(self, primary: bytes) -> Sequence[Buffer]:
        return erasure.encode(primary, self._encoding.needed, self._encoding.total)

    def _end_segment(self) -> None:
        """Choose places in it; in the end each segment was equally likely to have them."""
        number, chunks, length = self._segment, self._chunks, self._held
        self._segment, self._chunks, self._held = number + 1, [], 0
        taken = [
            slot for slot in range(_PLACES) if not number or not self._below(number + 1)
        ]
        if not taken:
            return
        needed = self._encoding.needed
        block = -(-length // needed)
        segment = b"".join(chunks).ljust(block * needed, b"\0")
        for slot in taken:
            self._places[slot : slot + 1] = [self._place(number, segment, block)]

    def _place(self, number: int, segment: bytes, block: int) -> _Place:
        needed = self._encoding.needed
        size = min(block, _PIECE, _ALL_PIECES // (_PLACES * needed))
        start = self._below(block - size + 1)
        starts = range(start, len(segment), block)
        pieces = [segment[at : at + size] for at in starts]
        return _Place(number, start, b"".join(pieces))

    def _below(self, count: int) -> int:
        return int.from_bytes(self._random(8), "big") % count
