"""The headers of tus."""

from __future__ import annotations

import hashlib
from base64 import b64encode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.tus.protocol import (
    CHECKSUMS,
    MAX_METADATA,
    BadHeader,
    Creation,
    WrongChecksum,
    format_date,
    good_metadata,
    parse_checksum,
    parse_count,
    parse_creation,
)

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=","))


class CountTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        """A count is decimal digits, and nothing else is."""
        self.assertEqual(parse_count("X", "0"), 0)
        self.assertEqual(parse_count("X", "007"), 7)
        for text in (None, "", "-1", "+1", "1.0", " 1", "1 ", "0x1", "٣", "1" * 19):
            self.assertRaises(BadHeader, parse_count, "X", text)


class CreationTests(SynchronousTestCase):
    def test_length_or_later(self) -> None:
        """A length is told now or later: one of them, and not both."""
        self.assertEqual(parse_creation("5", None, ""), Creation(5, ""))
        self.assertEqual(parse_creation(None, "1", "a YQ=="), Creation(None, "a YQ=="))
        for length, deferred in ((None, None), ("5", "1"), (None, "0"), ("x", None)):
            self.assertRaises(BadHeader, parse_creation, length, deferred, "")

    def test_parts(self) -> None:
        """A final upload names its parts, by address or path; only handles count."""
        text = "final;/tus/a  http://h:1/tus/b"
        final = parse_creation(None, None, "", text)
        self.assertEqual(
            (final.parts, final.partial, final.length), (["a", "b"], False, None)
        )
        part = parse_creation("5", None, "", "partial")
        self.assertEqual((part.parts, part.partial), ([], True))
        for length, concat in ((None, "final;"), ("5", text), ("5", "other")):
            self.assertRaises(BadHeader, parse_creation, length, None, "", concat)


class ChecksumTests(SynchronousTestCase):
    @given(st.lists(st.binary()), st.sampled_from(CHECKSUMS))
    def test_law(self, chunks: list[bytes], algorithm: str) -> None:
        """The checksum of a body is right however it is cut, and of another wrong."""
        digest = hashlib.new(algorithm, b"".join(chunks), usedforsecurity=False).digest()
        header = f"{algorithm} {b64encode(digest).decode()}"
        good, bad = parse_checksum(header), parse_checksum(header)
        for chunk in chunks:
            good.update(chunk)
            bad.update(chunk)
        good.check()
        bad.update(b"x")
        self.assertRaises(WrongChecksum, bad.check)


class MetadataTests(SynchronousTestCase):
    @given(st.dictionaries(NAMES.filter(bool), st.binary(max_size=20), max_size=5))
    def test_law(self, pairs: dict[str, bytes]) -> None:
        """Pairs of a key and any bytes are good metadata."""
        good_metadata(", ".join(f"{k} {b64encode(v).decode()}" for k, v in pairs.items()))

    def test_good(self) -> None:
        """A key may have no value, and a list no blanks."""
        for text in ("is_confidential", "a YQ==,b", "a YQ==, b  "[:-2]):
            self.assertEqual(good_metadata(text), text)

    def test_bad(self) -> None:
        """What is malformed is left out, and the rest is kept; the last of a key counts."""
        for text, kept in (
            ("", ""),
            ("a YQ==,a", "a"),
            (",", ""),
            ("a YQ==,", "a YQ=="),
            ("ä YQ==,b YQ==", "b YQ=="),
            ("a Y", ""),
            ("filename film.mp4,type dmlkZW8=", "type dmlkZW8="),
            ("a YQ== YQ==,b", "b"),
            ("a YQ", ""),
            ("a Y-_=,b YQ==", "b YQ=="),
            ("a  YQ==", ""),
        ):
            self.assertEqual(good_metadata(text), kept, text)
        self.assertRaises(BadHeader, good_metadata, "a " + "A" * MAX_METADATA)


class DateTests(SynchronousTestCase):
    def test_date(self) -> None:
        """A date is in the form of RFC 9110."""
        self.assertEqual(format_date(784111777.9), "Sun, 06 Nov 1994 08:49:37 GMT")
