"""
Requests for slots as foolscap carries them.  Pure.

Source: ``docs/formats/storage-foolscap.md``, "Slots".  Their types are checked by the
schema, their numbers by ``slot_bounds``.
"""

from __future__ import annotations

from collections.abc import Sequence

from truckee.storage.interfaces import (
    BadSlotRequest,
    SlotChange,
    SlotRead,
    SlotTest,
    SlotWrite,
)

# Of one share: tests, writes, and the new length, which the schema does not check.
Vectors = tuple[list[tuple[int, int, bytes, bytes]], list[tuple[int, bytes]], object]


def reads_of(vector: Sequence[tuple[int, int]]) -> list[SlotRead]:
    """Return what a read vector asks for."""
    return [SlotRead(offset, length) for offset, length in vector]


def change_of(vectors: Vectors) -> SlotChange:
    """Return what is asked of one share.  :raises BadSlotRequest:"""
    tests, writes, new_length = vectors
    if any(operator != b"eq" for _, _, operator, _ in tests):
        raise BadSlotRequest("the only operator of a test is eq")
    if new_length is not None and type(new_length) is not int:
        raise BadSlotRequest("a new length is a number or None")
    return SlotChange(
        [SlotTest(offset, length, specimen) for offset, length, _, specimen in tests],
        [SlotWrite(offset, data) for offset, data in writes],
        new_length,
    )


def vectors_of(change: SlotChange) -> Vectors:
    """Return what is asked of one share; it reverses ``change_of``."""
    return (
        [(each.offset, each.length, b"eq", each.specimen) for each in change.tests],
        [(each.offset, bytes(each.data)) for each in change.writes],
        change.new_length,
    )
