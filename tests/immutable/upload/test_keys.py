"""What key= may say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec import base32
from truckee.immutable.upload.keys import (
    BadKey,
    ConvergentKey,
    GivenKey,
    RandomKey,
    parse_key_choice,
)


class KeyChoiceTests(SynchronousTestCase):
    def test_words(self) -> None:
        """The words are read in any case; nothing at all is a random key."""
        for text in ("", "random", "RANDOM", "Random"):
            self.assertEqual(parse_key_choice(text), RandomKey())
        for text in ("CHK", "chk", "Chk"):
            self.assertEqual(parse_key_choice(text), ConvergentKey())

    @given(st.binary(min_size=16, max_size=16))
    def test_keys(self, key: bytes) -> None:
        """A key is read as hex of either case and as base32."""
        for text in (key.hex(), key.hex().upper(), base32.encode(key)):
            self.assertEqual(parse_key_choice(text), GivenKey(key))

    def test_bad_keys(self) -> None:
        """All else is refused, and the key is in no message and no repr."""
        key = "0123456789abcdef" * 2
        for text in (
            "x",
            key[:-1],
            key + "0",
            key[:-1] + "g",
            key[:30] + "  ",
            "0 " * 16,
            " " * 32,
            "\u0661" * 32,
            base32.encode(bytes(16)).upper(),
            "a" * 25 + "b",  # spare bits
            "a" * 25 + "=",
            "a" * 25,
            "a" * 27,
            "random ",
        ):
            with self.assertRaises(BadKey) as raised:
                parse_key_choice(text)
            if len(text) > 20:
                self.assertNotIn(text.strip() or "nothing", str(raised.exception))
        self.assertNotIn("secret", repr(GivenKey(b"secret secret se")))

    @given(st.text(max_size=40))
    def test_any_text(self, text: str) -> None:
        """Every text is a choice or a BadKey."""
        try:
            choice = parse_key_choice(text)
        except BadKey:
            return
        if isinstance(choice, GivenKey):
            self.assertEqual(len(choice.key), 16)
