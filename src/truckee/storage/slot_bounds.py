"""What a request for a slot may ask for, whoever brings it.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from truckee.codec.slot_container import MAX_SHARE_SIZE
from truckee.storage.interfaces import (
    MAX_SLOT_DATA,
    MAX_SLOT_READS,
    MAX_SLOT_SHARES,
    MAX_SLOT_TESTS,
    MAX_SLOT_WRITES,
    BadSlotRequest,
    SlotChange,
    SlotRead,
    SlotTest,
    SlotTooLarge,
)


def check_reads(reads: Sequence[SlotRead]) -> None:
    """:raises BadSlotRequest:"""
    if len(reads) > MAX_SLOT_READS:
        raise BadSlotRequest(f"it reads more than {MAX_SLOT_READS} ranges")
    check_ranges(reads)


def check_changes(changes: Mapping[int, SlotChange]) -> None:
    """:raises BadSlotRequest: :raises SlotTooLarge:"""
    if not changes.keys() <= _NUMBERS:
        raise BadSlotRequest("share numbers are 0 to 255")
    if sum(len(each.tests) for each in changes.values()) > MAX_SLOT_TESTS:
        raise BadSlotRequest(f"it has more than {MAX_SLOT_TESTS} tests")
    if sum(len(each.writes) for each in changes.values()) > MAX_SLOT_WRITES:
        raise BadSlotRequest(f"it has more than {MAX_SLOT_WRITES} writes")
    size = 0
    for share, change in changes.items():
        check_ranges(change.tests)
        if change.new_length is not None and change.new_length < 0:
            raise BadSlotRequest("a length is at least 0")
        for write in change.writes:
            end = write.offset + len(write.data)
            if write.offset < 0:
                raise BadSlotRequest("an offset is at least 0")
            if end > MAX_SHARE_SIZE:
                raise SlotTooLarge(share, end)
            size += len(write.data)
    if size > MAX_SLOT_DATA:
        raise BadSlotRequest(f"it writes more than {MAX_SLOT_DATA} bytes")


def check_ranges(ranges: Sequence[SlotRead] | Sequence[SlotTest]) -> None:
    """:raises BadSlotRequest:"""
    if any(each.offset < 0 or each.length < 0 for each in ranges):
        raise BadSlotRequest("an offset and a length are at least 0")


_NUMBERS = frozenset(range(MAX_SLOT_SHARES))
