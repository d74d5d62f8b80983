"""A file, a pipe or a device as the body of a request."""

from __future__ import annotations

from collections.abc import Callable
from io import FileIO
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from truckee.cli.problems import Problem, reason_within

_PIECE = 256 * 1024  # bytes that are read at once


@implementer(IBodyProducer, IReadDescriptor)
@define(eq=False)
class FileBody:
    """
    The rest of a file, as the body of a request; reads only what was asked for.

    It waits for what is not there yet as for the network, so that a pipe in which nothing
    comes holds up nothing else.  Of a known length it gives that many bytes, or fails when
    the file has fewer.  The file has no buffer, and is left open.
    """

    _file: FileIO
    length: object  # bytes, or UNKNOWN_LENGTH
    _sent: Callable[[int], None]
    _reactor: Any
    _consumer: Any = field(default=None, init=False)
    _done: Deferred[None] = field(factory=Deferred, init=False)
    _ended: bool = field(default=False, init=False)
    _left: int | None = field(init=False)  # bytes; None: until the file ends

    def __attrs_post_init__(self) -> None:
        self._left = self.length if isinstance(self.length, int) else None

    def startProducing(self, consumer: Any) -> Deferred[None]:
        self._consumer = consumer
        self._reactor.addReader(self)
        return self._done

    def pauseProducing(self) -> None:
        self._reactor.removeReader(self)

    def resumeProducing(self) -> None:
        if not self._ended:
            self._reactor.addReader(self)

    def stopProducing(self) -> None:
        self._ended = True
        self._reactor.removeReader(self)

    def fileno(self) -> int:
        return -1 if self._file.closed else self._file.fileno()

    def logPrefix(self) -> str:
        return "file"

    def doRead(self) -> None:
        left = self._left
        try:
            piece = self._file.read(_PIECE if left is None else min(_PIECE, left))
        except OSError as error:
            self.stopProducing()
            self._done.errback(Problem(f"cannot read: {reason_within(error)}"))
            return
        if piece:
            if left is not None:
                self._left = left - len(piece)
            self._sent(len(piece))
            self._consumer.write(piece)
        if piece == b"" and left:
            self.stopProducing()
            self._done.errback(
                Problem(
                    f"the file ended {left} bytes before its size: it became shorter, or "
                    "says another size than it has; then pipe it: truckee put < FILE"
                )
            )
        elif piece == b"" or self._left == 0:
            self.stopProducing()
            self._done.callback(None)

    def connectionLost(self, reason: Failure) -> None:
        # A pipe that was closed at its other end; at the end of the process something else.
        if not self._ended and reason.check(ConnectionDone):
            self.doRead()
