"""
The bytes of a request's body, out of those on the wire.

Pure.  Source: RFC 9112, sections 6 and 7.
"""

from __future__ import annotations

import re
from typing import Protocol

from attrs import define, field

from truckee.errors import Misuse

# Chunks that one call takes apart: a read of 256 KiB can have 40,000 of them, which would
# keep everybody else waiting.  Clients send chunks of some KiB, 16 to a read.
CHUNKS_AT_ONCE = 1000

# Sixteen hexadecimal digits would do for all sizes; no disk has more than these say.
_MAX_SIZE_DIGITS = 15
# One line with a chunk's size and extensions, which nobody uses.
_MAX_LINE = 256
# Extensions and trailers of one body.  They are read and dropped, so nobody sends many.
_MAX_EXTRA = 16 * 1024

_SIZE = re.compile(
    rb"([0-9A-Fa-f]{1,%d})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?" % _MAX_SIZE_DIGITS
)
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")


@define
class MalformedBody(Misuse):
    """The chunked body is malformed: {reason}. The connection is closed."""

    reason: str


class Decoder(Protocol):
    """Takes bytes from the wire until the body is over."""

    ended: bool

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """
        Return what of the body is in *data*, and what was not looked at.

        That is what follows the body once it has ended; else it is to be fed again, later.
        """


@define(eq=False)
class SizedBody:
    """A body of so many bytes."""

    _left: int
    ended: bool = field(default=False, init=False)

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """See ``Decoder``."""
        if len(data) < self._left:
            self._left -= len(data)
            return data, b""
        piece, rest = data[: self._left], data[self._left :]
        self._left, self.ended = 0, True
        return piece, rest


@define(eq=False)
class ChunkedBody:
    """A chunked body; extensions and trailers are dropped."""

    ended: bool = field(default=False, init=False)
    _left: int = field(default=0, init=False)  # bytes of the chunk, and the CR LF behind it
    _line: bytes = field(default=b"", init=False)  # the beginning of a line
    _extra: int = field(default=0, init=False)
    _trailers: bool = field(default=False, init=False)

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """See ``Decoder``.  :raises MalformedBody:"""
        pieces: list[bytes] = []
        at = 0
        if self._line:
            data, self._line = self._line + data, b""
        for _ in range(CHUNKS_AT_ONCE):
            if self._left:
                at = self._take(data, at, pieces)
                if self._left:
                    break
            end = data.find(b"\r\n", at, at + _MAX_LINE + 2)
            if end < 0:
                self._keep(data[at:])
                at = len(data)
                break
            self._read_line(data[at:end])
            at = end + 2
            if self.ended:
                break
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return body, data[at:]

    def _take(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Take bytes of a chunk and its end; return where the next line begins."""
        stop = at + self._left
        if body := data[at : max(at, stop - 2)]:
            pieces.append(body)
        tail = data[max(at, stop - 2) : stop]
        # Of the CR LF behind the chunk one byte may have come before.
        wanted = b"\r\n"[2 - min(2, self._left) :]
        if not wanted.startswith(tail):
            raise MalformedBody("a chunk is longer than its size")
        self._left -= len(body) + len(tail)
        return at + len(body) + len(tail)

    def _read_line(self, line: bytes) -> None:
        if self._trailers:
            if not line:
                self.ended = True
            elif not _TRAILER.fullmatch(line):
                raise MalformedBody("a trailer is no header")
            self._count(len(line))
            return
        size = _SIZE.fullmatch(line)
        if size is None:
            raise MalformedBody("a chunk has no size, as in 1F")
        self._count(len(line) - len(size[1]))
        length = int(size[1], 16)
        self._trailers = not length
        self._left = length + 2 if length else 0

    def _keep(self, rest: bytes) -> None:
        """Keep the beginning of a line for the next call."""
        if len(rest) > _MAX_LINE:
            raise MalformedBody("a line in it is too long")
        if b"\n" in rest or b"\r" in rest[:-1]:
            raise MalformedBody("a line in it does not end in CR LF")
        self._line = rest

    def _count(self, extra: int) -> None:
        self._extra += extra
        if self._extra > _MAX_EXTRA:
            raise MalformedBody("its extensions and trailers are too large")


def decoder(length: int | None) -> Decoder:
    """Return what takes apart a body of *length* bytes, or a chunked one."""
    return ChunkedBody() if length is None else SizedBody(length)
