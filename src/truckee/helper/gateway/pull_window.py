"""
The ciphertext between a client that brings it and a helper that pulls it.  Pure.

Source: ``docs/formats/helper-stock.md``, "How a stock helper pulls".
"""

from __future__ import annotations

from collections import deque

from attrs import define, field

from truckee.codec.hashes import Buffer
from truckee.helper.gateway.push_session import HelperForgot

# Bytes that are kept although the helper's process has them: when it is killed, what its
# buffer held is lost.
KEPT = 256 * 1024


@define(eq=False)
class PullWindow:
    """Bytes stay from ``feed`` until the helper asks for later ones, and a bit longer."""

    size: int  # bytes of the file
    fed: int = field(default=0, init=False)  # bytes that came so far
    arrived: int = field(default=0, init=False)  # the helper has all below
    sent: int = field(default=0, init=False)  # it was given all below
    # Pieces by offset, adjacent.
    _pieces: deque[tuple[int, memoryview]] = field(factory=deque, init=False, repr=False)

    @property
    def waiting(self) -> int:
        """Bytes that the helper was not given yet."""
        return max(0, self.fed - self.sent)

    @property
    def first(self) -> int:
        """Offset of the first byte that is still here."""
        return self._pieces[0][0] if self._pieces else self.fed

    def feed(self, data: Buffer) -> None:
        """Take the next bytes, which stay unchanged."""
        self._pieces.append((self.fed, memoryview(data)))
        self.fed += len(data)
        self._drop()

    def skip(self) -> None:
        """The helper has all of the file."""
        self.arrived = self.sent = self.size
        self._drop()

    def pull(self, offset: int, length: int, most: int) -> bytes | None:
        """
        Return the bytes at *offset* that the helper asks for, *most* at once.

        None: they have not come yet.  No bytes: it asks for none.  :raises ValueError: when
        there are none such.  :raises HelperForgot: when they are here no more.
        """
        if not 0 <= offset <= self.size or length < 0:
            raise ValueError(f"{length} bytes at {offset} are not of this file")
        if offset < self.first:
            raise HelperForgot(offset, self.first)
        self.arrived = self.sent = offset
        self._drop()
        length = min(length, most, self.size - offset)
        if not length:
            return b""
        if self.fed <= offset:
            return None
        data = self._read(offset, length)
        self.sent += len(data)
        return data

    def _drop(self) -> None:
        while self._pieces:
            offset, piece = self._pieces[0]
            if offset + len(piece) > self.arrived - KEPT:
                return
            self._pieces.popleft()

    def _read(self, offset: int, length: int) -> bytes:
        parts: list[memoryview] = []
        for start, piece in self._pieces:
            if start >= offset + length:
                break
            parts.append(piece[max(0, offset - start) : max(0, offset + length - start)])
        return b"".join(parts)
