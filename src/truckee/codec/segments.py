"""Cutting a stream into pieces of one size.  Source: formats, "Segmentation"."""

from __future__ import annotations

from attrs import define, field

from truckee.codec.hashes import Buffer


@define(eq=False)
class Segmenter:
    """
    Feed chunks of any size; take whole pieces out.

    Every piece is *piece_size* bytes but the last, which may be shorter and is never
    empty.  Bytes are copied once; a piece is the caller's to keep.
    """

    piece_size: int  # bytes, > 0
    _held: bytearray = field(factory=bytearray, init=False, repr=False)

    def feed(self, chunk: Buffer) -> list[bytearray]:
        """Return the pieces that *chunk* completes, in order."""
        pieces: list[bytearray] = []
        view = memoryview(chunk)
        while len(self._held) + len(view) >= self.piece_size:
            taken = self.piece_size - len(self._held)
            self._held += view[:taken]
            pieces.append(self._held)
            self._held = bytearray()
            view = view[taken:]
        self._held += view
        return pieces

    def finish(self) -> bytearray:
        """Return what is left, possibly nothing.  Call it once, after the last chunk."""
        rest, self._held = self._held, bytearray()
        return rest

    @property
    def held(self) -> int:
        """Bytes waiting for a piece to fill."""
        return len(self._held)
