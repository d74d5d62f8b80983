"""Entries of the ciphertext cache: only what was stored under a name comes out of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.cached import HEADER_SIZE, UEB, entry_name, pack_header, unpack_entry
from truckee.codec.caps import ChkVerifyCap

CAP = ChkVerifyCap(b"i" * 16, b"u" * 32, 3, 10, 10**6)
NAME = entry_name(CAP, 0)


class EntryTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Each part of each file has a name of its own, which tells nothing of its cap."""
        other = ChkVerifyCap(b"i" * 16, b"v" * 32, 3, 10, 10**6)
        names = {entry_name(cap, part) for cap in (CAP, other) for part in (UEB, 0, 1, 10)}
        self.assertEqual(len(names), 8)
        for name in names:
            self.assertRegex(name, "^[a-z2-7]{32}$")

    @given(st.binary(max_size=300))
    def test_round_trip(self, data: bytes) -> None:
        """What was packed is unpacked."""
        header = pack_header(NAME, data)
        self.assertEqual(len(header), HEADER_SIZE)
        self.assertEqual(unpack_entry(NAME, header + data), data)

    def test_every_byte(self) -> None:
        """A flipped byte, a lost or an added end, and another name are found out."""
        entry = pack_header(NAME, b"some data") + b"some data"
        for at in range(len(entry)):
            flipped = bytearray(entry)
            flipped[at] ^= 1
            self.assertRaises(ValueError, unpack_entry, NAME, bytes(flipped))
            self.assertRaises(ValueError, unpack_entry, NAME, entry[:at])
        self.assertRaises(ValueError, unpack_entry, NAME, entry + b"\0")
        self.assertRaises(ValueError, unpack_entry, entry_name(CAP, 1), entry)
