"""Entries of tables, one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.codec.directory_naive import wrap, write
from truckee.codec.directory_entry import (
    BadDirectory,
    Entry,
    check_entry,
    name_at,
    read_entry,
)
from truckee.codec.directory_name import normalize_name
from truckee.errors import Corrupt

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
fields = st.binary(max_size=40)


class EntryTests(SynchronousTestCase):
    @given(names, fields, fields, fields, fields, fields)
    def test_round_trip(
        self,
        name: str,
        ro: bytes,
        rwdata: bytes,
        metadata: bytes,
        before: bytes,
        after: bytes,
    ) -> None:
        """An entry reads back from its place, and is what the simple writer makes."""
        entry = Entry(normalize_name(name), ro, rwdata, metadata)
        packed = entry.pack()
        expected = write(entry.name.encode("utf-8"), ro, rwdata, metadata)
        self.assertEqual(packed, expected)
        text, at = before + packed + after, len(before)
        self.assertEqual(read_entry(text, at), entry)
        self.assertEqual(check_entry(text, at), (entry.name, at + len(packed)))
        self.assertEqual(name_at(text, at), entry.name)

    def test_names_are_normalised(self) -> None:
        """A name that was stored in another form is read in NFC."""
        packed = write("cafe\u0301".encode(), b"", b"", b"{}")
        self.assertEqual(read_entry(packed, 0).name, "caf\xe9")
        self.assertEqual(name_at(packed, 0), "caf\xe9")

    def test_more_fields(self) -> None:
        """What stands behind the four fields is nobody's."""
        for more in (b"5:after,", b"x", b"9999:"):
            inner = b"1:a,2:ro,0:,2:{}," + more
            entry = read_entry(wrap(inner), 0)
            self.assertEqual(entry, Entry("a", b"ro", b"", b"{}"))

    @given(names, fields)
    def test_cut_short(self, name: str, ro: bytes) -> None:
        """No beginning of an entry passes for the whole."""
        packed = Entry(name, ro, b"", b"{}").pack()
        for length in range(len(packed)):
            self.assertRaises(BadDirectory, check_entry, packed[:length], 0)
            self.assertRaises(BadDirectory, read_entry, packed[:length], 0)

    def test_malformed(self) -> None:
        """Other forms of lengths, missing fields or commas, and wrong names are refused."""
        for packed in (
            b"x",
            b"0:,",
            b"4:1:a,,",
            wrap(b"1:a,0:,0:,"),
            wrap(b"1:a,0:,0:,3:{},"),
            wrap(b"1:a,0:,0:,2:{};"),
            wrap(b"1:a,0:,0:,2:{}"),
            wrap(b"1:a,0:;0:,2:{},"),
            wrap(b"01:a,0:,0:,2:{},"),
            wrap(b"+1:a,0:,0:,2:{},"),
            wrap(b"-1:a,0:,0:,2:{},"),
            wrap(b" 1:a,0:,0:,2:{},"),
            wrap(b"1:a,0:,00:,2:{},"),
            wrap(b"1:a,0:,99999999999999999999:,2:{},"),
            wrap(b"1:a,0:,%b:,2:{}," % (b"9" * 5000)),
            wrap(b"1:\xff,0:,0:,2:{},"),
            wrap(b"3:\xed\xa0\x80,0:,0:,2:{},"),
            wrap(b"1:a,0:,0:,2:{},")[:-1] + b";",
            b"0" + wrap(b"1:a,0:,0:,2:{},"),
            # The last field takes the comma of the entry, and more.
            b"15:1:a,0:,0:,3:{},,,",
        ):
            error = self.assertRaises(BadDirectory, read_entry, packed, 0)
            self.assertIsInstance(error, Corrupt)
            self.assertIn("damaged", str(error))

    def test_no_secrets_in_repr(self) -> None:
        """Caps do not show when an entry is logged."""
        self.assertNotIn("URI", repr(Entry("a", b"URI:LIT:aa", b"URI", b"URI")))

    def test_half_a_pair(self) -> None:
        """A name that is no text cannot be packed."""
        self.assertRaises(UnicodeEncodeError, Entry("\ud800", b"", b"", b"{}").pack)
