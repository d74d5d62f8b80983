"""What a process has to be before it runs a node."""

from __future__ import annotations

import os
import time
from typing import Any


def make_private() -> None:
    """Let nobody but its owner read what this process makes, its libraries included."""
    os.umask(0o077)


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
