"""Memory that was freed, and that the system does not have back yet."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def give_back() -> None:
    """
    Give the system what the C library keeps to spare: this is for a worker thread.

    That is worth a few milliseconds before tens of megabytes are needed for once, as those
    are not taken from what is spare.  Where the library is not glibc nothing is done.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
