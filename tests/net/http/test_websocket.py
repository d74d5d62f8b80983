"""The frames and the handshake of WebSocket, whole and byte by byte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.net.http.websocket import (
    PROTOCOL_ERROR,
    TOO_BIG,
    BadFrame,
    Frame,
    FrameReader,
    NoWebSocket,
    Opcode,
    accept_key,
    close_frame,
    frame_bytes,
)

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, section 1.3
GOOD: dict[str, Any] = {
    "method": b"GET",
    "upgrades": ["websocket"],
    "connections": ["keep-alive, Upgrade"],
    "versions": ["13"],
    "keys": [KEY],
}


def masked(opcode: int, payload: bytes, mask: bytes = b"\x37\xfa\x21\x3d") -> bytes:
    """Return a frame as a client sends it."""
    size = len(payload)
    head = bytes((0x80 | opcode, 0x80 | size))
    if size > 125:
        head = bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big")
    data = bytes(each ^ mask[at % 4] for at, each in enumerate(payload))
    return head + mask + data


class HandshakeTests(SynchronousTestCase):
    def test_example(self) -> None:
        """The answer to the example of the RFC is its own."""
        self.assertEqual(accept_key(**GOOD), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")

    def test_none(self) -> None:
        """What is no handshake, or one of another version, is refused."""
        for name, value in (
            ("method", b"POST"),
            ("upgrades", []),
            ("upgrades", ["h2c"]),
            ("connections", ["close"]),
            ("versions", ["8"]),
            ("versions", ["13", "13"]),
            ("keys", []),
            ("keys", [KEY, KEY]),
            ("keys", ["short"]),
            ("keys", ["ü" * 16]),
            ("keys", [KEY + "x"]),
            ("keys", ["AAAA"]),
        ):
            with self.assertRaises(NoWebSocket):
                accept_key(**{**GOOD, name: value})


class FrameTests(SynchronousTestCase):
    def fed(self, data: bytes, pieces: Sequence[int] = ()) -> list[Frame]:
        """Return the frames in *data*, which comes whole, or in pieces of one byte."""
        reader, found = FrameReader(1000), []
        for at in range(0, len(data), 1 if pieces else max(1, len(data))):
            found += list(reader.feed(data[at : at + 1] if pieces else data))
        return found

    def test_example(self) -> None:
        """The masked frame of the RFC is read."""
        data = bytes.fromhex("818537fa213d7f9f4d5158")
        for pieces in ((), (1,)):
            self.assertEqual(self.fed(data, pieces), [Frame(Opcode.TEXT, b"Hello")])

    @given(st.lists(st.binary(max_size=400), max_size=5))
    def test_any(self, payloads: list[bytes]) -> None:
        """Whatever a client sends is read, however it comes."""
        data = b"".join(masked(Opcode.BINARY, each) for each in payloads)
        found = [Frame(Opcode.BINARY, each) for each in payloads]
        self.assertEqual(self.fed(data), found)
        self.assertEqual(self.fed(data, (1,)), found)

    def test_bad(self) -> None:
        """What no client may send, or is too large, is refused by its head."""
        for head, code in (
            ("8105", PROTOCOL_ERROR),  # not masked
            ("c185", PROTOCOL_ERROR),  # an extension
            ("8385", PROTOCOL_ERROR),  # no such opcode
            ("0985", PROTOCOL_ERROR),  # a ping in parts
            ("89fe", PROTOCOL_ERROR),  # a long ping
            ("81fe03e9", TOO_BIG),
            ("81ff7fffffffffffffff", TOO_BIG),
        ):
            reader = FrameReader(1000)
            with self.assertRaises(BadFrame) as caught:
                list(reader.feed(bytes.fromhex(head)))
            self.assertEqual(caught.exception.code, code, head)

    def test_written(self) -> None:
        """What we send has the length in the form for its size, and no mask."""
        for size, head in (
            (0, "8100"),
            (125, "817d"),
            (126, "817e007e"),
            (65535, "817effff"),
        ):
            data = frame_bytes(Opcode.TEXT, b"x" * size)
            self.assertEqual(data, bytes.fromhex(head) + b"x" * size)
        long = frame_bytes(Opcode.TEXT, b"x" * 65536)
        self.assertEqual(long[:10], bytes.fromhex("817f0000000000010000"))
        self.assertEqual(close_frame(1001), bytes.fromhex("880203e9"))
