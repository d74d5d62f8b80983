"""The storage directories of a grid of its own, those that are away too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from attrs import define, field
from twisted.logger import Logger

from truckee.codec import base32
from truckee.errors import Unavailable
from truckee.flow.cpu import Workers
from truckee.flow.durable import DiskFault, fault_of
from truckee.grid.pool import ServerStatus
from truckee.node.config import NodeConfig
from truckee.node.directory_record import DirectoryRecord, RecordBusy
from truckee.node.disk_watch import DiskWatch, Look
from truckee.node.missing_storage import OtherStorage, StorageMissing
from truckee.node.own_grid import directory_name
from truckee.node.recovery import RECOVERS, Recovery
from truckee.node.storage import OpenedStorage, StorageOpener
from truckee.storage.directory_status import FINE, DirectoryStatus
from truckee.storage.server import DiskServer

log = Logger()


@define(eq=False)
class GridDirectories:
    """Opens them at the start, or when they are there; and tells how they are."""

    _config: NodeConfig
    _record: DirectoryRecord
    _opener: StorageOpener
    _recovery: Recovery
    _watch: DiskWatch
    _disk: Workers
    _make_ready: Callable[[str, OpenedStorage], Awaitable[None]]
    _grid: dict[int, DiskServer] = field(factory=dict, init=False)
    _unopened: dict[int, DiskFault] = field(factory=dict, init=False)
    _ids: dict[int, str] = field(factory=dict, init=False)  # of them all, in base32

    @property
    def servers(self) -> list[DiskServer]:
        """The servers over those that were found."""
        return [self._grid[number] for number in sorted(self._grid)]

    def servers_seen(self) -> list[ServerStatus]:
        """Return all of them as servers, as people and clients are told."""
        return [
            ServerStatus(
                each.name,
                each.name,
                each.is_there and number in self._grid,
                available_space=each.free,
                refusal="" if each.state == FINE else each.state,
                local=True,
            )
            for number, each in enumerate(self.statuses())
        ]

    def statuses(self) -> list[DirectoryStatus]:
        """Return how all of them are."""
        found = []
        for number in range(len(self._config.storage_dirs)):
            name, identity = directory_name(number), self._ids.get(number)
            # While it is opened there is no look at it yet.
            seen = self._watch.last(name) or Look(self._unopened.get(number))
            found.append(DirectoryStatus(name, identity, seen.fault, seen.size, seen.free))
        return found

    async def open(self) -> None:
        """Open all its directories, those that are not there when they are back."""
        for number, path in enumerate(self._config.storage_dirs):
            opened = await self._recovery.attempt(
                f"{directory_name(number)}: opening",
                f"Its shares cannot be read, and none are stored there. {RECOVERS}",
                partial(self._open, number, path),
            )
            if not opened:
                # For the operator alone.
                log.warn("{name} is {path}", name=directory_name(number), path=str(path))
        there, known = len(self._grid), len(self._config.storage_dirs)
        if there < known:
            text = "{there} of {known} storage directories are there"
            log.warn(text, there=there, known=known)

    async def _open(self, number: int, path: Path) -> None:
        used = self._config.storage_dirs
        remembered = await self._disk.run(self._record.read)
        known = remembered.at(path)
        if known:
            self._ids[number] = base32.encode(known)
        open_it = partial(self._opener.open_grid, number, path, self._config.reserved_space)
        try:
            opened = await self._disk.run(open_it, remembered, used)
        except (OSError, Unavailable) as error:
            self._unopened[number] = _fault(error)
            raise
        self._unopened.pop(number, None)
        assert opened.identity is not None
        self._ids[number] = base32.encode(opened.identity)
        self._grid[number] = opened.server
        with suppress(OSError, RecordBusy):  # it is remembered at another start
            await self._disk.run(self._record.see, opened.identity, path)
        await self._make_ready(directory_name(number), opened)


def _fault(error: Exception) -> DiskFault:
    """Return why a storage directory cannot be opened."""
    if isinstance(error, OtherStorage):
        return DiskFault.OTHER
    if isinstance(error, StorageMissing):
        return DiskFault.MISSING
    return fault_of(error) or DiskFault.FAILING
