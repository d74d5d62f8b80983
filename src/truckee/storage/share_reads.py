"""Reads of any length from shares, in pieces."""

from __future__ import annotations

from truckee.storage.interfaces import IShareReader

# Bytes that come from the disk at once, or go to it.
PIECE = 256 * 1024
# The pieces of all who send or are sent something at the same time: when they are many
# each of them has smaller ones.
_PIECES = 16 << 20
_SMALLEST = 16 * 1024


def piece_of(active: int) -> int:
    """Return the bytes of a piece when *active* transfers are in progress."""
    return max(_SMALLEST, min(PIECE, _PIECES // max(1, active)))


async def share_end(reader: IShareReader, known: int, end: int) -> int:
    """
    Return where the share ends, if that is before *end*.

    It has the bytes before *known*.  A reader does not tell its length; this asks for
    single bytes, and only when a client wants much more than there is.
    """
    if known < end and not await reader.read(end - 1, 1):
        while known + 1 < end:
            middle = (known + end) // 2
            if await reader.read(middle - 1, 1):
                known = middle
            else:
                end = middle
        # The byte before *end* is not there.
        return known
    return end
