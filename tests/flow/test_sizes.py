"""Sizes as people write them."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.flow.sizes import parse_size


class SizeTests(SynchronousTestCase):
    def test_examples(self) -> None:
        """K to E are powers of 1000, or of 1024 with an i; case does not count."""
        for text, size in (
            ("0", 0),
            ("500", 500),
            ("500B", 500),
            ("10G", 10**10),
            ("10GB", 10**10),
            ("10Gi", 10 << 30),
            ("10 gib", 10 << 30),
            (" 3k ", 3000),
            ("1E", 10**18),
        ):
            self.assertEqual(parse_size(text), size, text)

    def test_nonsense(self) -> None:
        """Anything else is refused."""
        for text in ("", "-1", "1.5G", "G", "1GG", "1 2", "1Z", "1iG", "٣", "9" * 21):
            self.assertRaises(ValueError, parse_size, text)

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Of any text it is a size or a ValueError."""
        with contextlib.suppress(ValueError):
            self.assertGreaterEqual(parse_size(text), 0)
