"""Names of links: NFC, in any length."""

from __future__ import annotations

from time import process_time
from unicodedata import normalize

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.directory_name import BadName, new_name, normalize_name
from truckee.errors import Misuse

# Marks of several classes, what they combine with, and what decomposes into some.
AWKWARD = "a\u0315\u0300\u0323\u0345\u0344\u0f73\u1100\u1161\u11a8\uac00\u212b\u1e9b\u0958x"


class NameTests(SynchronousTestCase):
    @given(st.text(st.sampled_from(AWKWARD), max_size=300) | st.text(max_size=200))
    def test_is_nfc(self, name: str) -> None:
        """Short names and long ones get what the interpreter calls NFC."""
        self.assertEqual(normalize_name(name), normalize("NFC", name))
        longer = name + "e\u0301" * 64
        self.assertEqual(normalize_name(longer), normalize("NFC", longer))

    def test_new_names(self) -> None:
        """New names are normalised too, and are any text: only half a pair is none."""
        for name in ("", "a/b", "..", "\0", "x" * 100_000, "\U0001f600"):
            self.assertEqual(new_name(name), name)
        self.assertEqual(new_name("e\u0301"), "\xe9")
        error = self.assertRaises(BadName, new_name, "a\ud83d")
        self.assertIsInstance(error, Misuse)
        self.assertIn("Choose another name", str(error))

    def test_long_runs(self) -> None:
        """Twice as many unsorted marks take about twice the time, not four times."""

        def seconds(count: int) -> float:
            name = "a" + "\u0315\u0300" * count
            before = process_time()
            normalize_name(name)
            return process_time() - before

        # With insertion the ratio would be 64 squared.
        short = min(seconds(1_000) for _ in range(3))
        self.assertLess(seconds(64_000), 64 * 20 * short)
