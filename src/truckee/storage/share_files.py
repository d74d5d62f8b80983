"""The shares of one file on a disk, of whichever kind, with their leases.  All blocks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from truckee.codec.lease_expiry import ShareKind
from truckee.storage.share_leases import read_lease_times
from truckee.storage.slotfiles import OpenSlot

_NAMES = {str(number) for number in range(1000)}


@frozen
class StoredShare:
    """One finished share."""

    path: Path
    kind: ShareKind
    size: int  # bytes of the whole file
    leases: Sequence[int]  # when they expire, in Unix seconds
    whole: bool  # whether no lease of it can be missing


def stored_shares(place: Path) -> tuple[list[StoredShare], int]:
    """Return the shares in the directory of one file, and how many cannot be read."""
    try:
        names = sorted(_NAMES.intersection(os.listdir(place)))
    except (FileNotFoundError, NotADirectoryError):
        return [], 0
    found, unreadable = [], 0
    for name in names:
        path = place / name
        try:
            found.append(_stored_share(path))
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            unreadable += 1
    return found, unreadable


def _stored_share(path: Path) -> StoredShare:
    size = path.stat().st_size
    try:
        times, whole = read_lease_times(path)
        return StoredShare(path, ShareKind.IMMUTABLE, size, times, whole)
    except ValueError:
        share = OpenSlot.open(path)
    try:
        times, whole = share.lease_times()
        return StoredShare(path, ShareKind.MUTABLE, size, times, whole)
    finally:
        share.close()
