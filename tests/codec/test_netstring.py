"""Netstrings, the parts that hashes and UEBs are made of."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.netstring import netstring, split_netstring


class NetstringTests(SynchronousTestCase):
    def test_examples(self) -> None:
        """The decimal length and a colon stand in front, a comma behind."""
        self.assertEqual(netstring(b"") + b"x", b"0:,x")
        self.assertEqual(netstring(b"tag1") + b"value", b"4:tag1,value")
        self.assertEqual(netstring(b"a" * 16), b"16:aaaaaaaaaaaaaaaa,")

    @given(st.binary(max_size=300), st.binary(max_size=30), st.binary(max_size=30))
    def test_round_trip(self, data: bytes, before: bytes, after: bytes) -> None:
        """A netstring is found at its place, whatever stands around it."""
        text = netstring(data)
        found, end = split_netstring(before + text + after, len(before))
        self.assertEqual(found, data)
        self.assertEqual(end, len(before) + len(text))

    @given(st.binary(max_size=40))
    def test_cut_short(self, data: bytes) -> None:
        """No beginning of a netstring passes for the whole."""
        text = netstring(data)
        for length in range(len(text)):
            self.assertRaises(ValueError, split_netstring, text[:length], 0)

    def test_wrong_forms(self) -> None:
        """Signs, spaces, leading zeros, lengths too long and missing commas are refused."""
        for text in (
            b":,",
            b"+1:a,",
            b"-1:a,",
            b" 1:a,",
            b"1 :a,",
            b"01:a,",
            b"00:,",
            b"1_0:aaaaaaaaaa,",
            b"x:a,",
            b"1:ab,",
            b"2:a,",
            b"1:a;",
            b"9" * 20 + b":a,",
            b"1" * 21 + b":a,",
            b"\xd9\xa1:a,",
        ):
            self.assertRaises(ValueError, split_netstring, text, 0)
