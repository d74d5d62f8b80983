"""Attributes of files, and the lines that show them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.sftp.attributes import Attributes, entry, long_name, read_attributes
from truckee.frontends.sftp.wire import BadPacket, Fields, string, u32

NUMBER = st.integers(0, 2**32 - 1)
ATTRIBUTES = st.builds(
    Attributes,
    st.none() | st.integers(0, 2**64 - 1),
    st.none() | st.tuples(NUMBER, NUMBER),
    st.none() | NUMBER,
    st.none() | st.tuples(NUMBER, NUMBER),
)


class AttributesTests(SynchronousTestCase):
    @given(ATTRIBUTES, st.binary(max_size=3))
    def test_packed_and_read(self, attributes: Attributes, rest: bytes) -> None:
        """What is packed is read, and not more; cut at any byte it is refused."""
        packed = attributes.pack()
        fields = Fields(packed + rest)
        self.assertEqual(read_attributes(fields), attributes)
        self.assertEqual(fields.rest(), bool(rest))
        for end in range(len(packed)):
            with self.assertRaises(BadPacket):
                read_attributes(Fields(packed[:end]))

    def test_extended(self) -> None:
        """Extended ones are passed over, some of them; unknown flags are refused."""
        pair = string(b"a@b") + string(b"c")
        fields = Fields(u32(0x80000000) + u32(2) + pair + pair)
        self.assertEqual(read_attributes(fields), Attributes())
        self.assertFalse(fields.rest())
        with self.assertRaises(BadPacket):
            read_attributes(Fields(u32(0x80000000) + u32(1 << 31)))
        with self.assertRaises(BadPacket):
            read_attributes(Fields(u32(16)))

    @given(ATTRIBUTES, st.binary(max_size=30), st.floats(0, 2**33))
    def test_lines(self, attributes: Attributes, name: bytes, now: float) -> None:
        """There is a line for whatever there is, and it ends with the name."""
        line = long_name(name, attributes, now)
        self.assertTrue(line.endswith(b" " + name))
        self.assertIn(name, entry(name, attributes, now))

    def test_times_that_do_not_fit(self) -> None:
        """Times that the format cannot hold become the next that it can."""
        odd = Attributes(times=(-5, 1 << 70))
        self.assertEqual(read_attributes(Fields(odd.pack())).times, (0, 2**32 - 1))
        long_name(b"f", odd, 0.0)
