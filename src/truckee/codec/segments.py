"""Cutting a stream into pieces of one size.  Source: formats, "Segmentation"."""

from __future__ import annotations

from attrs import define, field

from truckee.codec.hashes import Buffer


@define(eq=False)
class Segmenter:
    """
    Feed chunks of any size; take whole pieces out.

    Every piece is *piece_size* bytes but the last, which may be shorter and is never
    empty.  A piece is the caller's to keep.  Bytes are copied once, and not at all when a
    bytearray comes that is a whole piece.  Another *piece_size* counts from the next piece
    that begins.
    """

    piece_size: int  # bytes, > 0
    # Made at its full size: the system gives memory as it is filled, and nothing moves.
    _piece: bytearray = field(factory=bytearray, init=False, repr=False)
    held: int = field(default=0, init=False)  # bytes waiting for a piece to fill

    def feed(self, chunk: Buffer) -> list[bytearray]:
        """Return the pieces that *chunk* completes, in order."""
        if isinstance(chunk, bytearray) and len(chunk) == self.piece_size and not self.held:
            return [chunk]
        pieces: list[bytearray] = []
        view = memoryview(chunk)
        while view:
            if not self.held:
                self._piece = bytearray(self.piece_size)
            taken = min(len(view), len(self._piece) - self.held)
            self._piece[self.held : self.held + taken] = view[:taken]
            self.held += taken
            view = view[taken:]
            if self.held == len(self._piece):
                pieces.append(self.finish())
        return pieces

    def finish(self) -> bytearray:
        """Return what is left, possibly nothing.  Call it once, after the last chunk."""
        piece, self._piece = self._piece, bytearray()
        del piece[self.held :]
        self.held = 0
        return piece
