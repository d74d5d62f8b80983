"""Lines to a file, a pipe or a terminal; a signal is noticed while a reader is slow."""

from __future__ import annotations

import os
import select
import stat
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer


@define(eq=False)
class LineOutput:
    """What is written to a descriptor, which stays open."""

    _descriptor: int
    _reactor: Any
    _regular: bool = field(init=False)
    _poll: select.poll = field(factory=select.poll, init=False)

    def __attrs_post_init__(self) -> None:
        self._regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        self._poll.register(self._descriptor, select.POLLOUT)

    async def write(self, data: bytes) -> None:
        """
        Return when all of *data* is written; a file gets it without a wait in between.

        :raises OSError: when it cannot be; BrokenPipeError without a reader.
        """
        left = memoryview(data)
        while left:
            most = len(left)
            if not self._regular:
                # A pipe that takes anything takes this much without blocking.
                most = select.PIPE_BUF
                if not self._poll.poll(0):
                    await _Writable(self._descriptor, self._reactor).wait()
            left = left[os.write(self._descriptor, left[:most]) :]


@implementer(IWriteDescriptor)
@define(eq=False)
class _Writable:
    """Waits for a reader to take something."""

    _descriptor: int
    _reactor: Any
    _ready: Deferred[None] = field(factory=Deferred, init=False)

    async def wait(self) -> None:
        """Return when a write of PIPE_BUF bytes would not block."""
        self._reactor.addWriter(self)
        try:
            await self._ready
        finally:
            self._reactor.removeWriter(self)

    def doWrite(self) -> None:
        if not self._ready.called:
            self._ready.callback(None)

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "output"

    def connectionLost(self, reason: Failure) -> None:
        # The reader of a pipe went away: writing tells it.
        self.doWrite()
