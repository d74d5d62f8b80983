"""
A storage server over one directory: what it takes, what it keeps, what it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Lock
from typing import ClassVar, ParamSpec, TypeVar

from attrs import define, field
from twisted.internet.defer import CancelledError, DeferredLock
from twisted.logger import Logger
from zope.interface import implementer

from truckee.codec import container
from truckee.codec.hashes import Buffer
from truckee.codec.secrets import LeaseSecrets
from truckee.errors import TruckeeError
from truckee.flow.cpu import Workers
from truckee.flow.descriptors import descriptor_errors
from truckee.flow.durable import DiskFault, disk_faults, fault_of
from truckee.flow.limits import Exclusive
from truckee.flow.together import together
from truckee.storage.interfaces import (
    Allocation,
    IDirectShares,
    IKeptShares,
    ILocalReader,
    ILocalWriter,
    IShareReader,
    ISlotServer,
    IStorageServer,
    NoSpace,
    NotWritable,
    ShareClosed,
    ShareTooLarge,
)
from truckee.storage.open_files import OpenFiles
from truckee.storage.promises import Promise, Promises
from truckee.storage.share_leases import NoRoomForLease, TooManyLeases
from truckee.storage.sharefiles import IncomingShare, ShareDirectory, ShareFile

log = Logger()
W = TypeVar("W", bound="DiskWriter")
P = ParamSpec("P")
T = TypeVar("T")

# So many bytes are written by a thread before they are taken off what is promised.
_NOTED = 8 << 20
_NOTE_AGE = 30.0  # seconds, after which fewer are

# Beside its data a share file has a header and a lease.
OVERHEAD = container.HEADER_SIZE + container.LEASE_SIZE


@implementer(IStorageServer)
@define(eq=False)
class DiskServer:
    """
    Keep shares in *directory*, in this process.

    ``start`` comes first: it removes what writers of a dead process left.
    """

    name: str
    permutation_seed: bytes
    lease_seed: bytes
    durable: ClassVar[bool] = True
    takes_open_ends: ClassVar[bool] = True
    directory: ShareDirectory
    _disk: Workers
    _now: Callable[[], float]  # Unix seconds
    reserved_space: int = 0  # bytes of the disk that shares never use
    readonly: bool = False  # take no more shares
    open_files: OpenFiles = field(factory=OpenFiles)
    expires: bool = False  # shares without leases go
    # Whether its directory is where it was, and not an empty mount point; blocks.
    is_there: Callable[[], bool] = lambda: True
    unready: bool = False  # take no shares before ``start`` has succeeded
    slots: ISlotServer | None = None  # in the same directory
    kept: IKeptShares | None = None  # in the same directory
    direct: IDirectShares | None = None  # the same
    promises: Promises = field(factory=Promises, init=False)
    # Of shares that are being written; None: it comes as a whole.
    _writers: dict[tuple[bytes, int], DiskWriter | None] = field(factory=dict, init=False)
    _leases: Exclusive = field(factory=Exclusive, init=False)

    def start(self) -> None:
        """
        Blocks for as long as it takes to remove what was never finished.

        :raises OSError: when the disk refuses; shares can be read all the same.
        """
        self.unready = True
        self.directory.clear_incoming()
        self.unready = False

    async def available_space(self) -> int:
        """Free space less what is reserved and what writers were promised."""
        return self._unpromised(await self._disk.run(self._free_space))

    def _free_space(self) -> int:
        if self.readonly or self.unready or not self.is_there():
            return 0
        return self.directory.free_space()

    async def allocate(
        self,
        storage_index: bytes,
        secrets: LeaseSecrets,
        shares: Set[int],
        size: int,
        open_ended: bool = False,
    ) -> Allocation:
        """See ``IStorageServer``.  An open-ended share is promised nothing."""
        promised = 0 if open_ended else size + OVERHEAD

        def new(share: int, promise: Promise) -> DiskWriter:
            file = IncomingShare(
                self.directory.incoming(storage_index) / str(share),
                self.directory,
                storage_index,
                share,
                self.open_files,
            )
            return DiskWriter(
                self,
                storage_index,
                share,
                secrets,
                size,
                promise,
                file,
                self._disk,
                self._now,
            )

        wanted = dict.fromkeys(shares, promised)
        return Allocation(*await self.take(storage_index, secrets, wanted, new))

    async def take(
        self,
        storage_index: bytes,
        secrets: LeaseSecrets,
        promised: Mapping[int, int],
        new: Callable[[int, Promise], W],
    ) -> tuple[Set[int], dict[int, W]]:
        """
        Begin shares with the writers that *new* makes, as far as there is room.

        *promised* has the bytes that are kept free for each.  Return the finished ones and
        the writers; see ``Allocation``.
        """
        finished, refused = await self._renew(
            storage_index, container.OWNER_OF_ALLOCATION, secrets
        )
        free = await self._disk.run(self._free_space)
        writers: dict[int, W] = {}
        try:
            for share in sorted(promised.keys() - finished.keys()):
                if not self._takes(storage_index, share, promised[share], free):
                    continue
                promise = Promise(promised[share], self._now())
                writer = writers[share] = new(share, promise)
                self._writers[storage_index, share] = writer
                self.promises.add(promise)
                if not await self._created(writer):
                    del writers[share]
                    await writer.give_back()
            # A share may have been finished by another writer since the first look.
            finished = await self._shares(storage_index)
            for share in finished.keys() & writers.keys():
                await writers[share].abort()
                del writers[share]
        except Exception:
            # All at once: whoever is cancelled again must not leave the rest behind.
            await together(writer.give_back() for writer in writers.values())
            raise
        # A share that has no lease of theirs will go when those of others have expired.
        unsafe = refused.keys() if self.expires else set()
        return finished.keys() - unsafe, writers

    def _takes(self, storage_index: bytes, share: int, promised: int, free: int) -> bool:
        """Tell whether nobody writes a share, and there is room for it."""
        room = self._unpromised(free)
        busy = (storage_index, share) in self._writers
        return not busy and room > 0 and promised <= room

    async def _created(self, writer: DiskWriter) -> bool:
        """Make the file of a share; return whether the disk lets us."""
        try:
            await self._disk.run(writer.file.create)
        except OSError as error:
            if fault_of(error) is None:
                raise
            # As without room: whoever asks goes to another server.
            log.warn("{server} takes no share: {error}", server=self.name, error=error)
            return False
        return True

    async def buckets(self, storage_index: bytes) -> Mapping[int, IShareReader]:
        """See ``IStorageServer``."""
        finished = await self._shares(storage_index)
        return {share: DiskReader(file, self._disk) for share, file in finished.items()}

    def check_there(self) -> None:
        """:raises NotWritable: when the directory is not where it was; blocks."""
        if not self.is_there():
            raise NotWritable(self.name, DiskFault.MISSING.value)

    async def add_lease(self, storage_index: bytes, secrets: LeaseSecrets) -> None:
        """See ``IStorageServer``.  :raises NoRoomForLease: :raises TooManyLeases:"""
        _finished, refused = await self._renew(
            storage_index, container.OWNER_OF_ADDED_LEASE, secrets
        )
        for refusal in refused.values():
            raise refusal

    async def advise_corrupt(self, storage_index: bytes, share: int, reason: str) -> None:
        """See ``IStorageServer``; the text is left in ``corruption-advisories``."""
        log.warn("A corrupt share was reported to {server}", server=self.name)
        with descriptor_errors():
            await self._disk.run(self._note_corruption, storage_index, share, reason)

    def _note_corruption(self, storage_index: bytes, share: int, reason: str) -> None:
        self.check_there()
        with disk_errors(self.name):
            self.directory.note_corruption(storage_index, share, reason)

    @contextmanager
    def reserved(
        self, storage_index: bytes, share: int, size: int
    ) -> Iterator[Callable[[], bool] | None]:
        """
        Keep others from writing a share; None: somebody writes it.

        Call what is given to learn whether there is room for a file of *size* bytes; it
        blocks for a moment.
        """
        if (storage_index, share) in self._writers:
            yield None
            return
        promise = Promise(size, self._now())
        self._writers[storage_index, share] = None
        self.promises.add(promise)
        least = self.reserved_space + self.promises.owed(self._now())
        try:
            yield lambda: self._free_space() >= least
        finally:
            self.forget(storage_index, share, promise)

    def has_room(self) -> bool:
        """Tell whether one more write may go to the disk; blocks for a moment."""
        return self.directory.free_space() > self.reserved_space

    def forget(self, storage_index: bytes, share: int, promise: Promise) -> None:
        """The writer of this share is done with it."""
        del self._writers[storage_index, share]
        self.promises.remove(promise)

    def writer(self, storage_index: bytes, share: int) -> DiskWriter | None:
        """Return who writes this share now."""
        return self._writers.get((storage_index, share))

    async def _shares(self, storage_index: bytes) -> dict[int, ShareFile]:
        """Return the finished shares of a file."""
        with descriptor_errors():
            return await self._disk.run(self._look, storage_index)

    def _look(self, storage_index: bytes) -> dict[int, ShareFile]:
        found = self.directory.shares(storage_index)
        if not found:
            # That there are none can only be said of the right directory.
            self.check_there()
        return found

    def _unpromised(self, free: int) -> int:
        return max(0, free - self.reserved_space - self.promises.owed(self._now()))

    async def remove_expired(
        self, storage_index: bytes, remove: Callable[[Path], None]
    ) -> None:
        """Have *remove* look at the shares of a file, while nobody renews their leases."""
        async with self._leases.hold(storage_index):
            await self._disk.run(remove, self.directory.home(storage_index))

    async def _renew(
        self, storage_index: bytes, owner: int, secrets: LeaseSecrets
    ) -> tuple[dict[int, ShareFile], dict[int, TruckeeError]]:
        """
        Renew or add a lease on the finished shares of a file.

        Return these, and why some of them have no lease with these secrets now.
        """

        def renew() -> tuple[dict[int, ShareFile], dict[int, TruckeeError]]:
            finished = self.directory.shares(storage_index)
            refused: dict[int, TruckeeError] = {}
            room = bool(finished) and self._has_room_for_leases(len(finished))
            for number, file in finished.items():
                try:
                    file.renew_lease(owner, secrets, self._now(), room=room)
                except (NoRoomForLease, TooManyLeases) as error:
                    refused[number] = error
                except (OSError, ValueError) as error:
                    # A lease that cannot be renewed must not keep a reader or writer away.
                    log.warn(
                        "{server} could not renew a lease: {error}",
                        server=self.name,
                        error=str(error),
                    )
            return finished, refused

        # Two at once would write their leases to the same place.
        async with self._leases.hold(storage_index):
            with descriptor_errors():
                return await self._disk.run(renew)

    def _has_room_for_leases(self, count: int) -> bool:
        """Tell whether *count* more leases may go to the disk; blocks for a moment."""
        if self.readonly:
            return False
        free = self._unpromised(self.directory.free_space())
        return free >= count * container.LEASE_SIZE


def disk_errors(where: str) -> AbstractContextManager[None]:
    """:raises NoSpace: when the disk takes nothing more of what is done here."""

    def refusal(fault: DiskFault) -> NoSpace:
        if fault is DiskFault.FULL:
            return NoSpace(where)
        return NotWritable(where, fault.value)

    return disk_faults(refusal)


@implementer(ILocalReader)
@define(eq=False)
class DiskReader:
    """A finished share on our disk."""

    _file: ShareFile
    _disk: Workers

    async def read(self, offset: int, length: int) -> bytes:
        """See ``IShareReader``."""
        with descriptor_errors():
            return await self._disk.run(self._file.read, offset, length)

    def read_here(self, offset: int, length: int) -> bytes:
        """See ``ILocalReader``."""
        with descriptor_errors():
            return self._file.read(offset, length)


@implementer(ILocalWriter)
@define(eq=False)
class DiskWriter:
    """A share on its way to our disk; what is asked of it is done one by one."""

    _server: DiskServer
    _storage_index: bytes
    _share: int
    _secrets: LeaseSecrets
    _size: int  # bytes it may grow to
    _promise: Promise  # the space that is kept free for it
    file: IncomingShare
    _disk: Workers
    _now: Callable[[], float]
    _open: bool = field(default=True, init=False)
    _turn: DeferredLock = field(factory=DeferredLock, init=False, repr=False)
    _using: Lock = field(factory=Lock, init=False, repr=False)  # the file, by a thread
    _over: bool = field(default=False, init=False)  # nothing more goes to the file
    _noted: int = field(default=0, init=False)  # of what ``write_here`` wrote, bytes
    _noted_at: float = field(default=0.0, init=False)  # Unix seconds

    async def write(self, offset: int, parts: Sequence[Buffer]) -> None:
        """See ``IShareWriter``."""
        async with self._turn:
            self._check_write(offset, parts)
            try:
                with disk_errors(self._server.name):
                    await self._run(self._write, offset, parts)
            finally:
                self.note()

    def write_here(self, offset: int, parts: Sequence[Buffer]) -> bool:
        """See ``ILocalWriter``."""
        with self._using:
            self._check_write(offset, parts)
            with disk_errors(self._server.name):
                self._write(offset, parts)
            now = self._now()
            due = self.file.written - self._noted >= _NOTED
            due = due or not 0 <= now - self._noted_at < _NOTE_AGE
            if due:
                self._noted_at = now
        return due

    def note(self) -> None:
        """See ``ILocalWriter``."""
        self._noted = self.file.written
        if self._open:
            self._server.promises.wrote(self._promise, self._noted)

    def _check_write(self, offset: int, parts: Sequence[Buffer]) -> None:
        self._check_open()
        end = offset + sum(map(len, parts))
        if end > self._size:
            raise ShareTooLarge(self._share, end, self._size)

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do *work* with the file in a worker, when no other thread uses it."""

        def alone() -> T:
            with self._using:
                return work(*args, **kwargs)

        return await self._disk.run(alone)

    def _write(self, offset: int, parts: Sequence[Buffer]) -> None:
        # Nothing is promised to a share with an open end, nor for ever to any other.
        kept = self._promise.owed(self._now())
        if kept < sum(map(len, parts)) and not self._server.has_room():
            raise NoSpace(self._server.name)
        self.file.write(offset, parts)

    async def close(self, size: int) -> None:
        """See ``IShareWriter``."""
        async with self._turn:
            self._check_open()
            if size > self._size:
                raise ShareTooLarge(self._share, size, self._size)
            with disk_errors(self._server.name):
                await self._run(self._publish, size)
            self._end()

    def _publish(self, size: int) -> None:
        self._server.check_there()
        self.file.publish(size, self._secrets, self._now())
        self._over = True

    async def abort(self) -> None:
        """See ``IShareWriter``.  Cancelled, it is done all the same."""
        await self._end_with(self.file.discard)

    async def give_back(self) -> None:
        """End as if it had not been begun."""
        await self.abort()

    async def _end_with(self, work: Callable[[], None]) -> None:
        """Do *work* in its turn, if it is open, and close it; cancelled, all the same."""

        def end() -> None:
            try:
                work()
            finally:
                self._over = True

        cancelled: CancelledError | None = None
        while True:
            try:
                await self._turn.acquire()
                break
            except CancelledError as error:
                # Nobody else would abort the share.
                cancelled = error
        try:
            if self._open:
                try:
                    await self._run(end)
                except OSError as error:
                    # What is left is removed when the directory is opened again.
                    log.warn("A share was left unfinished: {error}", error=str(error))
                finally:
                    self._end()
        finally:
            self._turn.release()
        if cancelled is not None:
            raise cancelled

    def _check_open(self) -> None:
        # A thread that waited for the file may be the first one after its end.
        if not self._open or self._over:
            raise ShareClosed(self._share)

    def _end(self) -> None:
        self._open = False
        self._server.forget(self._storage_index, self._share, self._promise)
