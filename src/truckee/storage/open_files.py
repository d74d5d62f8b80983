"""
Descriptors of shares that are being written: a few are kept open, however many there are.

Everything here runs in the disk workers.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from attrs import define, field

# Shares that are written at the same time without opening their files again; uploads
# seldom write to more.  Opening one takes 10 microseconds.
KEPT = 128


@define(eq=False)
class OpenFiles:
    """
    Opens files for writing when they are needed, and keeps the last *kept* of them open.

    While a file is in use it does not count, so that no more than *kept* and one for each
    thread are open.
    """

    kept: int = KEPT
    # Idle descriptors, the one used longest ago first, each with what must be done
    # before it is closed.
    _idle: OrderedDict[Path, tuple[int, Callable[[int], None]]] = field(
        factory=OrderedDict, init=False, repr=False
    )
    _lock: Lock = field(factory=Lock, init=False, repr=False)

    @contextmanager
    def use(
        self, path: Path, flags: int, before_close: Callable[[int], None]
    ) -> Iterator[int]:
        """
        Lend a descriptor of *path*; one caller at a time has that of a path.

        *flags* say how it is opened if need be.  *before_close* is called with it, from any
        thread, if it has to make room for another; it raises nothing.
        """
        with self._lock:
            descriptor, _ = self._idle.pop(path, (-1, before_close))
        if descriptor == -1:
            descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor
        finally:
            with self._lock:
                self._idle[path] = descriptor, before_close
                surplus = len(self._idle) > self.kept
                oldest = self._idle.popitem(last=False)[1] if surplus else None
            if oldest is not None:
                oldest[1](oldest[0])
                os.close(oldest[0])

    def close(self, path: Path) -> None:
        """Close the descriptor of *path*, if there is one; nobody uses it."""
        with self._lock:
            descriptor, _ = self._idle.pop(path, (-1, None))
        if descriptor != -1:
            os.close(descriptor)
