"""
Shares as files, laid out as stock storage servers do.

Source: formats, "Container" and "Leases".  Everything here blocks: it runs in the disk
workers.  A share is written under ``incoming/`` and renamed when it is whole, so what a
reader can see is always whole.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import define, field, frozen

from truckee.codec import base32, container
from truckee.codec.container import ContainerHeader
from truckee.codec.hashes import Buffer
from truckee.codec.secrets import LeaseSecrets
from truckee.flow.descriptors import ended
from truckee.flow.durable import (
    ensure_directories,
    make_directories,
    sync_data,
    sync_directory,
    write_synced,
)
from truckee.storage.open_files import OpenFiles
from truckee.storage.share_leases import read_lease_area, renew_lease

# Bytes written to one share before its pages are sent to the disk, so that little is
# left to do when it is closed.
SYNC_EVERY = 4 << 20
# The most buffers one system call takes (IOV_MAX of Linux and macOS).
_MAX_BUFFERS = 1024
# How often a directory is made again that somebody else removes; once is rare.
_TRIES = 100


@frozen
class ShareDirectory:
    """One storage directory and the names in it."""

    root: Path
    # Directories of a prefix whose names in ``shares/`` are durable, with device and inode.
    _durable: dict[Path, tuple[int, int]] = field(
        factory=dict, init=False, eq=False, repr=False
    )

    def home(self, storage_index: bytes) -> Path:
        """Return where the finished shares of a file are."""
        return self._place(self.root / "shares", storage_index)

    def incoming(self, storage_index: bytes) -> Path:
        """Return where the shares of a file are while they are written."""
        return self._place(self.root / "shares" / "incoming", storage_index)

    def draft(self, name: str) -> Path:
        """Return where something with that name is until it is whole."""
        return self.root / "shares" / "incoming" / name

    def kept(self, storage_index: bytes) -> Path:
        """Return where the shares of a file are that outlive their writers."""
        return self._place(self.kept_root, storage_index)

    @property
    def kept_root(self) -> Path:
        """Where all of those are, behind two directories each."""
        return self.root / "incomplete"

    @staticmethod
    def _place(top: Path, storage_index: bytes) -> Path:
        name = base32.encode(storage_index)
        return top / name[:2] / name

    def clear_incoming(self) -> None:
        """Remove what writers left when their process died."""
        incoming = self.root / "shares" / "incoming"
        make_directories(incoming.parent)
        ensure_directories(incoming)
        for left in list(incoming.iterdir()):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                # A share of a mutable file, or a short one, half written.
                left.unlink(missing_ok=True)

    def make_home(self, storage_index: bytes) -> None:
        """Make the directory of a file's finished shares, which need not be durable."""
        home = self.home(storage_index)
        if not home.parent.is_dir():
            self._durable.pop(home.parent, None)
        ensure_directories(home)

    def sync_names(self, storage_index: bytes) -> None:
        """
        Make the names of a file's finished shares durable, and those of its directories.

        That of the prefix is synced once: there are a thousand prefixes, and many files.
        """
        home = self.home(storage_index)
        prefix = home.parent
        status = prefix.stat()
        identity = status.st_dev, status.st_ino
        sync_directory(home)
        sync_directory(prefix)
        if self._durable.get(prefix) != identity:
            sync_directory(prefix.parent)
            self._durable[prefix] = identity

    def free_space(self) -> int:
        """Return the bytes that an unprivileged writer could still write here."""
        try:
            status = os.statvfs(self.root)
        except OSError:
            return 0
        read_only = status.f_flag & os.ST_RDONLY
        return 0 if read_only else status.f_frsize * status.f_bavail

    def shares(self, storage_index: bytes) -> dict[int, ShareFile]:
        """
        Return the finished shares of a file, without what is no container.

        :raises OSError: when no descriptor is left, which says nothing about the shares.
        """
        home = self.home(storage_index)
        try:
            names = os.listdir(home)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        found = {}
        for name in names:
            if re.fullmatch("0|[1-9][0-9]{0,2}", name):
                try:
                    found[int(name)] = ShareFile.open(home / name)
                except (OSError, ValueError) as error:
                    if ended(error):
                        raise
        return found

    def note_corruption(
        self, storage_index: bytes, share: int, reason: str, kind: str = "immutable"
    ) -> None:
        """Leave a text for the operator."""
        directory = self.root / "corruption-advisories"
        ensure_directories(directory)
        index = base32.encode(storage_index)
        # One text for a share: every reader would leave the same again.
        if any(directory.glob(f"*--{index}-{share}")):
            return
        stamp = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime())
        text = (
            f"report: Share Corruption\ntype: {kind}\nstorage_index: {index}\n"
            f"share_number: {share}\n\n{reason}\n"
        )
        write_synced(directory / f"{stamp}--{index}-{share}", text.encode("utf-8"))


