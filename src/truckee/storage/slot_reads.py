"""
What a request for a slot finds in the shares of it.  Everything here blocks.

Source: ``docs/formats/slots.md``, "What a request does".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from attrs import define
from twisted.logger import Logger

from truckee.flow.durable import DiskFault, fault_of
from truckee.storage.interfaces import (
    MAX_SLOT_ANSWER,
    MAX_SLOT_DATA,
    SLOT_RANGE_COST,
    BadSlotRequest,
    SlotAnswerTooLong,
    SlotRead,
    SlotTest,
)
from truckee.storage.slotfiles import OpenSlot, SlotFile

log = Logger()
T = TypeVar("T")


def holds(file: SlotFile | None, tests: Sequence[SlotTest]) -> bool:
    """Tell whether a share has what *tests* say; a share that is not there is empty."""
    if file is None or not tests:
        return not any(test.specimen for test in tests)
    with file.opened() as share:
        return all(share.read(test.offset, test.length) == test.specimen for test in tests)


def measure_all(files: Mapping[int, SlotFile], reads: Sequence[SlotRead]) -> dict[int, int]:
    """
    Return the memory that an answer to *reads* takes for each of *files*.

    :raises BadSlotRequest: when it would be too much
    """
    size = _Size(MAX_SLOT_ANSWER)
    return _each(files, lambda share: size.add(share, reads))


def read_all(
    files: Mapping[int, SlotFile], reads: Sequence[SlotRead], most: int = MAX_SLOT_ANSWER
) -> dict[int, list[bytes]]:
    """
    Return what *reads* find in each of *files*.

    :raises BadSlotRequest: too much  :raises SlotAnswerTooLong: more memory than *most*
    """
    size = _Size(most)

    def read(share: OpenSlot) -> list[bytes]:
        size.add(share, reads)
        return [share.read(each.offset, each.length) for each in reads]

    return _each(files, read)


@define(eq=False)
class _Size:
    """Of one answer."""

    _most: int  # bytes of memory
    _data: int = 0
    _memory: int = 0

    def add(self, share: OpenSlot, reads: Sequence[SlotRead]) -> int:
        """Add what *reads* find in a share; return the memory for it."""
        data = sum(share.span(each.offset, each.length) for each in reads)
        memory = data + SLOT_RANGE_COST * len(reads)
        self._data += data
        self._memory += memory
        if self._data > MAX_SLOT_DATA:
            raise BadSlotRequest(f"more than {MAX_SLOT_DATA} bytes would be read")
        if self._memory > self._most:
            raise SlotAnswerTooLong
        return memory


def _each(files: Mapping[int, SlotFile], look: Callable[[OpenSlot], T]) -> dict[int, T]:
    """Return what *look* gives for each share that can be read."""
    found: dict[int, T] = {}
    for number, file in sorted(files.items()):
        try:
            with file.opened() as share:
                found[number] = look(share)
        except (FileNotFoundError, ValueError):
            # It was deleted since.
            continue
        except OSError as error:
            if fault_of(error) is not DiskFault.FAILING:
                raise
            log.error("The disk cannot read the share {path}", path=str(file.path))
    return found
