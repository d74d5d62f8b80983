"""The body of a response on its way to a file, a pipe or a device."""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IWriteDescriptor
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from zope.interface import implementer

from truckee.cli.broken import problem_within

_DONE = Failure(ResponseDone())
# Writes of PIPE_BUF bytes, each of which a writable pipe takes without blocking, in one
# turn of the reactor: signals and the network get theirs.
_MOST_WRITES = 64


async def copy_body(
    response: Any, descriptor: int, reactor: Any, count: Callable[[int], None]
) -> None:
    """
    Write all of a body to *descriptor*, which stays open.

    A slow reader pauses the transfer and blocks nothing else, so that a Ctrl-C is heard.
    *count* gets the number of bytes of each write.  :raises Unreachable: when the body
    breaks off.  :raises OSError: when it cannot be written.
    """
    output = _Output(descriptor, reactor, count)
    response.deliverBody(output)
    await output.done


@define(eq=False)
class _Output(Protocol):
    """Takes the body, and holds at most one read of the network."""

    _descriptor: int
    _reactor: Any
    _count: Callable[[int], None]
    done: Deferred[None] = field(factory=Deferred, init=False)
    _waiting: bytearray = field(factory=bytearray, init=False)
    _ended: BaseException | None = field(default=None, init=False)  # how the body ended
    _over: bool = field(default=False, init=False)
    _regular: bool = field(init=False)
    _writer: _Writer = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        self._writer = _Writer(self._descriptor, self.write_some)

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        self._waiting += data
        if self._regular:
            self._attempt(self._write_all)
        else:
            self._producer.pauseProducing()
            self._reactor.addWriter(self._writer)

    def connectionLost(self, reason: Failure = _DONE) -> None:
        self._ended = reason.value
        self._finish()

    def write_some(self) -> None:
        """Write what the descriptor takes now."""
        self._attempt(self._write_what_fits)
        if not self._waiting:
            self._reactor.removeWriter(self._writer)
            if self._ended is None and not self._over:
                self._producer.resumeProducing()
        self._finish()

    @property
    def _producer(self) -> Any:
        return self.transport

    def _attempt(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            self._waiting.clear()
            self._end(error)
            self._producer.loseConnection()

    def _write_all(self) -> None:
        while self._waiting:
            self._write(len(self._waiting))

    def _write_what_fits(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        for _ in range(_MOST_WRITES):
            if not self._waiting or not poll.poll(0):
                return
            self._write(select.PIPE_BUF)

    def _write(self, most: int) -> None:
        with memoryview(self._waiting) as view:
            written = os.write(self._descriptor, view[:most])
        del self._waiting[:written]
        self._count(written)

    def _finish(self) -> None:
        if self._ended is None or self._waiting:
            return
        if isinstance(self._ended, ResponseDone | PotentialDataLoss):
            self._end(None)
        else:
            self._end(problem_within(self._ended))

    def _end(self, error: Exception | None) -> None:
        if self._over:
            return
        self._over = True
        if error is None:
            self.done.callback(None)
        else:
            self.done.errback(error)


@implementer(IWriteDescriptor)
@define(eq=False)
class _Writer:
    """What the reactor calls while a pipe or a device takes more."""

    _descriptor: int
    _write: Callable[[], None]

    def doWrite(self) -> None:
        self._write()

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "output"

    def connectionLost(self, reason: Failure) -> None:
        # The reader of a pipe went away: writing tells how.
        self._write()