@frozen
class ShareFile:
    """A finished share."""

    path: Path
    length: int  # bytes of the share, without header and leases

    @classmethod
    def open(cls, path: Path) -> ShareFile:
        """:raises ValueError: when it is not a container of an immutable share."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _header, area = read_lease_area(descriptor)
            return cls(path, area.share_length)
        finally:
            os.close(descriptor)

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes at *offset*, none past the end."""
        length = min(length, self.length - offset)
        if length <= 0:
            # The system refuses an offset that no file has, and a broken share names some.
            return b""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, length, container.HEADER_SIZE + offset)
        finally:
            os.close(descriptor)

    def renew_lease(
        self, owner: int, secrets: LeaseSecrets, now: float, *, room: bool = True
    ) -> None:
        """
        Renew the lease with these secrets, or add one for *owner*; it is durable then.

        :raises NoRoomForLease: when it would be a new one and there is no *room* for it.
        :raises TooManyLeases:
        """
        renew_lease(self.path, owner, secrets, now, room)


@define(eq=False)
class IncomingShare:
    """
    A share that is being written; one thread at a time uses it.

    It has a descriptor only while it is written to, and for as long as *files* keep it.
    """

    _incoming: Path
    _directory: ShareDirectory
    _storage_index: bytes
    _share: int
    _files: OpenFiles = field(factory=OpenFiles)
    written: int = field(default=0, init=False)  # bytes, those written twice count twice
    _unsynced: int = field(default=0, init=False)
    _failed: OSError | None = field(default=None, init=False)
    _named: bool = field(default=False, init=False)  # it has its final name

    @property
    def _final(self) -> Path:
        return self._directory.home(self._storage_index) / str(self._share)

    def create(self) -> None:
        """Make the file."""
        self._make(os.O_EXCL)

    def _make(self, flags: int = 0) -> int:
        """Open the file, which is made if need be; return how long it is."""
        for left in reversed(range(_TRIES)):
            # Another share of the file may go and take the directory with it, at any time.
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                ensure_directories(self._incoming.parent)
            try:
                with self._open(os.O_CREAT | flags) as descriptor:
                    return os.fstat(descriptor).st_size
            except FileNotFoundError:
                if not left:
                    raise
        raise AssertionError

    def write(self, offset: int, parts: Sequence[Buffer]) -> None:
        """Store *parts* at *offset* of the share."""
        with self._open() as descriptor:
            self._write(descriptor, offset, parts)

    def _write(self, descriptor: int, offset: int, parts: Sequence[Buffer]) -> None:
        position = container.HEADER_SIZE + offset
        for start in range(0, len(parts), _MAX_BUFFERS):
            group = parts[start : start + _MAX_BUFFERS]
            views = [memoryview(part) for part in group if part]
            while views:
                count = os.pwritev(descriptor, views, position)
                position += count
                self.written += count
                self._unsynced += count
                while views and count >= len(views[0]):
                    count -= len(views.pop(0))
                if views:
                    views[0] = views[0][count:]
        if self._unsynced >= SYNC_EVERY:
            self._unsynced = 0
            sync_data(descriptor)

    def publish(self, size: int, secrets: LeaseSecrets, now: float) -> None:
        """Make a whole container of it, durable, and give it its name."""
        lease = ContainerHeader(2, 1).lease(container.OWNER_OF_ALLOCATION, secrets, now)
        with self._open() as descriptor:
            os.ftruncate(descriptor, container.HEADER_SIZE + size)
            os.pwrite(descriptor, container.pack_header(size, 1), 0)
            os.pwrite(descriptor, lease.pack(), container.HEADER_SIZE + size)
            os.fsync(descriptor)
        self._close()
        self._directory.make_home(self._storage_index)
        os.rename(self._incoming, self._final)
        self._named = True
        self._directory.sync_names(self._storage_index)
        tidy(self._incoming)

    def discard(self) -> None:
        """Remove the file."""
        self._close()
        self._incoming.unlink(missing_ok=True)
        if self._named:
            # It was not acknowledged to anybody: publishing it was cut short.
            self._final.unlink(missing_ok=True)
        tidy(self._incoming)

    @contextlib.contextmanager
    def _open(self, flags: int = 0) -> Iterator[int]:
        """Lend a descriptor.  :raises OSError: too, for what was written before."""
        if self._failed is not None:
            raise self._failed
        with self._files.use(self._incoming, os.O_RDWR | flags, self._flush) as descriptor:
            yield descriptor

    def _flush(self, descriptor: int) -> None:
        """
        Leave nothing to a descriptor that is about to be closed; called while unused.

        The system tells an error of the disk only to those who have the file open.
        """
        if self._unsynced:
            self._unsynced = 0
            try:
                sync_data(descriptor)
            except OSError as error:
                self._failed = error

    def _close(self) -> None:
        self._files.close(self._incoming)


def tidy(gone: Path) -> None:
    """Remove the two directories above a share that is *gone*, if they are empty now."""
    for directory in (gone.parent, gone.parent.parent):
        try:
            directory.rmdir()
        except OSError:
            return
