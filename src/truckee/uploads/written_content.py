"""The bytes of a file that is being written: new ones, and those that it had before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import define, field

from truckee.codec.hashes import Buffer
from truckee.flow.scratch_file import ScratchFile

# For whoever appends: wherever the file ends then.
AT_END = -1


class Content(Protocol):
    """What a file had before it was written to."""

    @property
    def size(self) -> int:
        """How many bytes it has."""

    async def read(self, offset: int, length: int) -> bytes:
        """Return bytes that it has."""


@define(eq=False)
class WrittenContent:
    """What is in a scratch file, over what was there before; zeros in between."""

    _scratch: ScratchFile
    _base: Content | None = None
    size: int = field(default=0, init=False)  # bytes
    base_size: int = field(default=0, init=False)  # bytes of the base that still count

    def __attrs_post_init__(self) -> None:
        if self._base is not None:
            self.replace(self._base)

    def replace(self, base: Content) -> None:
        """Have *base*, and nothing else."""
        self._base, self.size, self.base_size = base, base.size, base.size

    async def write(self, asked: Sequence[tuple[int, Buffer]]) -> int:
        """Write each piece at its offset; return the lowest byte that was written."""
        size, pieces = self.size, list[tuple[int, Buffer]]()
        for offset, data in asked:
            start = size if offset == AT_END else offset
            pieces.append((start, data))
            size = max(size, start + len(data)) if len(data) else size
        await self._scratch.write(pieces)
        self.size = size
        return min(start for start, _ in pieces)

    def resize(self, size: int) -> int:
        """Cut it, or fill it up with zeros; return the lowest byte that is another one."""
        before, self.size = self.size, size
        self._scratch.cut(size)
        self.base_size = min(self.base_size, size)
        return min(size, before)

    async def read(self, offset: int, length: int) -> bytes:
        """Return bytes, fewer at the end."""
        end, parts = min(offset + length, self.size), list[bytes]()
        # As they are now: others write while this waits for the disk.
        for start, stop, written in list(self._scratch.written.runs(offset, end)):
            if written:
                parts.append(await self._scratch.read(start, stop - start))
                continue
            middle = min(stop, max(start, self.base_size))
            if middle > start:
                assert self._base is not None
                parts.append(await self._base.read(start, middle - start))
            parts.append(bytes(stop - middle))
        return b"".join(parts)

    def settled(self, position: int) -> int:
        """Return up to where the bytes from *position* on will hardly change any more."""
        written = self._scratch.written
        if position < self.base_size:
            # Somebody who writes behind what there was appends to it.
            lowest = written.lowest
            appends = lowest is not None and lowest >= self.base_size
            return self.base_size if appends else position
        return min(written.end_from(position), self.size)

    async def close(self) -> None:
        """Give the space back."""
        await self._scratch.close()
