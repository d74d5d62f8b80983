"""
WebSocket as a server speaks it: the handshake and the frames.  Pure.

Source: RFC 6455, sections 4.2 and 5.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from enum import IntEnum
from hashlib import sha1

from attrs import define, field, frozen

from truckee.errors import Misuse

VERSION = "13"
_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_SIZE = 16  # bytes
_MOST_OF_CONTROL = 125  # bytes

# Why a connection is closed.
GOING_AWAY, PROTOCOL_ERROR, TOO_BIG = 1001, 1002, 1009


@define
class NoWebSocket(Misuse):
    """This address speaks WebSocket (version 13) alone; this is no handshake of it."""


@define
class BadFrame(Exception):
    """What came is no frame that a client may send."""

    code: int  # as above


class Opcode(IntEnum):
    """The kinds of frames."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


_CONTROL = 8  # and above


@frozen
class Frame:
    """One frame that came."""

    opcode: Opcode
    payload: bytes = field(repr=False)


def accept_key(
    method: bytes,
    upgrades: Sequence[str],
    connections: Sequence[str],
    versions: Sequence[str],
    keys: Sequence[str],
) -> str:
    """
    Return what ``Sec-WebSocket-Accept`` says to a handshake, of which these are headers.

    :raises NoWebSocket: when it is none, or one of another version.
    """
    asked = method == b"GET" and "websocket" in _words(upgrades)
    if not (asked and "upgrade" in _words(connections) and list(versions) == [VERSION]):
        raise NoWebSocket
    try:
        [key] = keys
        if len(b64decode(key, validate=True)) != _KEY_SIZE:
            raise NoWebSocket
    except (ValueError, binascii.Error):
        raise NoWebSocket from None
    digest = sha1(f"{key}{_MAGIC}".encode("ascii"), usedforsecurity=False)
    return b64encode(digest.digest()).decode("ascii")


def _words(lines: Sequence[str]) -> list[str]:
    return [word.strip().lower() for line in lines for word in line.split(",")]


def frame_bytes(opcode: Opcode, payload: bytes) -> bytes:
    """Return a whole message, or a control frame, from the server."""
    size = len(payload)
    head = bytes((0x80 | opcode,))
    if size <= _MOST_OF_CONTROL:
        return b"%b%c%b" % (head, size, payload)
    if size < 1 << 16:
        return b"%b\x7e%b%b" % (head, size.to_bytes(2, "big"), payload)
    return b"%b\x7f%b%b" % (head, size.to_bytes(8, "big"), payload)


def close_frame(code: int) -> bytes:
    """Return the last frame, which says why it is."""
    return frame_bytes(Opcode.CLOSE, code.to_bytes(2, "big"))


@define(eq=False)
class FrameReader:
    """Takes apart what a client sends; a frame has at most *most* bytes of payload."""

    most: int
    _buffer: bytearray = field(factory=bytearray, init=False, repr=False)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Give the frames that are complete.  :raises BadFrame: nothing may follow it."""
        self._buffer += data
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> Frame | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        opcode = first & 0x0F
        short = second & 0x7F
        # No extension was agreed upon, and what a client sends is masked.
        if first & 0x70 or not second & 0x80 or opcode not in set(Opcode):
            raise BadFrame(PROTOCOL_ERROR)
        if opcode >= _CONTROL and (short > _MOST_OF_CONTROL or not first & 0x80):
            raise BadFrame(PROTOCOL_ERROR)
        at = 2 + {126: 2, 127: 8}.get(short, 0)
        if len(buffer) < at:
            return None
        size = int.from_bytes(buffer[2:at], "big") if at > 2 else short
        if size > self.most:
            raise BadFrame(TOO_BIG)
        end = at + 4 + size
        if len(buffer) < end:
            return None
        mask = bytes(buffer[at : at + 4])
        payload = _unmasked(bytes(buffer[at + 4 : end]), mask)
        del buffer[:end]
        return Frame(Opcode(opcode), payload)


def _unmasked(data: bytes, mask: bytes) -> bytes:
    size = len(data)
    stream = (mask * (-(-size // 4)))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(
        size, "big"
    )
