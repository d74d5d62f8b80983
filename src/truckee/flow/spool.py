"""
A file of bytes that only this process can read, and that ends with it.

It has no name and its contents are encrypted under a key that is only in memory: when
the process dies at any moment, the space is free and what was on the disk is noise.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager

from attrs import define, field

from truckee.codec.cipher import crypt
from truckee.codec.hashes import Buffer
from truckee.errors import Misuse, Unavailable
from truckee.flow.cpu import Workers
from truckee.flow.durable import DiskFault, disk_faults


@define
class SpoolFull(Misuse):
    """
    The file is larger than the {limit} bytes that this gateway spools for one upload. Send
    it with a Content-Length and key=random, which needs no spool, or raise [client]
    upload.spool-limit in tahoe.cfg.
    """

    limit: int  # bytes


@define
class SpoolDiskFull(Unavailable):
    """
    The gateway's own disk has no space left to spool this upload. Send the file with a
    Content-Length and key=random, which needs no spool, or free some space in the node
    directory.
    """


@define
class SpoolUnusable(SpoolDiskFull):
    """
    The gateway cannot write to its node directory: {reason}. Send the file with a
    Content-Length and key=random, which needs no spool, or have its operator mend the disk.
    """

    reason: str


def disk_full() -> AbstractContextManager[None]:
    """:raises SpoolDiskFull: when the disk takes nothing more of what is done here."""
    return disk_faults(_refusal)


def _refusal(fault: DiskFault) -> SpoolDiskFull:
    return SpoolDiskFull() if fault is DiskFault.FULL else SpoolUnusable(fault.value)


def open_nameless(directory: str) -> int:
    """Return a descriptor of a new file that has no name (any more)."""
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except (AttributeError, OSError):
        # Not Linux, or a file system without O_TMPFILE.
        descriptor, path = tempfile.mkstemp(dir=directory, prefix="spool-")
        os.unlink(path)
        return descriptor


def _write(descriptor: int, key: bytes, offset: int, data: Buffer) -> None:
    view = memoryview(crypt(key, offset, data))
    while view:
        written = os.pwrite(descriptor, view, offset)
        offset += written
        view = view[written:]


def _read(descriptor: int, key: bytes, offset: int, length: int) -> bytes:
    return crypt(key, offset, os.pread(descriptor, length, offset))


@define(eq=False)
class Spool:
    """Append bytes, then read them from the start.  Whoever opens it closes it."""

    _disk: Workers
    _directory: str
    limit: int  # bytes
    size: int = field(default=0, init=False)
    _key: bytes = field(factory=lambda: os.urandom(16), init=False, repr=False)
    _descriptor: int = field(default=-1, init=False)

    async def append(self, data: Buffer) -> None:
        """
        Add *data* at the end.

        :raises SpoolFull: when the limit is passed.  :raises SpoolDiskFull:
        """
        if self.size + len(data) > self.limit:
            raise SpoolFull(self.limit)
        with disk_full():
            if self._descriptor == -1:
                await self._disk.run(self._open)
            await self._disk.run(_write, self._descriptor, self._key, self.size, data)
        self.size += len(data)

    async def read(self, piece: int) -> AsyncIterator[bytes]:
        """Give all bytes, *piece* at a time."""
        for offset in range(0, self.size, piece):
            yield await self._disk.run(_read, self._descriptor, self._key, offset, piece)

    def _open(self) -> None:
        # In the thread, so that what was opened is known also when its caller is cancelled.
        self._descriptor = open_nameless(self._directory)

    def close(self) -> None:
        """Give the space back."""
        if self._descriptor != -1:
            os.close(self._descriptor)
            self._descriptor = -1
