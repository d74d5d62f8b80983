"""
Files that survive a power cut, and what a disk says that takes no more.

Everything here blocks: it runs in the disk workers, or before the reactor does.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path

from truckee.errors import TruckeeError
from truckee.flow.descriptors import descriptor_errors

# What the name of a file ends with while it is written.
DRAFT = ".new"

# File systems that cannot sync a directory answer with one of these.
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


class DiskFault(Enum):
    """Why a disk takes no more, as the operator reads it."""

    FULL = "the disk is full"
    READ_ONLY = "the disk is read-only"
    MISSING = "it is not there"
    OTHER = "another directory is in its place"
    DENIED = "the permission is missing"
    FAILING = "the disk gives errors"


_FAULTS = {
    errno.ENOSPC: DiskFault.FULL,
    errno.EDQUOT: DiskFault.FULL,
    # The largest size of one file that the file system or ulimit permits.
    errno.EFBIG: DiskFault.FULL,
    errno.EROFS: DiskFault.READ_ONLY,
    errno.ENOENT: DiskFault.MISSING,
    errno.ENOTDIR: DiskFault.MISSING,
    errno.ENODEV: DiskFault.MISSING,
    errno.ENXIO: DiskFault.MISSING,
    # A network file system whose server forgot the file, or is away.
    errno.ESTALE: DiskFault.MISSING,
    errno.ENOTCONN: DiskFault.MISSING,
    errno.EHOSTDOWN: DiskFault.MISSING,
    errno.EACCES: DiskFault.DENIED,
    errno.EPERM: DiskFault.DENIED,
    errno.EIO: DiskFault.FAILING,
    errno.ETIMEDOUT: DiskFault.FAILING,
}


def fault_of(error: BaseException) -> DiskFault | None:
    """Return what is wrong with the disk; None: the error says nothing about a disk."""
    if not isinstance(error, OSError) or error.errno is None:
        return None
    return _FAULTS.get(error.errno)


@contextmanager
def disk_faults(refusal: Callable[[DiskFault], TruckeeError]) -> Iterator[None]:
    """
    Raise what *refusal* returns in place of a system error about the disk.

    :raises TooManyOpenFiles: when it could not be asked.
    """
    try:
        with descriptor_errors():
            yield
    except OSError as error:
        fault = fault_of(error)
        if fault is None:
            raise
        raise refusal(fault) from error


def write_durably(path: Path, data: bytes) -> None:
    """
    Replace *path* by a file with *data* that only its owner can read.

    After a crash or power cut it has the new content or the old one, never a part; when
    this returns, the new one.

    :raises OSError: the old content is there then, and no draft if it can be helped.
    """
    with _replacing(path) as draft:
        write_synced(draft, data)


def rewrite_durably(path: Path, data: bytes) -> None:
    """
    Replace what is in the file *path*, or in the one that it links to, as above.

    Its mode stays, and its owner.  :raises OSError: the old content is there then.
    """
    path = Path(os.path.realpath(path))
    before = path.stat()
    with _replacing(path) as draft:
        write_synced(draft, data)
        made = draft.stat()
        if (made.st_uid, made.st_gid) != (before.st_uid, before.st_gid):
            os.chown(draft, before.st_uid, before.st_gid)
        draft.chmod(stat.S_IMODE(before.st_mode))
        sync_file(draft)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give the draft that takes the place of *path*, for good, once it is written."""
    draft = path.with_name(path.name + DRAFT)
    try:
        yield draft
        draft.rename(path)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_synced(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read; a crash meanwhile leaves a part of it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        # One that was there already kept its mode.
        os.fchmod(descriptor, 0o600)
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def make_directories(path: Path) -> None:
    """
    Make the directory *path*, and those above it, where they are not there yet.

    They are there after a power cut, too: what is synced in a directory is lost with the
    name of that directory.

    :raises NotADirectoryError: when there is something else in the place of one.
    """
    for directory in (*reversed(path.parents), path):
        if not directory.is_dir():
            with _no_file_in_its_place():
                directory.mkdir(0o700, exist_ok=True)
        elif directory != path:
            continue
        # Whoever made one that is there may have died before it was synced.
        sync_directory(directory.parent)


@contextmanager
def _no_file_in_its_place() -> Iterator[None]:
    """Say "not a directory" of what is none, where the system says that it exists."""
    try:
        yield
    except FileExistsError as error:
        reason = os.strerror(errno.ENOTDIR)
        raise NotADirectoryError(errno.ENOTDIR, reason, error.filename) from None


def ensure_directories(path: Path) -> None:
    """
    Make the directory *path*, and those above it, where they are missing.

    Only their owner can look into those that are made; others are left as they are. They
    need not survive a power cut, see ``make_directories``.
    """
    try:
        os.mkdir(path, 0o700)
    except FileNotFoundError:
        ensure_directories(path.parent)
        # Whoever removes the parent meanwhile is heard of, not waited for.
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
    except FileExistsError:
        if not path.is_dir():
            raise


def remove_durably(path: Path) -> None:
    """Remove the file *path*, if it is there; it is gone after a power cut, too."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_data(descriptor: int) -> None:
    """Make the bytes and the length of a file survive a power cut."""
    # macOS has no fdatasync.
    getattr(os, "fdatasync", os.fsync)(descriptor)


def sync_file(path: Path) -> None:
    """Make a file that somebody else wrote, and its name, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in the directory *path* survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)
