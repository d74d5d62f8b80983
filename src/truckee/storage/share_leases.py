"""
The leases in the files of immutable shares.  Everything here blocks.

Source: ``docs/formats/immutable.md``, "Container" and "Where the leases begin".
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import define

from truckee.codec import container
from truckee.codec.container import ContainerHeader, Lease
from truckee.codec.geometry import MAX_SHARES
from truckee.codec.lease_area import LeaseArea, is_settled, lease_area
from truckee.codec.secrets import LeaseSecrets
from truckee.codec.share import HEADER_SIZE as SHARE_HEADER_SIZE
from truckee.codec.share import ShareOffsets
from truckee.errors import Refused
from truckee.flow.durable import sync_data
from truckee.storage.interfaces import NoSpace


@define
class NoRoomForLease(NoSpace):
    """
    {where} is read-only or has no space left, and adds no leases. Those that are there can
    be renewed.
    """

    where: str = "The storage server"


@define
class TooManyLeases(Refused):
    """This share has {most} leases that have not expired, and takes no more."""

    most: int


def read_lease_area(descriptor: int) -> tuple[ContainerHeader, LeaseArea]:
    """:raises ValueError: when it is not the container of an immutable share."""
    header = ContainerHeader.parse(os.pread(descriptor, container.HEADER_SIZE, 0))
    size = os.fstat(descriptor).st_size
    needed = None if is_settled(header, size) else _needed(descriptor)
    return header, lease_area(header, size, needed)


def read_leases(path: Path) -> list[Lease]:
    """Return the leases of a share.  :raises ValueError: :raises OSError:"""
    with _opened(path, os.O_RDONLY) as descriptor:
        _header, area = read_lease_area(descriptor)
        return [each for _number, each in _leases(descriptor, area)]


def read_lease_times(path: Path) -> tuple[list[int], bool]:
    """
    Return when the leases of a share expire, and whether none of them can be missing.

    :raises ValueError: :raises OSError:
    """
    with _opened(path, os.O_RDONLY) as descriptor:
        _header, area = read_lease_area(descriptor)
        times = [each.expires for _number, each in _leases(descriptor, area)]
        return times, area.counted and len(times) == area.records


def renew_lease(
    path: Path, owner: int, secrets: LeaseSecrets, now: float, room: bool = True
) -> None:
    """
    Renew the lease with these secrets, or add one for *owner*; it is durable then.

    :raises NoRoomForLease: when it would be a new one and there is no *room* for it.
    :raises TooManyLeases: :raises ValueError: :raises OSError:
    """
    with _opened(path, os.O_RDWR) as descriptor:
        header, area = read_lease_area(descriptor)
        leases = dict(_leases(descriptor, area))
        known = header.stored(secrets.renew)
        for number, lease in leases.items():
            if lease.renew == known:
                _put(descriptor, area, number, container.renewed(lease, now))
                break
        else:
            if not room:
                raise NoRoomForLease
            number = _free_place(area, leases, now)
            _put(descriptor, area, number, header.lease(owner, secrets, now))
        _count(descriptor, header, area, max(area.records, number + 1))


def _leases(descriptor: int, area: LeaseArea) -> Iterator[tuple[int, Lease]]:
    """Give the leases and the places of their records."""
    data = os.pread(descriptor, container.LEASE_SIZE * area.records, area.start)
    for number, lease in enumerate(container.parse_leases(data)):
        if not lease.blank:
            yield number, lease


def _free_place(area: LeaseArea, leases: dict[int, Lease], now: float) -> int:
    """Return where one more lease goes: at the end, until there are too many."""
    for number in range(area.records):
        if number not in leases:
            return number
    if area.records < container.MOST_LEASES:
        return area.records
    oldest = min(leases, key=lambda number: leases[number].expires)
    if leases[oldest].expires >= now:
        raise TooManyLeases(container.MOST_LEASES)
    return oldest


def _put(descriptor: int, area: LeaseArea, number: int, lease: Lease) -> None:
    """Write a record, and wait until it is on the disk: only then it may be counted."""
    try:
        _write(descriptor, lease.pack(), area.place(number))
        sync_data(descriptor)
    except OSError:
        if number >= area.records:
            with suppress(OSError):
                os.ftruncate(descriptor, area.place(area.records))
        raise


def _count(descriptor: int, header: ContainerHeader, area: LeaseArea, records: int) -> None:
    """Let the header count *records*, and the file end behind them."""
    if area.spare and records == area.records:
        os.ftruncate(descriptor, area.place(records))
    if records != header.leases:
        count = container.pack_lease_count(records)
        _write(descriptor, count, container.LEASE_COUNT_AT)
    if records != header.leases or not area.counted:
        sync_data(descriptor)


def _needed(descriptor: int) -> int | None:
    """Return the least length that the share can have by its own layout, if it has one."""
    head = os.pread(descriptor, SHARE_HEADER_SIZE, container.HEADER_SIZE)
    try:
        offsets = ShareOffsets.parse(head, MAX_SHARES)
        place, length = offsets.ueb_length
        return offsets.end(os.pread(descriptor, length, container.HEADER_SIZE + place))
    except (ValueError, OverflowError, OSError):
        return None


def _write(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
