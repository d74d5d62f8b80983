"""
Writes down what this process does to the files below one directory, in order.

The system's own calls are made, one at a time, so that the order written down is the order
in which they were done.
"""

from __future__ import annotations

import builtins
import io
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

from attrs import define, field

from tests.powercut.disk import Create, Mark, Names, Step, Sync, Truncate, Write


@define(eq=False)
class Recorder:
    """The steps of all that is done below *root* while it is ``recording``."""

    root: Path
    steps: list[Step] = field(factory=list)
    _names: dict[int, dict[str, int]] = field(factory=lambda: {0: {}})  # of directories
    _open: dict[int, int] = field(factory=dict)  # inodes by descriptor
    _count: int = 0
    _lock: Any = field(factory=RLock)
    _real: dict[str, Callable[..., Any]] = field(factory=dict)

    @property
    def disk_root(self) -> int:
        """The inode of the directory."""
        return 0

    def mark(self, promise: object) -> None:
        """Note that somebody relies on something from now on."""
        with self._lock:
            self.steps.append(Mark(promise))

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record inside this context; what is there already lasts."""
        self._take_over(self.root, 0)
        names = [name for name in vars(Recorder) if name.startswith("do_")]
        for name in (name.removeprefix("do_") for name in names):
            self._real[name] = getattr(os, name)
        opens = builtins.open
        try:
            for name in self._real:
                setattr(os, name, self._wrapped(name))
            io.open = builtins.open = self._wrapped_open(opens)
            yield
        finally:
            for name, real in self._real.items():
                setattr(os, name, real)
            io.open = builtins.open = opens

    def _take_over(self, place: Path, directory: int) -> None:
        for entry in sorted(os.scandir(place), key=lambda each: each.name):
            inode = self._new(entry.is_dir(follow_symlinks=False))
            self._link(directory, entry.name, inode)
            if entry.is_dir(follow_symlinks=False):
                self._take_over(Path(entry.path), inode)
            else:
                self.steps.append(Write(inode, 0, Path(entry.path).read_bytes()))
            self.steps.append(Sync(inode))
        self.steps.append(Sync(directory))

    def _wrapped(self, name: str) -> Callable[..., Any]:
        real, ours = self._real[name], getattr(self, f"do_{name}")

        def wrapped(*arguments: Any, **named: Any) -> Any:
            with self._lock:
                return ours(real, *arguments, **named)

        return wrapped

    def _wrapped_open(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(
            file: Any,
            mode: str = "r",
            buffering: int = -1,
            encoding: str | None = None,
            errors: str | None = None,
            newline: str | None = None,
            closefd: bool = True,
            opener: Any = None,
        ) -> Any:
            ours = file in self._open if isinstance(file, int) else self._below(file)
            if not ours or opener is not None or not set(mode) & set("wax+"):
                return real(
                    file, mode, buffering, encoding, errors, newline, closefd, opener
                )
            if not isinstance(file, int):
                flags = os.O_RDWR if "+" in mode else os.O_WRONLY
                flags |= 0 if "r" in mode else os.O_CREAT
                flags |= {"w": os.O_TRUNC, "a": os.O_APPEND, "x": os.O_EXCL}.get(
                    mode.strip("bt+"), 0
                )
                file = os.open(file, flags | os.O_CLOEXEC, 0o666)
            raw = _Raw(file)
            buffered: Any = io.BufferedWriter(raw)
            if "+" in mode:
                buffered = io.BufferedRandom(raw)
            if "b" in mode:
                return raw if buffering == 0 else buffered
            return io.TextIOWrapper(buffered, encoding, errors, newline)

        return wrapped

    # Names

    def _below(self, path: Any) -> bool:
        if isinstance(path, (str, bytes, os.PathLike)):
            return Path(os.fsdecode(path)).is_relative_to(self.root)
        return False

    def _place(self, path: Any, directory: int | None = None) -> tuple[int, str] | None:
        """Return the directory and name of *path*; None: it is not below the root."""
        if directory is not None:
            if directory not in self._open:
                return None
            return self._open[directory], os.fsdecode(path)
        if not self._below(path):
            return None
        *parents, name = Path(os.fsdecode(path)).relative_to(self.root).parts or ("",)
        inode = 0
        for part in parents:
            inode = self._names[inode][part]
        return inode, name

    def _find(self, place: tuple[int, str]) -> int | None:
        return 0 if place == (0, "") else self._names[place[0]].get(place[1])

    def _new(self, is_directory: bool) -> int:
        self._count += 1
        if is_directory:
            self._names[self._count] = {}
        self.steps.append(Create(self._count, is_directory))
        return self._count

    def _link(self, directory: int, name: str, inode: int) -> None:
        self._names[directory][name] = inode
        self.steps.append(Names([(directory, name, inode)]))

    def _unlink(self, place: tuple[int, str] | None) -> None:
        if place is not None:
            del self._names[place[0]][place[1]]
            self.steps.append(Names([(*place, None)]))

    # The system's calls

    def do_open(
        self, real: Any, path: Any, flags: int, mode: int = 0o777, *, dir_fd: Any = None
    ) -> int:
        place = None
        if flags & os.O_TMPFILE != os.O_TMPFILE:
            place = self._place(path, dir_fd)
        there = None if place is None else self._find(place)
        descriptor: int = real(path, flags, mode, dir_fd=dir_fd)
        if place is not None:
            if there is None:
                there = self._new(stat.S_ISDIR(os.fstat(descriptor).st_mode))
                self._link(*place, there)
            elif flags & os.O_TRUNC:
                self.steps.append(Truncate(there, 0))
            self._open[descriptor] = there
        return descriptor

    def do_close(self, real: Any, descriptor: int) -> None:
        self._open.pop(descriptor, None)
        real(descriptor)

    def _wrote(self, descriptor: int, offset: int, views: Iterable[Any], count: int) -> int:
        if descriptor in self._open:
            data = b"".join(map(bytes, views))[:count]
            self.steps.append(Write(self._open[descriptor], offset, data))
        return count

    def do_write(self, real: Any, descriptor: int, data: Any) -> int:
        if descriptor not in self._open:
            return int(real(descriptor, data))
        count = int(real(descriptor, data))
        end = os.lseek(descriptor, 0, os.SEEK_CUR)
        return self._wrote(descriptor, end - count, [data], count)

    def do_writev(self, real: Any, descriptor: int, views: Any) -> int:
        count = int(real(descriptor, views))
        if descriptor not in self._open:
            return count
        end = os.lseek(descriptor, 0, os.SEEK_CUR)
        return self._wrote(descriptor, end - count, views, count)

    def do_pwrite(self, real: Any, descriptor: int, data: Any, offset: int) -> int:
        return self._wrote(descriptor, offset, [data], real(descriptor, data, offset))

    def do_pwritev(self, real: Any, descriptor: int, views: Any, offset: int) -> int:
        return self._wrote(descriptor, offset, views, real(descriptor, views, offset))

    def do_copy_file_range(
        self, real: Any, source: int, target: int, count: int, begin: int, at: int
    ) -> int:
        copied: int = real(source, target, count, begin, at)
        return self._wrote(target, at, [os.pread(source, copied, begin)], copied)

    def do_ftruncate(self, real: Any, descriptor: int, size: int) -> None:
        real(descriptor, size)
        if descriptor in self._open:
            self.steps.append(Truncate(self._open[descriptor], size))

    def do_fsync(self, real: Any, descriptor: int) -> None:
        # The model keeps what is synced; that of the tests' own disk need not last.
        if descriptor in self._open:
            self.steps.append(Sync(self._open[descriptor]))
        else:
            real(descriptor)

    do_fdatasync = do_fsync

    def do_rename(self, real: Any, old: Any, new: Any) -> None:
        source, target = self._place(old), self._place(new)
        real(old, new)
        if source is None or target is None:
            return
        inode = self._names[source[0]].pop(source[1])
        self._names[target[0]][target[1]] = inode
        self.steps.append(Names([(*source, None), (*target, inode)]))

    do_replace = do_rename

    def do_unlink(self, real: Any, path: Any, *, dir_fd: Any = None) -> None:
        place = self._place(path, dir_fd)
        real(path, dir_fd=dir_fd)
        self._unlink(place)

    do_remove = do_unlink

    def do_rmdir(self, real: Any, path: Any, *, dir_fd: Any = None) -> None:
        place = self._place(path, dir_fd)
        real(path, dir_fd=dir_fd)
        self._unlink(place)

    def do_mkdir(
        self, real: Any, path: Any, mode: int = 0o777, *, dir_fd: Any = None
    ) -> None:
        try:
            place = self._place(path, dir_fd)
        except KeyError:
            place = None  # its parent is not there, and the system says so
        real(path, mode, dir_fd=dir_fd)
        if place is not None:
            self._link(*place, self._new(is_directory=True))


class _Raw(io.RawIOBase):
    """An open file whose writes are seen."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = os.read(self._descriptor, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        return os.write(self._descriptor, data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return os.lseek(self._descriptor, offset, whence)

    def truncate(self, size: int | None = None) -> int:
        size = self.tell() if size is None else size
        os.ftruncate(self._descriptor, size)
        return size

    def close(self) -> None:
        if not self.closed:
            io.RawIOBase.close(self)
            os.close(self._descriptor)
