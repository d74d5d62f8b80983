"""
What servers somewhere else mean when they refuse a request for a slot.  Pure.

It is their word, which costs us nothing to believe: nothing was done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from truckee.errors import TruckeeError
from truckee.storage.interfaces import (
    BadSlotRequest,
    BadWriteEnabler,
    CallFailed,
    NoSpace,
    OtherKind,
    SlotChange,
    SlotDamaged,
    SlotTooLarge,
)

_NODEID = re.compile(r"recorded by nodeid '([a-z2-7]{32})'")
_DAMAGED = re.compile(r"Share (\d{1,3}) is damaged")
_FULL = "No space left on device"


def bad_write_enabler(text: str) -> BadWriteEnabler:
    """Return the error for a refusal with this *text*."""
    nodeid = _NODEID.search(text)
    return BadWriteEnabler(nodeid[1] if nodeid else "?")


def damaged(text: str) -> SlotDamaged | None:
    """Return the error for a refusal with this *text*; None: it is about no damage."""
    share = _DAMAGED.search(text)
    return SlotDamaged(int(share[1])) if share else None


def too_large(changes: Mapping[int, SlotChange]) -> SlotTooLarge:
    """Return the error for *changes* that write something, naming what ends last."""
    end, share = max(
        (write.offset + len(write.data), share)
        for share, change in changes.items()
        for write in change.writes
    )
    return SlotTooLarge(share, end)


def meaning_of(
    error: CallFailed, changes: Mapping[int, SlotChange] | None = None
) -> TruckeeError:
    """Return what a failed call over foolscap that asked for *changes* means."""
    writes = any(change.writes for change in (changes or {}).values())
    if error.kind in _TOO_LARGE and changes and writes:
        return too_large(changes)
    if error.kind in _SYSTEM and _FULL in error.reason:
        return NoSpace(error.server)
    meaning = _MEANINGS.get(error.kind)
    return error if meaning is None else meaning(error)


# Names of errors: those of our servers, and of stock ones.
_TOO_LARGE = ("SlotTooLarge", "DataTooLargeError")
_SYSTEM = ("OSError", "IOError")
_MEANINGS: dict[str, Callable[[CallFailed], TruckeeError]] = {
    "BadWriteEnabler": lambda error: bad_write_enabler(error.reason),
    "BadWriteEnablerError": lambda error: bad_write_enabler(error.reason),
    "NoSpace": lambda error: NoSpace(error.server),
    "NotWritable": lambda error: NoSpace(error.server),
    "OtherKind": lambda _: OtherKind("immutable"),
    "SlotDamaged": lambda error: damaged(error.reason) or error,
    "BadSlotRequest": lambda error: BadSlotRequest(
        f"{error.server} refuses it: {error.reason}"
    ),
}
