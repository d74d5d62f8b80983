"""
The bytes of an upload that is open, on this disk and encrypted.

Source: ``docs/formats/open-uploads.md``, "The log".
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from struct import Struct
from struct import error as StructError

from attrs import define, field, frozen

from truckee.codec.cipher import crypt
from truckee.codec.hashes import Buffer
from truckee.flow.cpu import Workers
from truckee.flow.durable import sync_data, sync_directory
from truckee.flow.spool import disk_full
from truckee.uploads.log_file import LogFile

HEADER_SIZE = 4096  # bytes before the data
_MAGIC = b"truckee1"
# Magic, synced, staged, which start of the machine, when the last byte came.
_HEADER = Struct(">8sQQ16sd")
_NOWHERE = (1 << 64) - 1


def digest_of_boot(boot_id: bytes) -> bytes:
    """Return which start of the machine this is, as logs name it."""
    return hashlib.sha256(boot_id).digest()[:16] if boot_id else bytes(16)


@frozen
class FoundLog:
    """What is in a log that a process left."""

    size: int  # bytes that count
    lost: bool  # bytes that were there do not


@define(eq=False)
class UploadLog:
    """
    Append bytes, and read them as often as need be.  One caller at a time changes it.

    ``open`` it, and ``close`` or ``remove`` it in the end.  It takes a descriptor while it
    is used, and while it has bytes that are not synced.
    """

    path: Path
    _key: bytes = field(repr=False)  # 16 bytes
    _boot: bytes  # see digest_of_boot
    _disk: Workers
    _now: Callable[[], float] = lambda: 0.0  # Unix seconds; 0: it is not recorded
    # When the last byte came, as was recorded; 0: that is not known.
    touched: float = field(default=0.0, init=False)
    size: int = field(default=0, init=False)  # bytes that count
    unsynced: int = field(default=0, init=False)  # of these, at the end
    _staged: int | None = field(default=None, init=False)  # where those not checked end
    _file: LogFile = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._file = LogFile(self.path, self._is_unsafe)

    def _is_unsafe(self) -> bool:
        return self.unsynced > 0 or self._staged is not None

    @property
    def is_open(self) -> bool:
        """Whether it takes a descriptor now."""
        return self._file.is_open

    @property
    def held(self) -> int:
        """Bytes that it has, with those that do not count yet."""
        return self.size if self._staged is None else self._staged

    async def look(self) -> FoundLog:
        """
        Return what ``open`` will find, and change nothing.

        One that is not there has lost all that anybody thinks is in it.
        """
        return await self._disk.run(self._look)

    def _look(self) -> FoundLog:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            os.stat(self.path.parent)  # without its directory that says nothing
            return FoundLog(0, True)
        try:
            there = _there(descriptor)
            found = self._counting(descriptor, there)
        finally:
            os.close(descriptor)
        return FoundLog(found or 0, found != there)

    async def open(self) -> None:
        """Make it, or find what is in it.  :raises SpoolDiskFull:"""
        await self._disk.run(self._open)

    def _open(self) -> None:
        with disk_full(), self._file.use(os.O_CREAT) as descriptor:
            self.size = self._counting(descriptor, _there(descriptor)) or 0
            self.touched = self.touched or self._now()
            os.ftruncate(descriptor, HEADER_SIZE + self.size)
            self._sync(_NOWHERE)
            sync_directory(self.path.parent)

    def _counting(self, descriptor: int, there: int) -> int | None:
        """Return how many of the bytes that are *there* count; None: it is no log (yet)."""
        try:
            head = os.pread(descriptor, _HEADER.size, 0)
            magic, synced, staged, boot, touched = _HEADER.unpack(head)
        except StructError:
            return None
        if magic != _MAGIC:
            return None
        # Damaged, it may be no number at all.
        self.touched = touched if 0.0 < touched < 1e12 else 0.0
        alive = boot == self._boot and any(boot)
        return int(min(there, staged, there if alive else synced))

    async def append(self, data: Buffer) -> None:
        """Add *data*.  :raises SpoolDiskFull: with nothing added."""
        await self._disk.run(self._append, data)

    def _append(self, data: Buffer) -> None:
        # In the thread, so that what was written counts when the caller is cancelled.
        with disk_full(), self._file.use():
            self._write(data, self.size)
            self.touched = self._now()
            self.size += len(data)
            self.unsynced += len(data)

    async def stage(self, data: Buffer) -> None:
        """Add *data*, which counts with all that was staged when ``commit`` is called."""
        await self._disk.run(self._stage, data)

    def _stage(self, data: Buffer) -> None:
        with disk_full(), self._file.use():
            if self._staged is None:
                self._staged = self.size
                self._write_head(self.size - self.unsynced, self.size)
            self._write(data, self._staged)
            self._staged += len(data)

    async def commit(self) -> None:
        """Let what was staged count."""
        await self._disk.run(self._commit)

    def _commit(self) -> None:
        if self._staged is not None:
            self.unsynced += self._staged - self.size
            self.size, self._staged = self._staged, None
            self.touched = self._now()
            self._sync(_NOWHERE)

    async def drop(self) -> None:
        """Forget what was staged."""
        await self._disk.run(self._drop)

    def _drop(self) -> None:
        if self._staged is not None:
            with self._file.use() as descriptor:
                self._staged = None
                os.ftruncate(descriptor, HEADER_SIZE + self.size)
                self._write_head(self.size - self.unsynced, _NOWHERE)

    async def sync(self) -> None:
        """Return when all that counts outlives a power cut."""
        if self.unsynced:
            with disk_full():
                await self._disk.run(self._sync, _NOWHERE)

    async def read(self, offset: int, length: int) -> bytes:
        """Return *length* bytes at *offset*, fewer at the end."""
        return await self._disk.run(self._read, offset, min(length, self.size - offset))

    async def read_all(self, piece: int) -> AsyncIterator[bytes]:
        """Give all bytes, *piece* at a time."""
        for offset in range(0, self.size, piece):
            yield await self.read(offset, piece)

    def close(self) -> None:
        """Leave it as it is."""
        self._file.close()

    async def remove(self) -> None:
        """Close it and give its space back.  May be called twice."""
        await self._disk.run(self._remove)

    def _remove(self) -> None:
        try:
            self.path.unlink(missing_ok=True)
        finally:
            self.close()

    def _write(self, data: Buffer, offset: int) -> None:
        view, place = memoryview(crypt(self._key, offset, data)), HEADER_SIZE + offset
        with self._file.use() as descriptor:
            if os.fstat(descriptor).st_size < place:
                raise _cut()  # a hole would be read as bytes
            try:
                while view:
                    written = os.pwrite(descriptor, view, place)
                    place += written
                    view = view[written:]
            except OSError:
                os.ftruncate(descriptor, HEADER_SIZE + offset)
                raise

    def _read(self, offset: int, length: int) -> bytes:
        with disk_full(), self._file.use() as descriptor:
            found = os.pread(descriptor, length, HEADER_SIZE + offset)
        if len(found) < length:
            raise _cut()
        return crypt(self._key, offset, found)

    def _sync(self, staged: int) -> None:
        size = self.size
        with self._file.use() as descriptor:
            sync_data(descriptor)
            self._write_head(size, staged)
            sync_data(descriptor)
            self.unsynced = self.size - size

    def _write_head(self, synced: int, staged: int) -> None:
        head = _HEADER.pack(_MAGIC, synced, staged, self._boot, self.touched)
        with self._file.use() as descriptor:
            os.pwrite(descriptor, head, 0)


def _there(descriptor: int) -> int:
    return max(0, os.fstat(descriptor).st_size - HEADER_SIZE)


def _cut() -> OSError:
    return OSError(errno.EIO, "an upload's log was cut by somebody else")
