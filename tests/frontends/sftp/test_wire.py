"""Packets, whole and in pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.sftp.wire import (
    MAX_PACKET,
    MAX_STRING,
    BadPacket,
    Fields,
    PacketTooLong,
    Splitter,
    string,
    u32,
    u64,
)

PACKETS = st.lists(st.binary(min_size=1, max_size=40), max_size=8)


class SplitterTests(SynchronousTestCase):
    @given(PACKETS, st.integers(1, 50))
    def test_pieces(self, packets: list[bytes], size: int) -> None:
        """Packets are the same in pieces of any size, and nothing is left."""
        data = b"".join(map(string, packets))
        splitter, found = Splitter(), list[bytes]()
        for start in range(0, len(data), size):
            found += splitter.feed(data[start : start + size])
        self.assertEqual(found, packets)
        self.assertEqual(splitter.pending, 0)

    @given(PACKETS, st.binary(min_size=1, max_size=3))
    def test_trailing(self, packets: list[bytes], rest: bytes) -> None:
        """What is not whole waits."""
        splitter = Splitter()
        found = splitter.feed(b"".join(map(string, packets)) + rest)
        self.assertEqual((found, splitter.pending), (packets, len(rest)))

    def test_lengths(self) -> None:
        """The longest packet is taken; a longer one, and an empty one, are not."""
        self.assertEqual(len(Splitter().feed(string(bytes(MAX_PACKET)))[0]), MAX_PACKET)
        for length in (0, MAX_PACKET + 1, 0xFFFFFFFF):
            with self.assertRaises(PacketTooLong):
                Splitter().feed(u32(length))

    def test_byte_by_byte(self) -> None:
        """A large packet costs no more for coming in the smallest pieces."""
        splitter, data = Splitter(), string(bytes(100_000))
        for each in range(len(data) - 1):
            self.assertEqual(splitter.feed(data[each : each + 1]), [])
        self.assertEqual(len(splitter.feed(data[-1:])), 1)


class FieldsTests(SynchronousTestCase):
    @given(
        st.integers(0, 255),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**64 - 1),
        st.binary(),
    )
    def test_all(self, byte: int, small: int, large: int, text: bytes) -> None:
        """What is packed is read; cut at any byte it is not."""
        packet = bytes([byte]) + u32(small) + u64(large) + string(text)

        def read(data: bytes) -> tuple[int, int, int, bytes]:
            fields = Fields(data)
            return fields.byte(), fields.u32(), fields.u64(), fields.string()

        self.assertEqual(read(packet), (byte, small, large, text))
        for end in range(len(packet)):
            with self.assertRaises(BadPacket):
                read(packet[:end])
        fields = Fields(packet + b"x")
        fields.byte(), fields.u32(), fields.u64(), fields.data()
        self.assertTrue(fields.rest())

    def test_long_strings(self) -> None:
        """A path is not longer than it may be; data are as long as the packet."""
        self.assertEqual(len(Fields(string(bytes(MAX_STRING))).string()), MAX_STRING)
        for length in (MAX_STRING + 1, 0xFFFFFFFF):
            with self.assertRaises(BadPacket):
                Fields(u32(length) + bytes(MAX_STRING + 1)).string()
        self.assertEqual(len(Fields(string(bytes(200_000))).data()), 200_000)
        with self.assertRaises(BadPacket):
            Fields(u32(200_001) + bytes(200_000)).data()
