"""
The disks of a node: what needs them at the start, and again when they take writes again.

No write at the start is fatal.  What could not be done is a problem that people are shown,
and is done later by itself.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.logger import Logger

from truckee.errors import Unavailable
from truckee.flow.cpu import Workers
from truckee.flow.durable import ensure_directories, write_durably
from truckee.flow.other_disk import OtherDisk
from truckee.node.config import NodeConfig
from truckee.node.directory_record import DirectoryRecord
from truckee.node.disk_watch import LEAST, SHARES, DiskWatch, Place
from truckee.node.grid_directories import GridDirectories
from truckee.node.keys import NodeKeys
from truckee.node.layout import NodeDirectory
from truckee.node.network import Network
from truckee.node.recovery import RECOVERS as _RECOVERS
from truckee.node.recovery import Recovery, log_problem
from truckee.node.storage import (
    OfferedStorage,
    OpenedStorage,
    StorageOpener,
    StorageRecord,
)
from truckee.status.problems import Problems
from truckee.storage.journal import Journal
from truckee.storage.kept_sweeper import KeptSweeper

log = Logger()

_TAKES_NOTHING = f"Nothing more is stored there; what is there can be read. {_RECOVERS}"


@define
class KeysNotSaved(Unavailable):
    """The keys of this node are not saved yet, so others could not find it again."""


@define(eq=False)
class NodeDisks:
    """What one node has on disks; ``start``, then ``stop`` and ``release``."""

    directory: NodeDirectory
    _config: NodeConfig
    _disk: Workers
    _reactor: Any
    problems: Problems = field(init=False)
    recovery: Recovery = field(init=False)
    watch: DiskWatch = field(init=False)
    journal: Journal = field(init=False)
    _opener: StorageOpener = field(init=False)
    grid: GridDirectories = field(init=False)
    sweeper: KeptSweeper = field(init=False)
    _offered: bool = field(default=False, init=False)
    _keys_saved: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.problems = Problems(time.time, [log_problem])
        self.recovery = Recovery(self.problems, self._disk, self._reactor)
        self.watch = DiskWatch(self.problems, self._disk, self._reactor)
        self.journal = Journal(self.directory.journal, self._disk, self.problems)
        self._opener = StorageOpener(self._disk, self._config.keep_incomplete)
        self.sweeper = KeptSweeper(self._reactor)
        self.grid = GridDirectories(
            self._config,
            DirectoryRecord(self.directory.path),
            self._opener,
            self.recovery,
            self.watch,
            self._disk,
            self.make_ready,
        )

    async def start(self, keys: NodeKeys) -> None:
        """Save new *keys*, and look at the node directory from now on."""
        path = self.directory.path
        text = (
            f"Nothing is written there, and uploads that need it are refused. {_RECOVERS}"
        )
        await self.watch.add(Place("node directory", path, text))
        self.watch.start()
        self.sweeper.start()
        text = "New keys are in memory only: they are lost if the node stops before."
        await self._attempt("keys", text, partial(self._save, keys))
        text = "Uploads that must be spooled are refused."
        await self._attempt(
            "spool", text, partial(ensure_directories, self.directory.spool)
        )

    def _save(self, keys: NodeKeys) -> None:
        keys.save(self.directory.private)
        self._keys_saved = True

    async def write(self, path: Path, text: str) -> None:
        """Write a file that others read, now or later."""
        work = partial(write_durably, path, text.encode("ascii"))
        await self._attempt(path.name, f"What is in {path.name} may be out of date.", work)

    async def remove(self, path: Path) -> None:
        """Remove a file that others read, and that does not hold any more."""
        work = partial(path.unlink, missing_ok=True)
        await self._attempt(path.name, f"What is in {path.name} is out of date.", work)

    async def _attempt(
        self, name: str, consequence: str, work: Callable[[], object]
    ) -> None:
        await self.recovery.attempt_on_disk(name, f"{consequence} {_RECOVERS}", work)

    async def make_ready(self, name: str, opened: OpenedStorage) -> None:
        """Let a directory that can be read take shares too, now or later."""

        async def ready() -> None:
            if self._config.storage_dirs:
                await self.journal.join(opened.server)
            await self._disk.run(opened.make_ready)

        await self.recovery.attempt(f"{name}: cleaning", _TAKES_NOTHING, ready)
        self.sweeper.add(opened.kept)
        reserved = max(LEAST, opened.server.reserved_space)
        if not opened.server.readonly:
            place = Place(
                name,
                opened.path,
                _TAKES_NOTHING,
                reserved,
                opened.is_there,
                opened.is_other,
                SHARES,
            )
            await self.watch.add(place)

    # For other nodes

    async def offer_storage(
        self, network: Network, opened: Callable[[OfferedStorage], None]
    ) -> None:
        """Be a storage server, now or when the disks permit it; then call *opened*."""
        network.check_port()
        await self.recovery.attempt(
            "storage server",
            f"This node neither stores nor serves shares for others. {_RECOVERS}",
            partial(self._offer_storage, network, opened),
        )

    async def _offer_storage(
        self, network: Network, hear: Callable[[OfferedStorage], None]
    ) -> None:
        config = self._config.storage
        if config is None or self._offered:
            return
        if not self._keys_saved:
            raise KeysNotSaved
        offer, swissnum = await self._disk.run(network.prepare_offer)
        number = await self._disk.run(offer.next_number, time.time())
        opened, offered = await self._disk.run(
            self._opener.open_offered,
            config,
            StorageRecord(self.directory.storage_record, number > 1),
            self._config.nickname,
            offer.permutation_seed(),
            network.tubid,
        )
        self._offered = True
        await self.make_ready("storage", opened)
        hear(offered)
        network.offer(offer, swissnum, offered, number)
        text = "Other nodes may ignore what this one announces after its next start."
        await self._attempt("announcement-seqnum", text, partial(offer.keep_number, number))

    def helper_spool(self) -> tuple[OtherDisk, Place]:
        """Return the directory of our helper, which may be on another disk."""
        disk = OtherDisk(self.directory.helper, self.directory.path)
        text = (
            f"No ciphertext is stored there, so uploads do not use this helper. {_RECOVERS}"
        )
        return disk, Place("helper spool", disk.path, text, is_there=disk.is_there)

    async def offer_helper(
        self, network: Network, prepare: Callable[[], None], offer: Callable[[str], object]
    ) -> None:
        """Be a helper, now or when the disks permit it: first *prepare*, then *offer*."""
        network.check_port()

        async def work() -> None:
            if not self._keys_saved:
                raise KeysNotSaved
            swissnum = await self._disk.run(network.prepare_helper)
            await self._disk.run(prepare)
            offer(swissnum)
            await self._watch(*self.helper_spool())

        text = f"This node is no helper for others. {_RECOVERS}"
        await self.recovery.attempt("helper", text, work)

    # Resumable uploads

    def upload_logs(self) -> tuple[OtherDisk, Place]:
        """Return the directory of resumable uploads, which may be on another disk."""
        disk = OtherDisk(self.directory.upload_logs, self.directory.path)
        text = f"Resumable uploads are refused. {_RECOVERS}"
        return disk, Place("uploads", disk.path, text, is_there=disk.is_there)

    async def start_uploads(self, start: Callable[[], Awaitable[object]]) -> None:
        """Resume open uploads, now or when their disk is there."""

        async def work() -> None:
            await start()
            await self._watch(*self.upload_logs())

        text = f"Some uploads cannot be resumed. {_RECOVERS}"
        await self.recovery.attempt("open uploads", text, work)

    async def _watch(self, disk: OtherDisk, place: Place) -> None:
        # What is wrong with the disk of the node directory is reported already.
        if await self._disk.run(disk.is_apart):
            await self.watch.add(place)

    # The end

    async def stop(self) -> None:
        """Attempt nothing more."""
        self.recovery.stop()
        self.watch.stop()
        await self.sweeper.stop()

    def release(self) -> None:
        """Let other processes have the storage directories."""
        self._opener.release()
