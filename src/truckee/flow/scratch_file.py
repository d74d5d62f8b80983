"""
A file of bytes at any place that only this process can read, and that ends with it.

It has no name, and what is on the disk is encrypted under a key that is only in memory.
Two contents of one place must not share a key stream: whoever finds both, in an old copy of
a block of the disk, would have what they differ in.  So a block whose bytes are written a
second time is written as a whole, under the next generation of its key stream.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from attrs import define, field

from truckee.codec.cipher import crypt
from truckee.codec.hashes import Buffer
from truckee.errors import Misuse
from truckee.flow.byte_ranges import ByteRanges
from truckee.flow.cpu import Workers
from truckee.flow.limits import Exclusive
from truckee.flow.spool import disk_full, open_nameless

# What is written again when a byte of it is.
BLOCK = 16 << 10  # bytes
# The key stream of each generation of a block is so far from that of the one before.
_GENERATION = 1 << 64  # bytes
# Disjoint ranges that are remembered.
MOST_RANGES = 1 << 16


@define
class TooScattered(Misuse):
    """
    The file was written in more than {limit} separate places. Write it in order, or close
    it now and then.
    """

    limit: int = MOST_RANGES


@define(eq=False)
class ScratchFile:
    """Write bytes anywhere, read what was written.  Whoever opens it closes it."""

    _disk: Workers
    _directory: str
    written: ByteRanges = field(factory=ByteRanges, init=False)
    # Whose key stream was used in the block's generation, whether they still count or not.
    _used: ByteRanges = field(factory=ByteRanges, init=False)
    _generations: dict[int, int] = field(factory=dict, init=False)  # by block; else 0
    _key: bytes = field(factory=lambda: os.urandom(16), init=False, repr=False)
    _descriptor: int = field(default=-1, init=False)
    _closed: bool = field(default=False, init=False)
    _turns: Exclusive = field(factory=Exclusive, init=False)

    async def write(self, pieces: Sequence[tuple[int, Buffer]]) -> None:
        """
        Write each piece at its offset, one after the other.

        :raises SpoolDiskFull: :raises TooScattered: when some of them may be written.
        """
        async with self._turns.hold(None):
            with disk_full():
                scattered = await self._disk.run(self._write_all, pieces)
            # Here, as whoever looks at them does not wait for a thread.
            for offset, data in pieces:
                self.written.add(offset, offset + len(data))
        if max(len(self.written), scattered) > MOST_RANGES:
            raise TooScattered

    async def read(self, offset: int, length: int) -> bytes:
        """Return *length* bytes at *offset*, all of which were written."""
        async with self._turns.hold(None):
            with disk_full():
                return await self._disk.run(self._read, offset, length)

    def cut(self, size: int) -> None:
        """Nothing from byte *size* on counts any more."""
        self.written.cut(size)

    async def close(self) -> None:
        """Give the space back, once nobody reads or writes."""
        async with self._turns.hold(None):
            self._closed = True
            if self._descriptor != -1:
                os.close(self._descriptor)
                self._descriptor = -1

    # In the disk's threads, one at a time:

    def _write_all(self, pieces: Sequence[tuple[int, Buffer]]) -> int:
        """Return how many ranges were used."""
        if self._closed:
            raise OSError(errno.EBADF, "the scratch file is closed")
        if self._descriptor == -1:
            self._descriptor = open_nameless(self._directory)
        for offset, data in pieces:
            view = memoryview(data)
            end = offset + len(view)
            for start, stop, again in self._parts(offset, end):
                part = view[start - offset : stop - offset]
                if again:
                    self._rewrite(start, part)
                else:
                    self._put(start, part)
            if len(self._used) > MOST_RANGES:
                break
        return len(self._used)

    def _parts(self, start: int, end: int) -> list[tuple[int, int, bool]]:
        """Return the parts of a write, and whether they are in blocks that start anew."""
        parts: list[tuple[int, int, bool]] = []
        runs = [(s, e) for s, e, used in self._used.runs(start, end) if used]
        for first, last in runs:
            low, high = first - first % BLOCK, -(-last // BLOCK) * BLOCK
            low, high = max(low, start), min(high, end)
            if low > start:
                parts.append((start, low, False))
            begin = max(low, start)
            while begin < high:
                stop = min(high, begin - begin % BLOCK + BLOCK)
                parts.append((begin, stop, True))
                begin = stop
            start = max(start, high)
        if start < end:
            parts.append((start, end, False))
        return parts

    def _put(self, offset: int, data: memoryview) -> None:
        """Write bytes whose key stream was not used, in blocks of any generations."""
        end = offset + len(data)
        self._used.add(offset, end)
        if not self._generations:
            self._write(offset, crypt(self._key, offset, data))
            return
        start = offset
        while start < end:
            stop = min(end, start - start % BLOCK + BLOCK)
            place = self._stream(start)
            part = data[start - offset : stop - offset]
            self._write(start, crypt(self._key, place, part))
            start = stop

    def _rewrite(self, offset: int, data: memoryview) -> None:
        """Write bytes of one block that has some of them, under its next generation."""
        start = offset - offset % BLOCK
        block = bytearray(self._block(start))
        block[offset - start : offset - start + len(data)] = data
        number = start // BLOCK
        self._generations[number] = self._generations.get(number, 0) + 1
        self._used.add(start, start + BLOCK)
        self._write(start, crypt(self._key, self._stream(start), block))

    def _block(self, start: int) -> bytes:
        found = os.pread(self._descriptor, BLOCK, start)
        found += bytes(BLOCK - len(found))
        return crypt(self._key, self._stream(start), found)

    def _stream(self, offset: int) -> int:
        """Return where in the key stream the byte at *offset* is."""
        return offset + _GENERATION * self._generations.get(offset // BLOCK, 0)

    def _write(self, offset: int, data: Buffer) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            offset += written
            view = view[written:]

    def _read(self, offset: int, length: int) -> bytes:
        if not self._generations:
            found = os.pread(self._descriptor, length, offset)
            if len(found) < length:
                raise OSError(errno.EIO, "the scratch file was cut by somebody else")
            return crypt(self._key, offset, found)
        parts, end = list[bytes](), offset + length
        while offset < end:
            start = offset - offset % BLOCK
            stop = min(end, start + BLOCK)
            parts.append(self._block(start)[offset - start : stop - start])
            offset = stop
        return b"".join(parts)
