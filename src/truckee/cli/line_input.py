"""Lines from a file, a pipe or a terminal; a signal is noticed while they are awaited."""

from __future__ import annotations

import os
import stat
from collections import deque
from hashlib import sha256
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

_CHUNK = 64 << 10  # bytes of one read
_LONGEST = 4 << 20  # bytes of one line, as a gateway sends it
_TURN = 256  # lines after which the reactor gets its turn, whatever becomes of them


@frozen
class Place:
    """How far lines were read: enough to find the place again in the same input."""

    number: int = 0  # lines in front of it
    digest: str = ""  # of these lines
    offset: int = 0  # bytes of them

    def behind(self, line: bytes | None, size: int) -> Place:
        """Return the place behind one line more of *size* bytes; None: a long one."""
        shown = b"" if line is None else sha256(line).digest()
        digest = sha256(self.digest.encode("ascii") + shown).hexdigest()
        return Place(self.number + 1, digest, self.offset + size)


@define(eq=False)
class LineInput:
    """The lines of a descriptor from where it stands; it stays open."""

    _descriptor: int
    _reactor: Any
    place: Place = field(factory=Place, init=False)  # behind the last line that was given
    total: int | None = field(default=None, init=False)  # bytes; None: nobody knows
    _regular: bool = field(init=False)
    _lines: deque[tuple[bytes | None, int]] = field(factory=deque, init=False, repr=False)
    _parts: list[bytes] = field(factory=list, init=False, repr=False)  # of the next line
    _size: int = field(default=0, init=False)  # bytes of these, also of those not stored
    _ended: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        status = os.fstat(self._descriptor)
        self._regular = stat.S_ISREG(status.st_mode)
        if self._regular:
            self.total = status.st_size - os.lseek(self._descriptor, 0, os.SEEK_CUR)

    async def next(self) -> tuple[bytes | None, Place] | None:
        """
        Return a line without its end, and the place behind it; None: there are no more.

        The line is None when it was too long.  :raises OSError: when it cannot be read.
        """
        if self.place.number % _TURN == _TURN - 1:
            await deferLater(self._reactor, 0)
        while not self._lines:
            if self._ended:
                return None
            if not self._regular:
                await _Readable(self._descriptor, self._reactor).wait()
            self._take(os.read(self._descriptor, _CHUNK))
        line, size = self._lines.popleft()
        self.place = self.place.behind(line, size)
        return line, self.place

    async def skip_to(self, place: Place) -> bool:
        """Go on behind *place*; return whether the lines in front of it are the same."""
        while self.place.number < place.number:
            if await self.next() is None:
                return False
        return self.place == place

    def _take(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._add(line)
            self._end_line(1)
        self._add(rest)
        if not data:
            self._ended = True
            if self._size:
                self._end_line(0)

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > _LONGEST:
            self._parts.clear()
        elif part:
            self._parts.append(part)

    def _end_line(self, end: int) -> None:
        line = b"".join(self._parts) if self._size <= _LONGEST else None
        self._lines.append((line and line.rstrip(b"\r"), self._size + end))
        self._parts.clear()
        self._size = 0


@implementer(IReadDescriptor)
@define(eq=False)
class _Readable:
    """Waits for something to read, or for the end."""

    _descriptor: int
    _reactor: Any
    _ready: Deferred[None] = field(factory=Deferred, init=False)

    async def wait(self) -> None:
        """Return when a read would not block."""
        self._reactor.addReader(self)
        try:
            await self._ready
        finally:
            self._reactor.removeReader(self)

    def doRead(self) -> None:
        if not self._ready.called:
            self._ready.callback(None)

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "input"

    def connectionLost(self, reason: Failure) -> None:
        # The writer of a pipe went away: reading tells that it is the end.
        self.doRead()
