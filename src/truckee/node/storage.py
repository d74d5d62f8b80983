"""The storage directories of a node."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import define, field, frozen
from twisted.logger import Logger

from truckee.codec import base32
from truckee.errors import Unavailable
from truckee.flow.cpu import Workers
from truckee.flow.durable import make_directories
from truckee.node.config import StorageConfig
from truckee.node.create import SERVER_ID, SERVER_ID_SIZE
from truckee.storage.open_files import OpenFiles
from truckee.storage.server import DiskServer
from truckee.storage.sharefiles import ShareDirectory
from truckee.storage.slotfiles import SlotDirectory
from truckee.storage.slots import DiskSlots

log = Logger()


@define
class NoStorage(Unavailable):
    """
    None of the storage directories can be used: {where}. Mount their disks, or correct
    [grid] storage_dirs in tahoe.cfg.
    """

    where: str


@frozen
class OfferedStorage:
    """What a storage node offers to others, over one directory."""

    immutable: DiskServer
    mutable: DiskSlots

    async def remove_expired(
        self, storage_index: bytes, remove: Callable[[Path], None]
    ) -> None:
        """Have *remove* look at the shares of a file, while nobody renews their leases."""
        async with self.mutable.hold(storage_index):
            await self.immutable.remove_expired(storage_index, remove)


@frozen
class StorageOpener:
    """Makes servers over directories of this machine; each is cleaned first."""

    disk: Workers
    _open_files: OpenFiles = field(factory=OpenFiles, init=False)  # of all together

    def open_grid(self, paths: Sequence[Path], reserved_space: int) -> list[DiskServer]:
        """
        Return a server for each directory of an embedded grid that is there.

        :raises NoStorage: when none is.
        """
        servers, missing = [], []
        for number, path in enumerate(paths):
            # What clients are told of has no path in it.
            name = f"storage directory {number}"
            try:
                identity = _read_identity(path)
                servers.append(self._open(path, name, identity, identity, reserved_space))
            except (OSError, ValueError) as error:
                log.error(
                    "The storage directory {path} cannot be used: {error}. "
                    "Is its disk mounted?",
                    path=str(path),
                    error=error,
                )
                missing.append(str(path))
        if not servers:
            raise NoStorage(", ".join(missing))
        return servers

    def open_offered(
        self, config: StorageConfig, name: str, permutation_seed: bytes, tubid: bytes
    ) -> OfferedStorage:
        """Return the server that a storage node offers to others."""
        make_directories(config.directory)
        server = self._open(
            config.directory, name, permutation_seed, tubid, config.reserved_space
        )
        server.readonly = config.readonly
        server.expires = config.expiry is not None
        slots = DiskSlots(
            name=name,
            node_id=tubid,
            slots=SlotDirectory(server.directory),
            disk=self.disk,
            now=time.time,
            room=server.available_space,
        )
        return OfferedStorage(server, slots)

    def _open(
        self,
        path: Path,
        name: str,
        permutation_seed: bytes,
        lease_seed: bytes,
        reserved_space: int,
    ) -> DiskServer:
        server = DiskServer(
            name=name,
            permutation_seed=permutation_seed,
            lease_seed=lease_seed,
            directory=ShareDirectory(path),
            disk=self.disk,
            now=time.time,
            reserved_space=reserved_space,
            open_files=self._open_files,
        )
        server.start()
        return server


def _read_identity(path: Path) -> bytes:
    """Return what tells a storage directory from an empty mount point."""
    identity = base32.decode((path / SERVER_ID).read_text("ascii").strip())
    if len(identity) != SERVER_ID_SIZE:
        raise ValueError(f"{path / SERVER_ID} is damaged")
    return identity
