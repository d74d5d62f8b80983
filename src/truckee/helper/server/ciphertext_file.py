"""
Ciphertext that waits on a helper's disk, one file an upload.

It is appended to and read, and its length is all there is to know of it: whatever kills the
process, what was acknowledged is there.  It is not synced; the docs say what that means.
"""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from attrs import define, field

from truckee.codec.hashes import Buffer
from truckee.flow.cpu import Workers
from truckee.flow.durable import disk_faults, sync_directory
from truckee.helper.errors import HelperFull

_CHUNK = 1 << 20  # bytes that are hashed at once


def disk_full() -> AbstractContextManager[None]:
    """:raises HelperFull: when the disk takes nothing more of what is done here."""
    # A gateway is not told more: what is wrong with it is the operator's.
    return disk_faults(lambda _fault: HelperFull())


@define(eq=False)
class CiphertextFile:
    """One such file.  ``open`` it, and ``close``, ``move`` or ``delete`` it in the end."""

    path: Path
    _disk: Workers
    size: int = field(default=0, init=False)  # bytes in it
    _hasher: Any = field(factory=hashlib.sha256, init=False, repr=False)
    _hashed: int = field(default=0, init=False)  # bytes from the start that it has
    _descriptor: int = field(default=-1, init=False)

    async def open(self) -> None:
        """Make it, or find what is in it.  :raises HelperFull:"""
        await self._disk.run(self._open)

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        with disk_full():
            self._descriptor = os.open(self.path, flags, 0o600)
        self.size = os.fstat(self._descriptor).st_size

    async def append(self, data: Buffer) -> None:
        """Add *data*.  :raises HelperFull: with nothing added."""
        await self._disk.run(self._append, data)

    def _append(self, data: Buffer) -> None:
        view, offset = memoryview(data), self.size
        with disk_full():
            try:
                while view:
                    written = os.pwrite(self._descriptor, view, offset)
                    offset += written
                    view = view[written:]
            except OSError:
                os.ftruncate(self._descriptor, self.size)
                raise
        self.size = offset

    async def read(self, offset: int, length: int) -> bytes:
        """Return *length* bytes at *offset*, fewer at the end."""
        return await self._disk.run(os.pread, self._descriptor, length, offset)

    async def digest(self) -> bytes:
        """Return SHA-256 of all that is in it; empty when there is nothing."""
        return await self._disk.run(self._digest) if self.size else b""

    def _digest(self) -> bytes:
        # Only what came since the last time: a line may break often under a large file.
        while self._hashed < self.size:
            length = min(_CHUNK, self.size - self._hashed)
            piece = os.pread(self._descriptor, length, self._hashed)
            if not piece:
                raise OSError(errno.EIO, "the file became shorter")
            self._hasher.update(piece)
            self._hashed += len(piece)
        digest: bytes = self._hasher.digest()
        return digest

    async def move(self, path: Path) -> None:
        """Give it another name, for good.  :raises HelperFull:"""
        await self._disk.run(self._move, path)

    def _move(self, path: Path) -> None:
        with disk_full():
            os.fsync(self._descriptor)
            os.rename(self.path, path)
            self.path = path
            sync_directory(path.parent)

    def close(self) -> None:
        """Keep the file and give it up; may be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor != -1:
            os.close(descriptor)

    def delete(self) -> None:
        """Remove the file; may be called twice."""
        self.close()
        self.path.unlink(missing_ok=True)
