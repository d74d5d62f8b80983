"""
Shares on our disk that outlive their writers.

Source: ``docs/formats/kept-shares.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import ClassVar

from attrs import define, field, frozen
from twisted.internet.defer import DeferredLock
from zope.interface import implementer

from truckee.codec.secrets import LeaseSecrets
from truckee.flow.cpu import Workers
from truckee.flow.limits import Exclusive
from truckee.flow.together import together
from truckee.storage.interfaces import (
    MAX_HASHED,
    MAX_KEPT_HASHES,
    MAX_KEPT_SIZE,
    BadKeptRequest,
    IKeptShares,
    IKeptWriter,
    ILocalWriter,
    Opened,
)
from truckee.storage.kept_files import (
    IdleShare,
    KeptDirectory,
    KeptFile,
    KeptName,
    owner_of,
    remove_idle,
    remove_if_untouched,
)
from truckee.storage.promises import Promise
from truckee.storage.server import OVERHEAD, DiskServer, DiskWriter, disk_errors

KEEP = 3 * 86400.0  # seconds after the last byte
KEEP_BRIEFLY = 1800.0  # the same, of brief ones
MOST = 16_384  # shares to which nobody writes
# When half as many are kept, those are not that have less; they are soon sent again.
LEAST = 64 << 10  # bytes


@frozen
class KeptTotals:
    """What there was at the last look."""

    shares: int = 0  # those that somebody writes too
    size: int = 0  # bytes
    removed: int = 0  # shares, by the look


@implementer(IKeptShares)
@define(eq=False)
class KeptShares:
    """
    Those beside the finished shares of *server*.

    ``start`` comes first, and ``sweep`` from time to time.
    """

    _server: DiskServer
    _disk: Workers
    _now: Callable[[], float]  # Unix seconds
    far: ClassVar[bool] = False
    keep: float = KEEP
    most: int = MOST
    totals: KeptTotals = field(factory=KeptTotals, init=False)
    _idle: int = field(default=0, init=False)  # shares to which nobody writes
    _turns: Exclusive = field(factory=Exclusive, init=False)
    # A small question is much work: of all writers' one at a time is answered.
    hashing: DeferredLock = field(factory=DeferredLock, init=False)
    _files: KeptDirectory = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._files = KeptDirectory(self._server.directory)

    def start(self) -> None:
        """Count what is there; blocks."""
        count = size = 0
        for prefix in self._files.prefixes():
            for share in self._files.idle(prefix):
                count += 1
                size += share.length
        self.totals = KeptTotals(count, size)
        self._idle = count

    async def unfinished(
        self, storage_index: bytes, upload_secret: bytes
    ) -> dict[int, int]:
        """See ``IKeptShares``."""
        owner = owner_of(upload_secret)
        return await self._disk.run(self._files.unfinished, storage_index, owner)

    async def open(
        self,
        storage_index: bytes,
        secrets: LeaseSecrets,
        upload_secret: bytes,
        shares: Set[int],
        size: int,
        open_ended: bool,
        brief: bool = False,
    ) -> Opened:
        """See ``IKeptShares``."""
        if not 0 <= size <= MAX_KEPT_SIZE:
            raise BadKeptRequest(f"no share has {size} bytes")
        owner = owner_of(upload_secret)

        def new(share: int, promise: Promise) -> KeptWriter:
            server = self._server
            path = self._files.path(storage_index, KeptName(share, owner))
            file = KeptFile(
                path, server.directory, storage_index, share, server.open_files, brief
            )
            return self._new_writer(
                storage_index, share, secrets, size, promise, owner, file
            )

        async with self._turns.hold(storage_index):
            await self._take_over(storage_index, shares, owner)
            there = await self._disk.run(self._files.unfinished, storage_index, owner)
            promised = {
                share: 0 if open_ended else max(0, size + OVERHEAD - there.get(share, 0))
                for share in shares
            }
            already, writers = await self._server.take(
                storage_index, secrets, promised, new
            )
            self._idle -= len(writers.keys() & there.keys())
            try:
                await self._forget(storage_index, owner, already & there.keys())
            except Exception:
                await together(writer.leave() for writer in writers.values())
                raise
        return Opened(already, writers)

    async def sweep(self) -> None:
        """
        Remove what was idle for too long, and count the rest.

        :raises OSError: when the disk refuses :raises NotWritable: when it is not there
        """
        await self._disk.run(self._server.check_there)
        count = size = removed = live = 0
        for prefix in await self._disk.run(self._files.prefixes):
            for share in await self._disk.run(self._files.idle, prefix):
                keep = min(self.keep, KEEP_BRIEFLY) if share.brief else self.keep
                old = share.touched < self._now() - keep
                if old and await self._expire(share):
                    removed += 1
                    continue
                count += 1
                size += share.length
                live += self._is_written(share)
        self.totals = KeptTotals(count, size, removed)
        self._idle = count - live

    def left(self, count: int) -> None:
        """So many shares stayed when their writers went."""
        self._idle += count

    @property
    def least(self) -> int | None:
        """How many bytes a share must have to be kept; None: none is kept now."""
        if self._idle >= self.most:
            return None
        # Shares of a few bytes cost whoever means harm nothing: places are left for others.
        return 1 if 2 * self._idle < self.most else LEAST

    def _new_writer(
        self,
        storage_index: bytes,
        share: int,
        secrets: LeaseSecrets,
        size: int,
        promise: Promise,
        owner: str,
        file: KeptFile,
    ) -> KeptWriter:
        return KeptWriter(
            server=self._server,
            storage_index=storage_index,
            share=share,
            secrets=secrets,
            size=size,
            promise=promise,
            file=file,
            disk=self._disk,
            now=self._now,
            kept=self,
            owner=owner,
        )

    async def _take_over(self, storage_index: bytes, shares: Set[int], owner: str) -> None:
        """Have the writers of this owner go."""
        for share in shares:
            writer = self._server.writer(storage_index, share)
            if isinstance(writer, KeptWriter) and writer.owner == owner:
                await writer.leave()

    async def _forget(self, storage_index: bytes, owner: str, shares: Set[int]) -> None:
        """Remove what is kept of shares that are finished."""
        for share in shares:
            path = self._files.path(storage_index, KeptName(share, owner))
            self._idle -= 1
            await self._disk.run(remove_idle, path)

    async def _expire(self, share: IdleShare) -> bool:
        """Remove *share* if nobody writes it; return whether it is gone."""
        async with self._turns.hold(share.storage_index):
            if self._is_written(share):
                return False
            return await self._disk.run(remove_if_untouched, share)

    def _is_written(self, share: IdleShare) -> bool:
        writer = self._server.writer(share.storage_index, share.name.share)
        return isinstance(writer, KeptWriter) and writer.owner == share.name.owner


@implementer(IKeptWriter, ILocalWriter)
@define(eq=False, kw_only=True)
class KeptWriter(DiskWriter):
    """See ``DiskWriter``; when it is left, its share stays."""

    file: KeptFile
    _kept: KeptShares
    owner: str

    @property
    def length(self) -> int:
        """See ``IKeptWriter``; a close that failed leaves a lease behind the share."""
        return min(self.file.length, self._size)

    async def hashes(self, offset: int, piece: int, count: int) -> Sequence[bytes]:
        """See ``IKeptWriter``."""
        if offset < 0 or piece < 1 or not 0 <= count <= MAX_KEPT_HASHES:
            raise BadKeptRequest("there are no such pieces")
        if piece * count > MAX_HASHED:
            raise BadKeptRequest("these are too many bytes for one question")
        async with self._turn, self._kept.hashing:
            self._check_open()
            with disk_errors(self._server.name):
                return await self._run(self.file.hashes, offset, piece, count)

    async def leave(self) -> None:
        """See ``IKeptWriter``.  Cancelled, it is done all the same."""
        least, stayed = self._kept.least, []

        def let_go() -> None:
            if least is None:
                self.file.discard()
            elif self.file.leave(least):
                stayed.append(self)

        try:
            await self._end_with(let_go)
        finally:
            self._kept.left(len(stayed))

    async def give_back(self) -> None:
        """See ``DiskWriter``."""
        await self.leave()
