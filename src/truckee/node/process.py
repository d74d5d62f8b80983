"""What a process has to be before it runs a node."""

from __future__ import annotations

import ctypes
import gc
import os
import time
from contextlib import suppress
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of mallopt(3)
_LARGE = 4 << 20  # bytes; segments and what they become stay below
_SPARE = 16 << 20  # bytes that are kept for the next segments
# Places where the threads' memory comes from, each of which keeps some to spare.  Threads
# that allocate take turns anyway, at the interpreter.
_ARENAS = 2


def make_private() -> None:
    """Let nobody but its owner read what this process makes, its libraries included."""
    os.umask(0o077)


def give_memory_back() -> None:
    """
    Let blocks of many megabytes go back to the system once they are free.

    The C library of Linux keeps ever larger ones for later after the first was freed, so
    that one burst of long answers would last as long as the process.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        library.mallopt(_M_ARENA_MAX, _ARENAS)
        # Else 128 KiB: each segment's pages would be given back and taken anew.
        library.mallopt(_M_TRIM_THRESHOLD, _SPARE)


def spare_what_is_loaded() -> None:
    """
    Let the garbage collector look only at what is made from now on.

    Of the hundred thousand objects of the program and its libraries none ever goes, and a
    look at all of them keeps everybody waiting for a tenth of a second and more.
    """
    gc.collect()
    gc.freeze()


def use_monotonic_clock(reactor: Any) -> None:
    """
    Let *reactor* measure time by a clock that nobody sets; before it runs.

    Twisted's is the time of day: when that jumps ahead all timeouts and expiries are due at
    once, and when it is set back none is for as long.
    """
    difference = time.monotonic() - reactor.seconds()
    reactor.seconds = time.monotonic
    for call in reactor.getDelayedCalls():
        call.time += difference
