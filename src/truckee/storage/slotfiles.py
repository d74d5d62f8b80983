"""
Shares of mutable files as files, laid out as stock storage servers do.

Source: ``docs/formats/slots.md``.  Everything here blocks: it runs in the disk workers, one
request for a slot at a time.  A share that changes is written anew under ``incoming/`` and
renamed, so what a reader has open never changes, and what a power cut leaves is whole.  A
long share that only grows is written where it is, behind all that readers know of.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import define, field, frozen

from truckee.codec import base32, slot_container
from truckee.codec.container import MOST_LEASES
from truckee.codec.hashes import Buffer
from truckee.codec.secrets import LeaseSecrets
from truckee.codec.slot_container import (
    COUNT_SIZE,
    DATA_OFFSET,
    HEADER_SIZE,
    LEASE_SIZE,
    SlotHeader,
    SlotLeases,
)
from truckee.flow.durable import sync_data, sync_directory
from truckee.storage.interfaces import SlotChange, SlotWrite
from truckee.storage.ranges import RangeSet
from truckee.storage.share_leases import NoRoomForLease, TooManyLeases
from truckee.storage.sharefiles import ShareDirectory

_NAMES = {str(number): number for number in range(256)}
_COPY = 1 << 20  # bytes that are copied through memory at once where the kernel cannot
_MOST_ZEROS = 1 << 20  # bytes of gaps that are filled where the share is


@frozen
class Slot:
    """What is in the directory of one storage index."""

    shares: dict[int, SlotFile]  # of a mutable file
    immutable: frozenset[int] = frozenset()
    damaged: frozenset[int] = frozenset()  # neither, or impossible


@frozen
class SlotFile:
    """A share of a mutable file on the disk."""

    path: Path
    header: SlotHeader

    @contextmanager
    def opened(self) -> Iterator[OpenSlot]:
        """Open the file for as long as the context lasts."""
        share = OpenSlot.open(self.path)
        try:
            yield share
        finally:
            share.close()

    def renew_lease(
        self, secrets: LeaseSecrets, node_id: bytes, now: float, room: bool = True
    ) -> None:
        """
        Renew or add a lease in place; it is durable then.

        :raises NoRoomForLease: when it would make the file longer and there is no *room*.
        :raises TooManyLeases: :raises ValueError: :raises OSError:
        """
        descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            share = OpenSlot.of(descriptor)
            before = share.leases()
            leases, place = before.renewed(share.header, secrets, node_id, now)
            if place is None:
                raise TooManyLeases(MOST_LEASES)
            added = place >= len(before.places)
            if added and not room:
                raise NoRoomForLease
            at = slot_container.place_of_lease(share.header, place)
            os.pwrite(descriptor, leases.places[place].pack(), at)
            # The lease is there before it is counted, whatever happens between the two.
            sync_data(descriptor)
            if added:
                os.pwrite(descriptor, leases.extra[:COUNT_SIZE], share.header.extra_offset)
                sync_data(descriptor)
        finally:
            os.close(descriptor)

    def append(self, writes: Sequence[SlotWrite], lease: Lease, room: int) -> bool:
        """
        Make *writes*, all behind the end of the share, where it is; durably.

        When the share needs more room before its extra leases, it gets *room* bytes more
        than it needs.  Return False, having done nothing, when it is not possible: then the
        share is to be written anew.  :raises OSError: the share is as it was then.
        """
        header, end = self.header, self.header.length
        gaps: list[tuple[int, int]] = []
        for each in writes:
            if each.offset < end:
                return False
            gaps.append((end, each.offset))
            end = each.offset + len(each.data)
        if sum(stop - start for start, stop in gaps) > _MOST_ZEROS:
            return False
        descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            share = OpenSlot.of(descriptor)
            if not share.is_whole or share.header != header:
                return False
            if header.capacity < end:
                header = share.widen(header.widened(end + room))
            for start, stop in gaps:
                _write(descriptor, bytes(stop - start), DATA_OFFSET + start)
            for each in writes:
                _write(descriptor, each.data, DATA_OFFSET + each.offset)
            share.renew(lease)
            sync_data(descriptor)
            # What is read of a share goes up to its length: this is when it has grown.
            grown = header.grown(end).pack_sizes()
            os.pwrite(descriptor, grown, slot_container.SIZES_OFFSET)
            sync_data(descriptor)
        finally:
            os.close(descriptor)
        return True


@define(eq=False)
class OpenSlot:
    """A share whose file is open: it stays what it is, whatever is renamed over it."""

    _descriptor: int
    header: SlotHeader
    _size: int  # of the file

    @classmethod
    def open(cls, path: Path) -> OpenSlot:
        """:raises ValueError: when it is no container of a mutable share."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return cls.of(descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    @classmethod
    def of(cls, descriptor: int) -> OpenSlot:
        """Return the share in an open file, which this closes."""
        header = SlotHeader.parse(os.pread(descriptor, HEADER_SIZE, 0))
        return cls(descriptor, header, os.fstat(descriptor).st_size)

    def close(self) -> None:
        """Close the file; may be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor != -1:
            os.close(descriptor)

    @property
    def length(self) -> int:
        """Bytes of the share; fewer than its header says when the file is cut off."""
        return max(0, min(self.header.length, self._size - DATA_OFFSET))

    def span(self, offset: int, length: int) -> int:
        """Return how many bytes there are in a range."""
        return max(0, min(length, self.length - offset))

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes at *offset*, none past the end."""
        wanted = self.span(offset, length)
        if not wanted:
            # The system refuses an offset that no file has.
            return b""
        return os.pread(self._descriptor, wanted, DATA_OFFSET + offset)

    def leases(self) -> SlotLeases:
        """Return all its leases."""
        inline = os.pread(self._descriptor, DATA_OFFSET - HEADER_SIZE, HEADER_SIZE)
        extra = self.header.extra_offset
        if extra >= self._size:
            return SlotLeases.parse(inline, b"")
        count = slot_container.extra_count(os.pread(self._descriptor, COUNT_SIZE, extra))
        wanted = min(COUNT_SIZE + count * LEASE_SIZE, self._size - extra)
        return SlotLeases.parse(inline, os.pread(self._descriptor, wanted, extra))

    @property
    def is_whole(self) -> bool:
        """Whether the file has all that its header says, at least."""
        return self._size >= self.header.extra_offset + COUNT_SIZE

    def widen(self, header: SlotHeader) -> SlotHeader:
        """Move the extra leases to where *header* says, further behind; return it."""
        _write(self._descriptor, self.leases().extra, header.extra_offset)
        # They are there before they are looked for there, and until then nothing is
        # written over those in the old place.
        sync_data(self._descriptor)
        os.pwrite(self._descriptor, header.pack_sizes(), slot_container.SIZES_OFFSET)
        sync_data(self._descriptor)
        self.header = header
        return header

    def renew(self, lease: Lease) -> None:
        """Renew or add a lease; if it adds no place for one, it is not durable yet."""
        before = self.leases()
        leases, place = before.renewed(self.header, lease.secrets, lease.node_id, lease.now)
        if place is None or leases == before:
            # The write counts: those who hold the leases have the share kept.
            return
        at = slot_container.place_of_lease(self.header, place)
        os.pwrite(self._descriptor, leases.places[place].pack(), at)
        if place >= len(before.places):
            # The lease is there before it is counted, whatever happens between the two.
            sync_data(self._descriptor)
            count = leases.extra[:COUNT_SIZE]
            os.pwrite(self._descriptor, count, self.header.extra_offset)

    def lease_times(self) -> tuple[list[int], bool]:
        """Return when its leases expire, and whether none of them can be missing."""
        leases = self.leases()
        behind = len(leases.places) - slot_container.INLINE_LEASES
        end = self.header.extra_offset + COUNT_SIZE + LEASE_SIZE * behind
        return [lease.expires for lease in leases.in_use], end == self._size

    def copy(self, begin: int, end: int, target: int) -> None:
        """Copy bytes of share and slack to the same place in *target*; holes stay holes."""
        end = min(end, self._size - DATA_OFFSET, self.header.capacity)
        for first, last in _data_in(
            self._descriptor, DATA_OFFSET + begin, DATA_OFFSET + end
        ):
            _copy(self._descriptor, target, first, last)


