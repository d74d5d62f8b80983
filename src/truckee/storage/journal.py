"""
What a gateway is about to show to readers on its own disks.

A file's shares become visible one by one.  Were the process killed in between, shares
would stay that no cap belongs to.  So they are noted first and struck out when all are
there; at the next start, what is still noted is removed.

A note names servers, not paths, so that a disk may be mounted elsewhere by then; and it is
kept while one of its disks is away.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Set
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

from attrs import define, field, frozen
from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from truckee.codec import base32
from truckee.flow.cpu import Workers
from truckee.flow.durable import DRAFT, make_directories, remove_durably, write_durably
from truckee.status.problems import Problems
from truckee.storage.interfaces import IStorageServer, NotWritable
from truckee.storage.server import DiskServer, disk_errors

log = Logger()

_WHERE = "the disk of the node directory"
_DAMAGED = ".damaged"


@frozen
class _Noted:
    """One share that is about to be shown."""

    server: str  # its lease seed in base32
    storage_index: str  # in base32
    share: int

    @classmethod
    def parse(cls, line: bytes) -> _Noted | None:
        """Return what a line says; None: it is damaged."""
        try:
            server, storage_index, share = line.decode("ascii").split(" ")
            base32.decode(storage_index)
            return cls(server, storage_index, int(share))
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.server} {self.storage_index} {self.share}"


@define(eq=False)
class Journal:
    """Notes in *directory*, a file for each upload that is being shown."""

    directory: Path
    _disk: Workers
    _problems: Problems | None = None
    # Notes of uploads that are over, whose shares could not all be removed yet; and the
    # servers that each waits for, None: that is not known yet.
    _unfinished: dict[Path, Set[str] | None] = field(factory=dict, init=False)
    _loaded: bool = field(default=False, init=False)
    _here: dict[str, DiskServer] = field(factory=dict, init=False)
    _turn: DeferredLock = field(factory=DeferredLock, init=False, repr=False)

    def start(self, servers: Iterable[DiskServer]) -> None:
        """
        Remove the shares of uploads that died while they were shown; blocks.

        *servers* are those that are there now.

        :raises OSError: when the disk refuses. What is left is removed before anything is
            shown, or when this is called again.
        """
        self._here = {_name(server): server for server in servers}
        self._loaded = False
        self._finish()

    def _load(self) -> None:
        """Find what earlier processes left, before anything is shown by this one."""
        make_directories(self.directory)
        for note in sorted(self.directory.iterdir()):
            if note.suffix == DRAFT:
                note.unlink()
            elif note.suffix != _DAMAGED:
                self._unfinished.setdefault(note, None)
        self._loaded = True

    async def join(self, server: DiskServer) -> None:
        """
        Do the same on a *server* that came later.

        :raises OSError: when the disk refuses.
        """
        self._here[_name(server)] = server
        await self._settle()

    def _finish(self) -> None:
        """Remove what unfinished notes name, and what is done from them."""
        if not self._loaded:
            self._load()
        for note in sorted(self._unfinished):
            try:
                lines = note.read_bytes().splitlines()
            except FileNotFoundError:
                del self._unfinished[note]
                continue
            noted = [_Noted.parse(line) for line in lines]
            away = []
            for each in filter(None, noted):
                if each.server in self._here:
                    _remove(self._here[each.server], each)
                else:
                    away.append(each)
            if None in noted:
                self._set_aside(note)
            elif away:
                if len(away) < len(noted):
                    _write(note, away)
                self._unfinished[note] = {each.server for each in away}
            else:
                remove_durably(note)
                del self._unfinished[note]

    def _set_aside(self, note: Path) -> None:
        """Keep a damaged note for the operator, where it is in nobody's way."""
        aside = note.with_suffix(_DAMAGED)
        note.rename(aside)
        del self._unfinished[note]
        text = (
            "A note of an upload that was cut short is damaged, and was set aside: "
            f"storage/journal/{aside.name}. Shares may be left that no cap belongs to; "
            "nothing else depends on it. Delete it when you have seen it."
        )
        log.error("{path} is damaged", path=str(aside))
        if self._problems is not None:
            self._problems.report(f"journal {aside.name}", text)

    async def _settle(self) -> None:
        """Finish what can be: a note would take away what is stored there from now on."""
        async with self._turn:
            waiting = list(self._unfinished.values())
            if not self._loaded or any(
                names is None or names & self._here.keys() for names in waiting
            ):
                await self._disk.run(self._finish)

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
            with disk_errors(_WHERE):
                await self._settle()
                await self._disk.run(_write, note, noted)
            yield
            with disk_errors(_WHERE):
                await self._disk.run(remove_durably, note)
        except BaseException:
            try:
                await self._disk.run(_undo, note, noted)
            except (OSError, NotWritable) as error:
                log.error("Shares of an upload that failed stay: {error}", error=str(error))
                self._unfinished[note] = None
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
    server.check_there()
    home = server.directory.home(base32.decode(noted.storage_index))
    with suppress(FileNotFoundError):
        # Before its note goes: a share that came back would belong to no cap.
        remove_durably(home / str(noted.share))
    with suppress(OSError):
        home.rmdir()
    log.info("Removed a share of an unfinished upload from {name}", name=server.name)
