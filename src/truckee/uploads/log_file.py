"""The file of an upload's log, open while it is used: at rest it costs no descriptor."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from attrs import define, field


@define(eq=False)
class LogFile:
    """
    One file, for several threads at once; ``close`` it in the end.

    What was written and is not synced keeps it open: a system that cannot bring such bytes
    to the disk says so at a sync, but may forget it of a file that nobody has open.
    """

    path: Path
    _must_stay: Callable[[], bool]  # whether it stays open when nobody uses it
    _descriptor: int = field(default=-1, init=False)
    _users: int = field(default=0, init=False)
    _closed: bool = field(default=False, init=False)
    _lock: Lock = field(factory=Lock, init=False, repr=False)

    @property
    def is_open(self) -> bool:
        """Whether it takes a descriptor."""
        return self._descriptor != -1

    @contextmanager
    def use(self, flags: int = 0) -> Iterator[int]:
        """Give its descriptor, to read and write with; *flags* are O_CREAT or none."""
        with self._lock:
            if self._closed:
                raise OSError(errno.EBADF, "the log of an upload is closed")
            if self._descriptor == -1:
                flags |= os.O_RDWR | os.O_CLOEXEC
                self._descriptor = os.open(self.path, flags, 0o600)
            self._users += 1
            descriptor = self._descriptor
        try:
            yield descriptor
        finally:
            with self._lock:
                self._users -= 1
                self._rest()

    def close(self) -> None:
        """Let nobody use it any more; those who do end first.  May be called twice."""
        with self._lock:
            self._closed = True
            self._rest()

    def _rest(self) -> None:
        if self._users or (self._must_stay() and not self._closed):
            return
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor != -1:
            os.close(descriptor)
