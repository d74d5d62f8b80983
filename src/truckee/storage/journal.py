"""
What a gateway is about to show to readers on its own disks.

A file's shares become visible one by one.  Were the process killed in between, shares
would stay that no cap belongs to.  So they are noted first and struck out when all are
there; at the next start, what is still noted is removed.

A note names servers, not paths, so that a disk may be mounted elsewhere by then; and it is
kept while one of its disks is away.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

from attrs import define, frozen
from twisted.logger import Logger

from truckee.codec import base32
from truckee.flow.cpu import Workers
from truckee.flow.durable import DRAFT, make_directories, remove_durably, write_durably
from truckee.storage.interfaces import IStorageServer
from truckee.storage.server import DiskServer, disk_errors

log = Logger()


@frozen
class _Noted:
    """One share that is about to be shown."""

    server: str  # its lease seed in base32
    storage_index: str  # in base32
    share: int

    @classmethod
    def parse(cls, line: str) -> _Noted:
        """:raises ValueError: when it is no line of ours."""
        server, storage_index, share = line.split(" ")
        return cls(server, storage_index, int(share))

    def __str__(self) -> str:
        return f"{self.server} {self.storage_index} {self.share}"


@define(eq=False)
class Journal:
    """Notes in *directory*, a file for each upload that is being shown."""

    directory: Path
    _disk: Workers

    def start(self, servers: Iterable[DiskServer]) -> None:
        """
        Remove the shares of uploads that died while they were shown; blocks.

        *servers* are those that are there now.
        """
        make_directories(self.directory)
        here = {_name(server): server for server in servers}
        for note in sorted(self.directory.iterdir()):
            if note.suffix == DRAFT:
                note.unlink()
                continue
            away = []
            for line in note.read_text("ascii").splitlines():
                noted = _Noted.parse(line)
                if noted.server in here:
                    _remove(here[noted.server], noted)
                else:
                    away.append(noted)
            if away:
                _write(note, away)
            else:
                remove_durably(note)

    @asynccontextmanager
    async def showing(
        self, storage_index: bytes, servers: Mapping[int, IStorageServer]
    ) -> AsyncIterator[None]:
        """
        Show these numbered shares to readers inside this context.

        When it ends well they stay; when it raises, those on our own disks are removed.
        """
        index = base32.encode(storage_index)
        noted = {
            _Noted(_name(server), index, share): server
            for share, server in servers.items()
            if isinstance(server, DiskServer)
        }
        if not noted:
            yield
            return
        note = self.directory / uuid4().hex
        try:
            # Cancelled here or at the end, the note may be there or not: a note that stays
            # would take away what is stored under the same name later.
            with disk_errors("the disk of the node directory"):
                await self._disk.run(_write, note, noted)
            yield
            await self._disk.run(remove_durably, note)
        except BaseException:
            await self._disk.run(_undo, note, noted)
            raise


def _name(server: IStorageServer) -> str:
    return base32.encode(server.lease_seed)


def _write(note: Path, noted: Iterable[_Noted]) -> None:
    write_durably(note, "".join(f"{each}\n" for each in noted).encode("ascii"))


def _undo(note: Path, noted: Mapping[_Noted, DiskServer]) -> None:
    for each, server in noted.items():
        _remove(server, each)
    remove_durably(note)


def _remove(server: DiskServer, noted: _Noted) -> None:
    home = server.directory.home(base32.decode(noted.storage_index))
    with suppress(FileNotFoundError):
        # Before its note goes: a share that came back would belong to no cap.
        remove_durably(home / str(noted.share))
    with suppress(OSError):
        home.rmdir()
    log.info("Removed a share of an unfinished upload from {name}", name=server.name)
