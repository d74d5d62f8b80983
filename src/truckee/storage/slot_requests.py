"""
What is asked of slots on servers somewhere else, and how large an answer may be.  Pure.

A server that lies must not fill our memory: a request is sent only if all that would pass
for its answer fits in ``MAX_SLOT_DATA``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from attrs import define, field

from truckee.storage import slot_bounds
from truckee.storage.interfaces import (
    MAX_SLOT_DATA,
    MAX_SLOT_SHARES,
    BadSlotRequest,
    SlotChange,
    SlotRead,
    SlotTooLarge,
)


def check_request(
    changes: Mapping[int, SlotChange], reads: Sequence[SlotRead], max_share_size: int
) -> None:
    """
    Let through what a server may be asked to test and write.

    :raises BadSlotRequest: :raises SlotTooLarge:
    """
    slot_bounds.check_reads(reads)
    slot_bounds.check_changes(changes)
    if not fits(MAX_SLOT_SHARES, reads):
        raise BadSlotRequest("a write may read little of each share; read it apart")
    for share, change in changes.items():
        for write in change.writes:
            end = write.offset + len(write.data)
            if end > max_share_size:
                raise SlotTooLarge(share, end)


def check_read(shares: Set[int], reads: Sequence[SlotRead]) -> None:
    """Let through what a server may be asked to read.  :raises BadSlotRequest:"""
    slot_bounds.check_ranges(reads)
    if not all(0 <= share < MAX_SLOT_SHARES for share in shares):
        raise BadSlotRequest("share numbers are 0 to 255")


def longest(reads: Sequence[SlotRead]) -> int:
    """Return the bytes of the longest range."""
    return max((each.length for each in reads), default=0)


def fits(shares: int, reads: Sequence[SlotRead]) -> bool:
    """Tell whether any answer from so many *shares* may come at once."""
    return shares * len(reads) * longest(reads) <= MAX_SLOT_DATA


@define(eq=False)
class Remaining:
    """What may still come of an answer that is read in parts."""

    left: int = field(default=MAX_SLOT_DATA, init=False)  # bytes

    def took(self, size: int) -> None:
        """Count *size* bytes.  :raises BadSlotRequest: when it is more than was left"""
        self.left -= size
        if self.left < 0:
            raise BadSlotRequest(f"more than {MAX_SLOT_DATA} bytes would be read")

    def clipped(self, read: SlotRead) -> SlotRead:
        """Return *read*, cut to one byte more than is left."""
        return SlotRead(read.offset, min(read.length, self.left + 1))

    def together(self, reads: Sequence[SlotRead], most: int) -> int:
        """Return how many of *reads*, at least 1 and at most *most*, may go together."""
        count = longest_so_far = 0
        for read in reads[:most]:
            longest_so_far = max(longest_so_far, read.length)
            if longest_so_far * (count + 1) > self.left:
                break
            count += 1
        return max(1, count)
