"""The locks of a gateway, kept on its disk: whoever has one has it after a crash."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import UUID

from attrs import define, field
from twisted.logger import Logger

from truckee.errors import Unavailable
from truckee.flow.cpu import Workers
from truckee.flow.durable import DiskFault, disk_faults, write_durably
from truckee.flow.limits import Exclusive
from truckee.frontends.webdav.lock_table import LockTable

log = Logger()


@define
class LocksNotKept(Unavailable):
    """Locks cannot be kept on the gateway's disk: {fault}. Unlocked, this can be done."""

    fault: str


@define(eq=False)
class Locks:
    """
    A table, and its file.

    *path* is in the node's private directory: what is locked is told by hashes there, who
    locked it by what clients say.
    """

    _path: Path
    _disk: Workers
    now: Callable[[], float]  # Unix seconds
    _random: Callable[[int], bytes]
    _table: LockTable | None = field(default=None, init=False)
    _turns: Exclusive = field(factory=Exclusive, init=False)

    def new_token(self) -> str:
        """Return a token that nobody guesses."""
        return f"urn:uuid:{UUID(bytes=self._random(16), version=4)}"

    async def table(self) -> LockTable:
        """Return the locks as they are now, to look at."""
        if self._table is None:
            async with self._turns.hold(None):
                await self._load()
        assert self._table is not None
        return self._table

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[LockTable]:
        """
        Have the table changed inside; what is outside then is on disk.

        :raises LocksNotKept: when it is not; the table is as it was then.
        """
        async with self._turns.hold(None):
            table = await self._load()
            before = table.pack()
            try:
                yield table
                if table.pack() != before:
                    await self._disk.run(self._write, table.pack())
            except BaseException:
                self._table = LockTable.load(before)
                raise

    async def forget(self, key: str) -> None:
        """Drop the locks on what is gone, and on what was in it."""
        table = await self.table()
        if not (table.inside(key, 0) or table.on(key, 0)):
            return
        # What is gone is gone: if its lock cannot be, it expires.
        with suppress(LocksNotKept):
            async with self.changing() as table:
                table.forget(key)

    async def _load(self) -> LockTable:
        if self._table is None:
            self._table = await self._disk.run(self._read)
        return self._table

    def _read(self) -> LockTable:
        try:
            return LockTable.load(self._path.read_bytes())
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            reason = type(error).__name__
            log.warn(
                "WebDAV locks cannot be read ({reason}): there are none", reason=reason
            )
        return LockTable()

    def _write(self, packed: bytes) -> None:
        def refusal(fault: DiskFault) -> Unavailable:
            return LocksNotKept(fault.value)

        with disk_faults(refusal):
            write_durably(self._path, packed)
