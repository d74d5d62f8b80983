"""What a path given to ``put`` or ``get`` is: looked at before it is read or replaced."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from attrs import frozen

from truckee.cli.problems import STOPPED, Problem
from truckee.flow.durable import sync_directory

# Bytes of the longest name that file systems take.
_LONGEST_NAME = 255
_SUFFIX = ".part"


@frozen
class Snapshot:
    """What of a file changes when its content does."""

    size: int  # bytes
    modified: int  # nanoseconds since the epoch

    @classmethod
    def of(cls, file: FileIO) -> Snapshot:
        """Look at an open file."""
        status = os.fstat(file.fileno())
        return cls(status.st_size, status.st_mtime_ns)


@frozen
class Source:
    """A file to store, open."""

    file: FileIO
    size: int | None  # bytes; None: it is known when it ends
    snapshot: Snapshot

    @property
    def unchanged(self) -> bool:
        """Whether the file is still what it was when it was opened."""
        return self.size is None or Snapshot.of(self.file) == self.snapshot


@contextlib.contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """
    Open what is to be stored; blocks until a FIFO has a writer.

    A size counts only where there is one: files of ``/proc`` say 0 and have content, as
    do devices and pipes, so those are read to their end.  :raises Problem:
    """
    with _errors_about(path):
        if path.is_dir():
            raise Problem(
                f"{path} is a directory: name a file, or store an archive of it: "
                f"tar c {path} | truckee put"
            )
        file = FileIO(path)
    with file:
        seen = Snapshot.of(file)
        regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        yield Source(file, seen.size if regular and seen.size else None, seen)


def part_of(path: Path) -> Path:
    """Return where *path* is while it is not complete."""
    name = path.name + _SUFFIX
    if len(os.fsencode(name)) > _LONGEST_NAME:
        digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]
        name = f".truckee-{digest}{_SUFFIX}"
    return path.with_name(name)


def find_target(name: str) -> tuple[Path, bool]:
    """
    Return where the bytes go, and whether a file is made or replaced there.

    Links are followed, so that they stay what they are.  What is no regular file is
    written into.  :raises Problem: where no file can be.
    """
    path = Path(os.path.realpath(name))
    with _errors_about(Path(name)):
        if _is_special(name):
            # What /dev/stdout and the like lead to has no name of its own.
            return Path(name), False
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            if name.endswith("/"):
                raise Problem(f"{name} is no directory: name a file") from None
            if not path.parent.is_dir():
                raise Problem(f"{name}: there is no directory {path.parent}") from None
            return path, True
    if stat.S_ISDIR(mode):
        raise Problem(f"{name} is a directory: name a file in it")
    return path, stat.S_ISREG(mode)


def _is_special(name: str) -> bool:
    """Whether *name* leads to something that is neither a file nor a directory."""
    try:
        mode = os.stat(name).st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def open_special(path: Path) -> FileIO:
    """Open a device or a FIFO to write into it; blocks until a FIFO has a reader."""
    with _errors_about(path):
        return FileIO(os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC), "wb")


def hidden_part_of(path: Path, cap: str) -> Path:
    """
    Return the same where any name may be that of another file.

    It is of one content, *cap*, and of one run of this machine: after a power cut a part
    may have holes in it.
    """
    digest = hashlib.sha256(os.fsencode(path.name))
    digest.update(f"\0{cap}\0{_run_of_machine()}".encode())
    return path.with_name(f".truckee-{digest.hexdigest()[:32]}{_SUFFIX}")


def _run_of_machine() -> str:
    """Return what is another one after each start of the machine; empty: not known."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


@contextlib.contextmanager
def unfinished(path: Path, name: Path | None = None, mode: int = 0o666) -> Iterator[FileIO]:
    """
    Open the unfinished file of *path*, to read and write; what is in it stays.

    Its *name* is that of ``part_of`` without one, and *mode* is what it is made with.  One
    in which nothing is at the end is removed.  :raises Problem: when another process
    writes it, or it is no regular file.
    """
    name = name or part_of(path)
    part = _lock_part(name, mode)
    with part:
        try:
            yield part
        finally:
            # Published, it may be empty, and has another name.
            with contextlib.suppress(OSError):
                if not os.fstat(part.fileno()).st_size and _is_named(part, name):
                    name.unlink()


def _is_named(file: FileIO, path: Path) -> bool:
    return os.path.samestat(os.fstat(file.fileno()), path.stat())


def _lock_part(part: Path, mode: int) -> FileIO:
    while True:
        with _errors_about(part):
            if part.exists() and not part.is_file():
                raise Problem(f"{part} is no regular file: move it away")
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            file = FileIO(os.open(part, flags, mode), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise Problem(f"{part} is being written by another process") from None
        with contextlib.suppress(FileNotFoundError):
            if _is_named(file, part):
                return file
        # Another process finished and renamed it between the opening and the lock.
        file.close()


def publish(part: FileIO, path: Path) -> None:
    """Give the finished *part* the name *path*, and the mode of the file it replaces."""
    with _errors_about(path):
        with contextlib.suppress(FileNotFoundError):
            os.fchmod(part.fileno(), stat.S_IMODE(path.stat().st_mode))
        os.fsync(part.fileno())
        os.rename(part_of(path), path)
        sync_directory(path.parent)


@contextlib.contextmanager
def _errors_about(path: Path) -> Iterator[None]:
    """Turn errors of the system into sentences about *path*."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno == errno.ELOOP:
            reason = "it is a symbolic link, or too many of them"
        raise Problem(f"{path}: {reason}") from None
    except ValueError as error:  # a name with a zero byte in it
        raise Problem(f"{path}: {error}") from None
    except KeyboardInterrupt:  # while a FIFO was waited for
        raise SystemExit(STOPPED) from None
