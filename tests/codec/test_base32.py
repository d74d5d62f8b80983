"""Base32 as caps, storage indexes and secrets are written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec import base32

EXAMPLES = [
    (b"", ""),
    (b"\xff", "74"),
    (b"\xff" * 2, "777q"),
    (b"\xff" * 3, "77776"),
    (b"\xff" * 4, "777777y"),
    (b"\xff" * 5, "77777777"),
    (b"\xff" * 16, "7" * 25 + "4"),
    (b"\xff" * 32, "7" * 51 + "q"),
    (b"hello", "nbswy3dp"),
    (bytes(range(16)), "aaaqeayeaudaocajbifqydiob4"),
    (
        bytes.fromhex("6bd0dcb02f110ae1e9411f1252070366feaacbc9dadb66a4a9a0c0dd85495dc4"),
        "npinzmbpcefod2kbd4jfebydm37kvs6j3lnwnjfjudan3bkjlxca",
    ),
]

# Length modulo 8, and the characters that may stand last.
LAST_CHARACTERS = [
    (0, base32.ALPHABET),
    (1, ""),
    (2, "aeimquy4"),
    (3, ""),
    (4, "aq"),
    (5, "acegikmoqsuwy246"),
    (6, ""),
    (7, "aiqy"),
]


class EncodeTests(SynchronousTestCase):
    def test_examples(self) -> None:
        """Bytes become lower-case characters, first bit first, without padding."""
        for data, text in EXAMPLES:
            self.assertEqual(base32.encode(data), text)

    def test_lengths(self) -> None:
        """A text has one character for every 5 bits, the last of them maybe begun."""
        for size, characters in [(0, 0), (1, 2), (16, 26), (20, 32), (32, 52)]:
            self.assertEqual(len(base32.encode(bytes(size))), characters)

    @given(st.binary(max_size=100))
    def test_round_trip(self, data: bytes) -> None:
        """Decoding an encoded text gives the bytes back."""
        text = base32.encode(data)
        self.assertEqual(len(text), -(-8 * len(data) // 5))
        self.assertEqual(base32.decode(text), data)


class DecodeTests(SynchronousTestCase):
    def test_examples(self) -> None:
        """Every example reads back."""
        for data, text in EXAMPLES:
            self.assertEqual(base32.decode(text), data)

    def test_last_character(self) -> None:
        """Impossible lengths and spare bits that are not zero are refused."""
        for length, allowed in LAST_CHARACTERS:
            for last in base32.ALPHABET:
                text = "q" * ((length - 1) % 8) + last
                if last in allowed:
                    self.assertEqual(base32.encode(base32.decode(text)), text)
                else:
                    self.assertRaises(ValueError, base32.decode, text)

    def test_foreign_characters(self) -> None:
        """Upper case, padding, white space and other alphabets are refused."""
        for text in ("NBSWY3DP", "74======", "74\n", " 74", "7 4", "01", "7ä", "7\u017f"):
            self.assertRaises(ValueError, base32.decode, text)

    @given(st.text(alphabet=base32.ALPHABET + "A=18 \n", max_size=20))
    def test_one_text_for_each_bytes(self, text: str) -> None:
        """A text that decodes at all is the one that its bytes encode to."""
        try:
            data = base32.decode(text)
        except ValueError:
            return
        self.assertEqual(base32.encode(data), text)
