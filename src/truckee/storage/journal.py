"""
What a gateway is about to show to readers on its own disks.

A file's shares become visible one by one.  Were the process killed in between, shares
would stay that no cap belongs to.  So their paths are noted first and struck out when all
are there; at the next start, what is still noted is removed.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

from attrs import define
from twisted.logger import Logger

from truckee.flow.cpu import Workers
from truckee.storage.interfaces import IStorageServer
from truckee.storage.server import DiskServer, disk_errors
from truckee.storage.sharefiles import sync_directory

log = Logger()

_DRAFT = ".new"


@define(eq=False)
class Journal:
    """Notes in *directory*, a file for each upload that is being shown."""

    directory: Path
    _disk: Workers

    def start(self) -> None:
        """Remove the shares of uploads that died while they were shown; blocks."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for note in sorted(self.directory.iterdir()):
            if note.suffix == _DRAFT:
                note.unlink()
            else:
                _remove_noted(note)

    @asynccontextmanager
    async def showing(
        self, storage_index: bytes, servers: Mapping[int, IStorageServer]
    ) -> AsyncIterator[None]:
        """
        Show these numbered shares to readers inside this context.

        When it ends well they stay; when it raises, those on our own disks are removed.
        """
        shares = [
            server.directory.home(storage_index) / str(share)
            for share, server in servers.items()
            if isinstance(server, DiskServer)
        ]
        if not shares:
            yield
            return
        with disk_errors(str(self.directory)):
            note = await self._disk.run(_write_note, self.directory, shares)
        try:
            yield
        except BaseException:
            await self._disk.run(_remove_noted, note)
            raise
        await self._disk.run(_strike, note)


def _write_note(directory: Path, shares: Iterable[Path]) -> Path:
    note = directory / uuid4().hex
    draft = note.with_suffix(_DRAFT)
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.writelines(f"{path}\n" for path in shares)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    draft.rename(note)
    sync_directory(directory)
    return note


def _remove_noted(note: Path) -> None:
    shares = [Path(line) for line in note.read_text("utf-8").splitlines()]
    for share in shares:
        share.unlink(missing_ok=True)
        with suppress(OSError):
            share.parent.rmdir()
    log.info("Removed the {count} shares of an unfinished upload", count=len(shares))
    _strike(note)


def _strike(note: Path) -> None:
    note.unlink()
    sync_directory(note.parent)
