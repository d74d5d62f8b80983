"""
The slots of a storage server over one directory: who may write, what is tested and changed.

Source: ``docs/formats/slots.md``, "What a request does".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from contextlib import AbstractAsyncContextManager, ExitStack
from hmac import compare_digest
from pathlib import Path

from attrs import define, field
from twisted.logger import Logger
from zope.interface import implementer

from truckee.codec import base32, slot_container
from truckee.codec.secrets import LeaseSecrets
from truckee.codec.slot_container import MAX_SHARE_SIZE, WRITE_ENABLER_SIZE, SlotHeader
from truckee.errors import TruckeeError
from truckee.flow.cpu import Workers
from truckee.flow.limits import Exclusive
from truckee.storage import slot_bounds
from truckee.storage.interfaces import (
    MAX_SLOT_ANSWER,
    BadSlotRequest,
    BadWriteEnabler,
    ILocalSlots,
    ISlotReader,
    OtherKind,
    SlotAnswer,
    SlotChange,
    SlotDamaged,
    SlotRead,
    SlotSecrets,
)
from truckee.storage.server import disk_errors
from truckee.storage.share_leases import NoRoomForLease, TooManyLeases
from truckee.storage.slot_reads import holds, measure_all, read_all
from truckee.storage.slotfiles import (
    Lease,
    OpenSlot,
    Slot,
    SlotDirectory,
    SlotDraft,
    SlotFile,
)

log = Logger()

_MOST_REPORTS = 1000  # damaged shares that the log names


@implementer(ILocalSlots)
@define(eq=False)
class DiskSlots:
    """
    Keep the shares of mutable files in a directory, in this process.

    It has the directory together with a ``DiskServer``, which cleans it at the start.
    """

    name: str
    node_id: bytes  # 20 bytes, for the containers
    _slots: SlotDirectory
    _disk: Workers
    _now: Callable[[], float]  # Unix seconds
    _room: Callable[[], Awaitable[int]]  # bytes that files may grow by now
    max_share_size: int = field(default=MAX_SHARE_SIZE, init=False)
    _writing: Exclusive = field(factory=Exclusive, init=False)
    _reported: set[Path] = field(factory=set, init=False)  # damaged shares

    async def shares(self, storage_index: bytes) -> Set[int]:
        """See ``ISlotServer``."""
        slot = await self._disk.run(self._slots.slot, storage_index)
        return slot.shares.keys()

    async def read(
        self,
        storage_index: bytes,
        shares: Set[int],
        reads: Sequence[SlotRead],
        most: int = MAX_SLOT_ANSWER,
    ) -> Mapping[int, Sequence[bytes]]:
        """See ``ILocalSlots``."""
        slot_bounds.check_reads(reads)

        def read() -> Mapping[int, Sequence[bytes]]:
            return read_all(self._chosen(storage_index, shares), reads, most)

        return await self._disk.run(read)

    async def measure(
        self, storage_index: bytes, shares: Set[int], reads: Sequence[SlotRead]
    ) -> Mapping[int, int]:
        """See ``ILocalSlots``."""
        slot_bounds.check_reads(reads)

        def measure() -> Mapping[int, int]:
            return measure_all(self._chosen(storage_index, shares), reads)

        return await self._disk.run(measure)

    async def open(self, storage_index: bytes, share: int) -> ISlotReader | None:
        """See ``ISlotServer``."""

        def open_share() -> OpenSlot | None:
            file = self._look(storage_index).shares.get(share)
            try:
                return None if file is None else OpenSlot.open(file.path)
            except FileNotFoundError:
                return None

        opened = await self._disk.run(open_share)
        return None if opened is None else DiskSlotReader(opened, self._disk)

    async def test_and_write(
        self,
        storage_index: bytes,
        secrets: SlotSecrets,
        changes: Mapping[int, SlotChange],
        reads: Sequence[SlotRead],
        most: int = MAX_SLOT_ANSWER,
    ) -> SlotAnswer:
        """See ``ISlotServer``."""
        slot_bounds.check_reads(reads)
        slot_bounds.check_changes(changes)
        async with self._writing.hold(storage_index):
            with disk_errors(self.name):
                return await self._disk.run(
                    self._test_and_write, storage_index, secrets, changes, reads, most
                )

    def hold(self, storage_index: bytes) -> AbstractAsyncContextManager[None]:
        """Keep everybody from changing the shares of a file inside this context."""
        return self._writing.hold(storage_index)

    async def add_lease(self, storage_index: bytes, secrets: LeaseSecrets) -> None:
        """See ``ISlotServer``."""
        held = len(await self.shares(storage_index))
        if not held:
            return
        room = await self._room() >= held * slot_container.LEASE_SIZE
        async with self._writing.hold(storage_index):
            with disk_errors(self.name):
                await self._disk.run(self._add_lease, storage_index, secrets, room)

    async def advise_corrupt(self, storage_index: bytes, share: int, reason: str) -> None:
        """See ``ISlotServer``; the text is left in ``corruption-advisories``."""
        log.warn("A corrupt share was reported to {server}", server=self.name)
        note = self._slots.directory.note_corruption
        await self._disk.run(note, storage_index, share, reason, "mutable")

    # From here on it blocks.

    def _look(self, storage_index: bytes) -> Slot:
        slot = self._slots.slot(storage_index)
        for share in slot.damaged:
            self._report(self._slots.path(storage_index, share))
        if slot.immutable and not slot.shares:
            raise OtherKind("immutable")
        return slot

    def _chosen(self, storage_index: bytes, shares: Set[int]) -> dict[int, SlotFile]:
        """Return those of *shares* that are here; all if none is named."""
        found = self._look(storage_index).shares
        return {n: file for n, file in found.items() if n in shares or not shares}

    def _report(self, path: Path) -> None:
        # Once: a client that asks again and again must not fill the log.
        if path not in self._reported and len(self._reported) < _MOST_REPORTS:
            self._reported.add(path)
            log.error(
                "The share {path} is damaged: it is no container. Remove it, so that "
                "its owner can repair the file.",
                path=str(path),
            )

    def _test_and_write(
        self,
        storage_index: bytes,
        secrets: SlotSecrets,
        changes: Mapping[int, SlotChange],
        reads: Sequence[SlotRead],
        most: int,
    ) -> SlotAnswer:
        slot = self._look(storage_index)
        _check_enabler(slot, secrets.write_enabler)
        if slot.immutable & changes.keys():
            raise OtherKind("immutable")
        for share in sorted(slot.damaged & changes.keys()):
            raise SlotDamaged(share)
        data = read_all(slot.shares, reads, most)
        success = all(
            holds(slot.shares.get(share), change.tests) for share, change in changes.items()
        )
        if success and changes:
            self._change(storage_index, slot, secrets, changes)
        return SlotAnswer(success, data)

    def _change(
        self,
        storage_index: bytes,
        slot: Slot,
        secrets: SlotSecrets,
        changes: Mapping[int, SlotChange],
    ) -> None:
        """Make all new files, and when they are there put them into their places."""
        lease = Lease(secrets.leases, self.node_id, self._now())
        new = SlotHeader(2, self.node_id, secrets.write_enabler)
        drafts: list[SlotDraft] = []
        if len(changes) == 1:
            ((share, change),) = changes.items()
            if (file := slot.shares.get(share)) and self._slots.append(file, change, lease):
                return
        with ExitStack() as cleanup:
            for share, change in changes.items():
                old = slot.shares.get(share)
                if change.new_length == 0:
                    continue
                if old is not None and not change.writes and change.new_length is None:
                    self._renew(old, lease)
                    continue
                draft = self._slots.draft(storage_index, share)
                cleanup.callback(draft.discard)
                header = new if old is None else old.header
                draft.write(old, header, change.writes, change.new_length, lease)
                drafts.append(draft)
            if drafts:
                cleanup.callback(self._slots.settle, storage_index)
                self._slots.make_home(storage_index)
            for draft in drafts:
                draft.publish()
            for share, change in changes.items():
                if change.new_length == 0 and share in slot.shares:
                    slot.shares[share].path.unlink(missing_ok=True)
                    cleanup.callback(self._slots.settle, storage_index)

    def _renew(self, file: SlotFile, lease: Lease) -> None:
        try:
            file.renew_lease(lease.secrets, lease.node_id, lease.now)
        except TooManyLeases:
            # The write counts: those who hold the leases have the share kept.
            log.warn("{server} adds no lease to a share with too many", server=self.name)

    def _add_lease(self, storage_index: bytes, secrets: LeaseSecrets, room: bool) -> None:
        refusal: TruckeeError | None = None
        for file in self._slots.slot(storage_index).shares.values():
            try:
                file.renew_lease(secrets, self.node_id, self._now(), room)
            except (NoRoomForLease, TooManyLeases) as error:
                refusal = error
            except (FileNotFoundError, ValueError):
                log.failure("{server} could not renew a lease", server=self.name)
        if refusal is not None:
            raise refusal


@implementer(ISlotReader)
@define(eq=False)
class DiskSlotReader:
    """A share of a slot that is open on our disk."""

    _share: OpenSlot
    _disk: Workers

    @property
    def length(self) -> int:
        """See ``ISlotReader``."""
        return self._share.length

    async def read(self, offset: int, length: int) -> bytes:
        """See ``IShareReader``."""
        return await self._disk.run(self._share.read, offset, length)

    async def close(self) -> None:
        """See ``ISlotReader``."""
        await self._disk.run(self._share.close)


def _check_enabler(slot: Slot, write_enabler: bytes) -> None:
    """:raises BadWriteEnabler: naming the server that recorded another one."""
    if not slot.shares and len(write_enabler) != WRITE_ENABLER_SIZE:
        raise BadSlotRequest(f"a write enabler has {WRITE_ENABLER_SIZE} bytes")
    other = None
    for file in slot.shares.values():
        # All are compared, so that how long it takes says nothing.
        if not compare_digest(file.header.write_enabler, write_enabler):
            other = file.header.node_id
    if other is not None:
        raise BadWriteEnabler(base32.encode(other))
