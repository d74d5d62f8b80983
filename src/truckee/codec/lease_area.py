"""
Where the share ends in its container, and its leases begin.

Source: ``docs/formats/immutable.md``, "Container" and "Where the leases begin".

Servers have always reckoned this from the size of the file and the number of leases, which
are written at different times: after a power cut one of them may be new and the other old.
So the length that the header states is believed where the file bears it out.
"""

from __future__ import annotations

from attrs import frozen

from truckee.codec.container import HEADER_SIZE, LEASE_SIZE, ContainerHeader

# Leases by which the count may be wrong.  Each was added in one power-cut's time.
_MOST_UNCOUNTED = 64
# What the share seems to miss then.  Its layout is its writer's word: whoever lies in it
# must not have the leases of others shown as bytes of a share.
_MOST_CUT = _MOST_UNCOUNTED * LEASE_SIZE  # bytes
# Where a record may end that was cut off by a power cut or a full disk.
_SECTOR = 512  # bytes


@frozen
class LeaseArea:
    """What follows the share in a container."""

    start: int  # offset of the first record in the file
    records: int  # whole ones, counted in the header or not
    spare: int = 0  # bytes of one more that was cut off
    counted: bool = True  # whether the header has the right number of them

    @property
    def share_length(self) -> int:
        """Bytes of the share."""
        return self.start - HEADER_SIZE

    def place(self, number: int) -> int:
        """Return the offset of a record in the file."""
        return self.start + LEASE_SIZE * number


def is_settled(header: ContainerHeader, file_size: int) -> bool:
    """Tell whether header and size agree, so that ``lease_area`` needs no more facts."""
    return header.length == _counted(header, file_size)


def lease_area(
    header: ContainerHeader, file_size: int, needed: int | None = None
) -> LeaseArea:
    """
    Return where the leases are in a file of *file_size* bytes.

    *needed* is the least length that the share can have, as its own layout says; None if
    that cannot be read.  :raises ValueError: when no length fits.
    """
    counted, space = _counted(header, file_size), file_size - HEADER_SIZE
    if (
        header.length is not None
        and _bears_out(header, file_size, needed)
        # Where the count gives the share all it needs, more of the file is not shown.
        and (needed is None or header.length < counted or counted < needed)
    ):
        return _area(header, header.length, space)
    if needed is not None and counted < needed <= min(space, counted + _MOST_CUT):
        return _area(header, needed, space)
    if counted < 0:
        raise ValueError("the container is shorter than its leases")
    return _area(header, counted, space)


def _counted(header: ContainerHeader, file_size: int) -> int:
    return file_size - HEADER_SIZE - LEASE_SIZE * header.leases


def _bears_out(header: ContainerHeader, file_size: int, needed: int | None) -> bool:
    """Tell whether what is behind the stated length can be leases and nothing else."""
    assert header.length is not None
    behind = file_size - HEADER_SIZE - header.length
    if behind < 0 or header.length < (needed or 0):
        return False
    records, spare = divmod(behind, LEASE_SIZE)
    if spare and file_size % _SECTOR:
        return False
    return abs(records - header.leases) <= _MOST_UNCOUNTED


def _area(header: ContainerHeader, length: int, space: int) -> LeaseArea:
    records, spare = divmod(space - length, LEASE_SIZE)
    counted = records == header.leases and not spare
    return LeaseArea(HEADER_SIZE + length, records, spare, counted)
