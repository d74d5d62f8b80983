"""
Shares on our disk that are stored and read in one call each.

Source: ``docs/formats/storage-foolscap.md``, "Shares in one call".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from attrs import define
from zope.interface import implementer

from truckee.codec.secrets import LeaseSecrets
from truckee.flow.cpu import Workers
from truckee.flow.descriptors import descriptor_errors
from truckee.storage.direct_files import store_share
from truckee.storage.interfaces import MAX_DIRECT_SHARE, IDirectShares
from truckee.storage.server import OVERHEAD, DiskServer, disk_errors
from truckee.storage.sharefiles import ShareFile


@implementer(IDirectShares)
@define(eq=False)
class DirectShares:
    """Those in the directory of *server*, with one visit to the disk for each call."""

    _server: DiskServer
    _disk: Workers
    _now: Callable[[], float]  # Unix seconds
    far: ClassVar[bool] = False

    async def store(
        self, storage_index: bytes, secrets: LeaseSecrets, share: int, data: bytes
    ) -> bool:
        """See ``IDirectShares``."""
        with self._server.reserved(storage_index, share, len(data) + OVERHEAD) as room:
            if room is None:
                return False
            return await self._disk.run(
                self._store, room, storage_index, secrets, share, data
            )

    async def read(
        self, storage_index: bytes, share: int, offset: int, length: int
    ) -> bytes:
        """See ``IDirectShares``."""
        with descriptor_errors():
            return await self._disk.run(
                self._read, storage_index, share, offset, min(length, MAX_DIRECT_SHARE)
            )

    def _read(self, storage_index: bytes, share: int, offset: int, length: int) -> bytes:
        home = self._server.directory.home(storage_index)
        try:
            return ShareFile.open(home / str(share)).read(offset, length)
        except (FileNotFoundError, NotADirectoryError):
            self._server.check_there()
            return b""

    def _store(
        self,
        room: Callable[[], bool],
        storage_index: bytes,
        secrets: LeaseSecrets,
        share: int,
        data: bytes,
    ) -> bool:
        with disk_errors(self._server.name):
            return room() and store_share(
                self._server.directory, storage_index, share, data, secrets, self._now()
            )
