"""A directory that one process uses at a time, and whether it is still where it was."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from attrs import define, field


@define
class AlreadyLocked(Exception):
    """Another process, or another part of this one, has the directory."""

    pid: str  # in digits; empty: it did not say


@define(eq=False)
class LockedDirectory:
    """
    Locked until it is released or the process ends, however it ends.

    The lock is on the directory itself and on a file in it that names the process: a
    read-only disk permits the first one only, some network file systems only the second.
    While it is locked its file system is in use, and is not unmounted without force.
    """

    path: Path
    _name: str
    _directory: int
    _file: int  # -1: there is none
    _owned: bool = field(default=False, init=False)
    _released: bool = field(default=False, init=False)

    @classmethod
    def acquire(cls, path: Path, name: str) -> LockedDirectory:
        """
        Lock the directory *path* by the file *name* in it; blocks for a moment.

        :raises AlreadyLocked: :raises OSError: when there is no such directory.
        """
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        locked = cls(path, name, os.open(path, flags), _open(path / name))
        try:
            locked._lock()
        except BaseException:
            locked.release()
            raise
        return locked

    def _lock(self) -> None:
        for descriptor in (self._file, self._directory):
            if descriptor == -1:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyLocked(self._holder()) from None
            except OSError:
                # Network file systems have no locks on directories, and some have none.
                if descriptor == self._file:
                    raise
        self._owned = True
        self._write(b"%d\n" % os.getpid())

    def _holder(self) -> str:
        if self._file == -1:
            return ""
        text = os.pread(self._file, 20, 0).decode("latin-1")
        return "".join(filter(str.isdigit, text))

    def _write(self, text: bytes) -> None:
        """Say who has it, for people; a full disk has no room for it."""
        with suppress(OSError):
            # Not kept open: a file that is open for writing keeps a disk writable.
            descriptor = os.open(self.path / self._name, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.pwrite(descriptor, text, 0)
                os.ftruncate(descriptor, len(text))
            finally:
                os.close(descriptor)

    def is_there(self) -> bool:
        """Tell whether its path still leads to it; blocks for a moment."""
        try:
            here = os.stat(self.path)
            there = os.fstat(self._directory)
        except OSError:
            return False
        return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)

    def release(self) -> None:
        """Let another process have it; may be called twice."""
        if self._released:
            return
        self._released = True
        if self._file != -1:
            if self._owned and self.is_there():
                self._write(b"")
            os.close(self._file)
        os.close(self._directory)


def _open(path: Path) -> int:
    """Return a descriptor of the lock file; -1 when the disk permits none."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    with suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600))
    with suppress(OSError):
        return os.open(path, os.O_RDONLY | flags)
    return -1