@define(eq=False)
class SlotDraft:
    """A new version of a share, until it is in its place."""

    _draft: Path
    _final: Path
    _descriptor: int = field(default=-1, init=False)

    def write(
        self,
        old: SlotFile | None,
        header: SlotHeader,
        writes: Sequence[SlotWrite],
        new_length: int | None,
        lease: Lease,
    ) -> None:
        """
        Write all of it, durably; *header* is that of *old*, or of a share without bytes.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._draft.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(self._draft, flags, 0o600)
        covered, length = RangeSet(), header.length
        for each in writes:
            end = each.offset + len(each.data)
            # A gap is filled with zeros, also where the slack has other bytes.
            covered.add(min(each.offset, length), end)
            header = header.grown(end)
            length = header.length
        leases = SlotLeases()
        if old is not None:
            with old.opened() as share:
                leases = share.leases()
                for begin, end in covered.missing(old.header.capacity):
                    share.copy(begin, end, self._descriptor)
        leases, _place = leases.renewed(header, lease.secrets, lease.node_id, lease.now)
        for each in writes:
            _write(self._descriptor, each.data, DATA_OFFSET + each.offset)
        if new_length is not None:
            header = header.cut(new_length)
        _write(self._descriptor, header.pack() + leases.inline, 0)
        _write(self._descriptor, leases.extra, header.extra_offset)
        sync_data(self._descriptor)
        self._close()

    def publish(self) -> None:
        """Give it the name of the share."""
        os.rename(self._draft, self._final)

    def discard(self) -> None:
        """Remove it, if it was not published."""
        self._close()
        with suppress(OSError):
            self._draft.unlink(missing_ok=True)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor != -1:
            os.close(descriptor)


@frozen
class Lease:
    """What a lease of a write is made from."""

    secrets: LeaseSecrets
    node_id: bytes  # 20 bytes
    now: float  # Unix seconds


@frozen
class SlotDirectory:
    """The slots in a storage directory."""

    directory: ShareDirectory
    # A share that has as many bytes is written where it is when it only grows: copying it
    # for each of many pieces would take a time that grows with the square of its length.
    # Shorter ones are copied, and have the very bytes that a stock server would have.
    append_from: int = 1 << 20
    append_room: int = 8 << 20  # bytes that it may grow by before its leases move again

    def append(self, file: SlotFile, change: SlotChange, lease: Lease) -> bool:
        """Change a share where it is, durably; False: nothing was done, write it anew."""
        return (
            file.header.length >= self.append_from
            and bool(change.writes)
            and change.new_length is None
            and file.append(change.writes, lease, self.append_room)
        )

    def slot(self, storage_index: bytes) -> Slot:
        """Return what there is under a storage index."""
        home = self.directory.home(storage_index)
        try:
            names = os.listdir(home)
        except (FileNotFoundError, NotADirectoryError):
            return Slot({})
        shares: dict[int, SlotFile] = {}
        immutable: set[int] = set()
        damaged: set[int] = set()
        for name in _NAMES.keys() & names:
            number, path = _NAMES[name], home / name
            try:
                shares[number] = SlotFile(path, SlotHeader.parse(_head(path)))
            except FileNotFoundError:
                continue
            except (OSError, ValueError):
                kind = immutable if _is_immutable(path) else damaged
                kind.add(number)
        return Slot(shares, frozenset(immutable), frozenset(damaged))

    def path(self, storage_index: bytes, share: int) -> Path:
        """Return where a share is, or would be."""
        return self.directory.home(storage_index) / str(share)

    def draft(self, storage_index: bytes, share: int) -> SlotDraft:
        """Return the draft of a share."""
        name = f"{base32.encode(storage_index)}.{share}.slot"
        incoming = self.directory.root / "shares" / "incoming"
        return SlotDraft(incoming / name, self.path(storage_index, share))

    def make_home(self, storage_index: bytes) -> None:
        """Make the directory of a slot, durably."""
        home = self.directory.home(storage_index)
        made = [path for path in (home, home.parent) if not path.exists()]
        for path in reversed(made):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in made:
            sync_directory(path.parent)

    def settle(self, storage_index: bytes) -> None:
        """Make all names in a slot durable; remove its directory if nothing is in it."""
        home = self.directory.home(storage_index)
        try:
            home.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            sync_directory(home)
        else:
            sync_directory(home.parent)


def _head(path: Path) -> bytes:
    with path.open("rb", buffering=0) as file:
        return file.read(HEADER_SIZE) or b""


def _is_immutable(path: Path) -> bool:
    try:
        return _head(path)[:4] in (b"\0\0\0\1", b"\0\0\0\2")
    except OSError:
        return False


def _write(descriptor: int, data: Buffer, position: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, position)
        view, position = view[count:], position + count


def _data_in(descriptor: int, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Give the parts of a range of a file that are no holes."""
    while begin < end:
        try:
            begin = os.lseek(descriptor, begin, os.SEEK_DATA)
            hole = os.lseek(descriptor, begin, os.SEEK_HOLE)
        except (AttributeError, OSError):
            # The rest is a hole, or the file system does not tell; the copy is right
            # in both cases, for a file is not read past its end.
            size = os.fstat(descriptor).st_size
            if not _tells_holes(descriptor) and begin < min(end, size):
                yield begin, min(end, size)
            return
        if begin < end:
            yield begin, min(end, hole)
        begin = hole


def _tells_holes(descriptor: int) -> bool:
    try:
        os.lseek(descriptor, 0, os.SEEK_HOLE)
    except (AttributeError, OSError):
        return False
    return True


def _copy(source: int, target: int, begin: int, end: int) -> None:
    """Copy a range of a file to the same place in another, in the kernel if it can."""
    while begin < end:
        try:
            count = os.copy_file_range(source, target, end - begin, begin, begin)
        except (AttributeError, OSError):
            count = 0
        if not count:
            data = os.pread(source, min(_COPY, end - begin), begin)
            if not data:
                return
            _write(target, data, begin)
            count = len(data)
        begin += count
