"""
The storage directories of a node, each with a lock and a mark.

The mark, ``server-id``, tells a storage directory from an empty mount point.  A node that
offers its storage to others remembers which one it had, in its node directory, so it does
not take an empty directory for the one whose disk is not mounted.

Source: ``docs/reference/node-directory.md``, "Storage directories".
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from attrs import define, field, frozen

from truckee.errors import Refused
from truckee.flow.cpu import Workers
from truckee.flow.durable import make_directories
from truckee.flow.locked_directory import AlreadyLocked, LockedDirectory
from truckee.node.config import StorageConfig
from truckee.node.directory_record import Remembered
from truckee.node.identity import (
    SERVER_ID,
    SERVER_ID_SIZE,
    read_identity,
    read_mark,
    write_identity,
)
from truckee.node.missing_storage import StorageMissing, check_place
from truckee.node.own_grid import directory_name
from truckee.storage.direct_shares import DirectShares
from truckee.storage.kept_shares import KEEP, KeptShares
from truckee.storage.open_files import OpenFiles
from truckee.storage.server import DiskServer
from truckee.storage.sharefiles import ShareDirectory
from truckee.storage.slotfiles import SlotDirectory
from truckee.storage.slots import DiskSlots

LOCK = "truckee.lock"


@define
class StorageTaken(Refused):
    """
    Another process{who} uses the storage directory {path}, or this one uses it twice. Stop
    it, or name another directory in tahoe.cfg.
    """

    path: Path
    who: str


@define(eq=False)
class OpenedStorage:
    """A storage directory that is locked, and the server over it."""

    path: Path
    identity: bytes | None  # None: it has no mark yet
    _locked: LockedDirectory
    _ready: Callable[[], None] = lambda: None
    server: DiskServer = field(init=False)
    kept: KeptShares = field(init=False)  # of the server

    def is_there(self) -> bool:
        """Tell whether the path leads to it, perhaps again; blocks for a moment."""
        if self._locked.is_there():
            return True
        # The same disk has another number when it was away meanwhile.
        try:
            if self.identity is None or read_identity(self.path) != self.identity:
                return False
            again = LockedDirectory.acquire(self.path, LOCK)
        except (OSError, ValueError, AlreadyLocked):
            return False
        self._locked.release()
        self._locked = again
        return True

    def is_other(self) -> bool:
        """Tell whether the path leads to another storage directory; blocks for a moment."""
        try:
            return read_identity(self.path) != self.identity
        except (OSError, ValueError):
            return False

    def make_ready(self) -> None:
        """
        Mark and clean it, so that it takes shares; blocks.  May be called again.

        :raises OSError: when the disk refuses; shares can be read all the same.
        """
        if self.server.readonly:
            # The disk may be so on purpose.
            with suppress(OSError):
                self._ready()
            return
        self._ready()
        self.server.start()
        self.kept.start()

    def release(self) -> None:
        """Let another process have it."""
        self._locked.release()


@frozen
class OfferedStorage:
    """What a storage node offers to others, over one directory."""

    immutable: DiskServer
    mutable: DiskSlots
    kept: KeptShares

    async def remove_expired(
        self, storage_index: bytes, remove: Callable[[Path], None]
    ) -> None:
        """Have *remove* look at the shares of a file, while nobody renews their leases."""
        async with self.mutable.hold(storage_index):
            await self.immutable.remove_expired(storage_index, remove)


@frozen
class StorageRecord:
    """Which storage directory a node offered, in a file of its node directory."""

    path: Path
    served: bool  # it was announced before, so it had a storage directory

    def read(self) -> bytes | None:
        """Return the identity; None: it had none; empty: the file is damaged."""
        try:
            return read_identity(self.path)
        except FileNotFoundError:
            return None
        except ValueError:
            return b""

    def check(self, directory: Path, mark: bytes | None) -> None:
        """:raises StorageMissing: when *directory*, with that *mark*, is not the one."""
        known = self.read()
        setting = "[storage] storage_dir"
        remedy = f", or remove {self.path.name} from the node directory if it is a new one"
        if mark is None and known is not None:
            reason = "The storage directory is empty, or not the one that it was"
            raise StorageMissing(reason, setting, f"{remedy}.")
        if mark is not None and known and mark != known:
            reason = "The storage directory is another one than it was"
            raise StorageMissing(reason, setting, f"{remedy}.")
        if mark is None and self.served and not (directory / "shares").is_dir():
            reason = "The storage directory is empty or not there, and it had shares before"
            remedy = ", or make a directory 'shares' in it if it is a new one."
            raise StorageMissing(reason, setting, remedy)


@define(eq=False)
class StorageOpener:
    """Opens storage directories of this machine; ``release`` all in the end."""

    disk: Workers
    _keep: float = KEEP  # seconds for which shares in progress are kept; 0: none are
    _random: Callable[[int], bytes] = os.urandom
    _opened: list[OpenedStorage] = field(factory=list, init=False)
    _open_files: OpenFiles = field(factory=OpenFiles, init=False)  # of all together

    def open_grid(
        self,
        number: int,
        path: Path,
        reserved_space: int,
        remembered: Remembered,
        used: Collection[Path],
    ) -> OpenedStorage:
        """
        Return the directory *number* of an embedded grid, to be made ready; blocks.

        Its mark must be one that may be at *path*, where those in *used* are all of them.
        :raises StorageMissing: :raises StorageTaken: :raises OSError:
        """
        try:
            identity = read_identity(path)
        except (FileNotFoundError, NotADirectoryError):
            setting = "[grid] storage_dirs"
            reason = f"There is no storage directory (no {SERVER_ID} in it)"
            raise StorageMissing(reason, setting, ".") from None
        except ValueError as error:
            reason = f"The file {SERVER_ID} in it is damaged ({error})"
            remedy = ". The file is part of every share's place: restore it from a backup."
            raise StorageMissing(reason, "[grid] storage_dirs", remedy) from None
        check_place(path, identity, remembered, used)
        opened = OpenedStorage(path, identity, self._lock(path))
        name = directory_name(number)
        opened.server, _ = self._server(opened, name, identity, identity, reserved_space)
        return opened

    def open_offered(
        self,
        config: StorageConfig,
        record: StorageRecord,
        name: str,
        permutation_seed: bytes,
        tubid: bytes,
    ) -> tuple[OpenedStorage, OfferedStorage]:
        """
        Return the directory that a storage node offers to others, to be made ready; blocks.

        One that was never marked is marked, when it has shares or is new.
        :raises StorageMissing: :raises StorageTaken: :raises OSError:
        """
        path = config.directory
        mark = read_mark(path)
        if mark == b"":
            # It is made again; what it was is in the record.
            mark, found = None, record.read() if (path / "shares").is_dir() else None
        else:
            record.check(path, mark)
            found = mark
        make_directories(path)
        identity = found or self._random(SERVER_ID_SIZE)

        def ready() -> None:
            # The mark first: a record of it without it means that it is gone.
            if opened.identity is None:
                write_identity(path / SERVER_ID, identity)
                opened.identity = identity
            if record.read() != identity:
                write_identity(record.path, identity)

        opened = OpenedStorage(path, mark, self._lock(path), ready)
        opened.server, slots = self._server(
            opened, name, permutation_seed, tubid, config.reserved_space
        )
        opened.server.readonly = config.readonly
        opened.server.expires = config.expiry is not None
        return opened, OfferedStorage(opened.server, slots, opened.kept)

    def release(self) -> None:
        """Let other processes have them."""
        for each in self._opened:
            each.release()
        self._opened.clear()

    def _lock(self, path: Path) -> LockedDirectory:
        try:
            return LockedDirectory.acquire(path, LOCK)
        except AlreadyLocked as error:
            raise StorageTaken(path, f" (pid {error.pid})" if error.pid else "") from None

    def _server(
        self,
        opened: OpenedStorage,
        name: str,
        permutation_seed: bytes,
        lease_seed: bytes,
        reserved_space: int,
    ) -> tuple[DiskServer, DiskSlots]:
        self._opened.append(opened)
        server = DiskServer(
            name=name,
            permutation_seed=permutation_seed,
            lease_seed=lease_seed,
            directory=ShareDirectory(opened.path),
            disk=self.disk,
            now=time.time,
            reserved_space=reserved_space,
            open_files=self._open_files,
            is_there=opened.is_there,
        )
        server.unready = True
        opened.kept = KeptShares(server, self.disk, time.time, self._keep)
        # What was kept before it was set to 0 is removed all the same.
        server.kept = opened.kept if self._keep else None
        server.direct = DirectShares(server, self.disk, time.time)
        slots = server.slots = DiskSlots(
            name=name,
            node_id=lease_seed,
            slots=SlotDirectory(server.directory),
            disk=self.disk,
            now=time.time,
            room=server.available_space,
        )
        return server, slots
