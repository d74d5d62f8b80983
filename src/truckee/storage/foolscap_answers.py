# mypy: disable-error-code="no-untyped-call"
"""
Bytes of shares as answers over foolscap.

An answer is one string, however long: stock clients read whole hash trees at once, which
have 64 bytes for each segment.  So a long one is read from the disk while it leaves, and
only short ones wait in memory, as many as there is room for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from weakref import finalize

from attrs import define, field
from foolscap.banana import int2b128
from foolscap.constraint import ByteStringConstraint
from foolscap.slicer import BaseSlicer
from foolscap.tokens import STRING
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from truckee.flow.limits import Budget
from truckee.flow.outbound import Outbound
from truckee.storage.interfaces import IShareReader
from truckee.storage.share_reads import piece_of, share_end

log = Logger()

# A block of a file with k = 1, of the usual segments, and some more.
SHORT = (1 << 20) + 4096
# Shorter ones are not counted: calls that are not answered have a bound, too.
SMALL = 4096
# Short answers of all connections together, that have not left yet.
READY = 16 << 20
# Bytes of it that are given to the connection at once.
_AT_ONCE = 256 << 10


def new_budget() -> Budget:
    """Return what the answers of one server share."""
    return Budget(READY)


@define(eq=False)
class ShareAnswers:
    """Makes answers; those of one server share a budget."""

    _ready: Budget = field(factory=new_budget)

    async def read(self, reader: IShareReader, offset: int, length: int) -> object:
        """Return what answers a read: bytes, or what is read while it is sent."""
        if length <= SMALL:
            return await reader.read(offset, length)
        if length <= SHORT and self._ready.used + length <= self._ready.limit:
            self._ready.reserve(length)
            try:
                data = await reader.read(offset, length)
            except BaseException:
                self._ready.release(length)
                raise
            answer = ShareBytes(reader, offset, len(data), data)
            # At the latest: the connection may be lost before.
            answer.release = finalize(answer, self._ready.release, length)
            return answer
        first = await reader.read(offset, 1)
        if not first:
            return b""
        end = await share_end(reader, offset + 1, offset + length)
        return ShareBytes(reader, offset, end - offset, b"")


class ShareBytes(BaseSlicer):  # type: ignore[misc]
    """
    A string of *size* bytes, of which *data* is the beginning.

    The rest, if there is one, comes from *reader*.
    """

    sendOpen = False
    streamable = True
    sending = 0  # of these, by the whole process
    release: Callable[[], object] = int  # called once the data has left

    def __init__(
        self, reader: IShareReader | None, offset: int, size: int, data: bytes
    ) -> None:
        super().__init__(None)
        self._reader = reader
        self._offset = offset
        self._size = size
        self._data = data

    def describe(self) -> str:
        return "<bytes of a share>"

    def slice(self, streamable: bool, banana: Any) -> Iterator[Any]:
        """Write the string past foolscap, which would have all of it in memory."""
        transport = banana.transport
        int2b128(self._size, transport.write)
        transport.write(STRING)
        banana.in_body = True
        ShareBytes.sending += 1
        sent = 0
        outbound = Outbound(transport)
        transport.registerProducer(outbound, True)
        try:
            while sent < self._size:
                piece = self._data[sent : sent + _AT_ONCE]
                if sent + len(piece) >= len(self._data):
                    self._data = b""
                if not piece:
                    found: list[Any] = []
                    reading = Deferred.fromCoroutine(self._read(sent))
                    reading.addBoth(found.append)
                    if not found:
                        yield reading
                    piece = found[0]
                if isinstance(piece, Failure) or not piece:
                    # The peer must not take what it has for the whole.
                    log.warn("A share could not be read to its end")
                    transport.abortConnection()
                    yield Deferred()
                taken = Deferred.fromCoroutine(outbound.write(piece))
                sent += len(piece)
                piece = b""
                if not taken.called:
                    yield taken
        finally:
            ShareBytes.sending -= 1
            banana.in_body = False
            self.release()
            # A connection that is lost may have no such thing any more.
            with suppress(AttributeError):
                transport.unregisterProducer()
        with suppress(AttributeError):
            banana.end_body()

    async def _read(self, sent: int) -> bytes:
        assert self._reader is not None
        wanted = min(piece_of(ShareBytes.sending), self._size - sent)
        return await self._reader.read(self._offset + sent, wanted)


class ShareBytesConstraint(ByteStringConstraint):  # type: ignore[misc]
    """Any bytes; what we send may be read on the way."""

    def checkObject(self, found: object, inbound: bool) -> None:
        if inbound or not isinstance(found, ShareBytes):
            ByteStringConstraint.checkObject(self, found, inbound)
