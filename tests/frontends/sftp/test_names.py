"""Paths as names."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.sftp.names import BadPath, names_of, path_of


class NameTests(SynchronousTestCase):
    def test_examples(self) -> None:
        """Dots and slashes lead where they do elsewhere, but never above the root."""
        for path, names in (
            (b"", ()),
            (b"/", ()),
            (b".", ()),
            (b"..", ()),
            (b"/../../a", ("a",)),
            (b"a//b/./c/../d", ("a", "b", "d")),
            (b"...", ("...",)),
            (b"/a/..", ()),
            ("/\u00fc".encode(), ("\u00fc",)),
        ):
            self.assertEqual(names_of(path), names)

    def test_refused(self) -> None:
        """What is not UTF-8, and a zero byte, are in no name."""
        for path in (b"\xff", b"a\0b", b"/\xed\xa0\x80", b"\xc0\xaf", b"\xc3"):
            with self.assertRaises(BadPath):
                names_of(path)

    @given(st.binary(max_size=60))
    def test_law(self, path: bytes) -> None:
        """Names have no slash and are no dots, and their path leads to them."""
        try:
            names = names_of(path)
        except BadPath:
            return
        for name in names:
            self.assertNotIn("/", name)
            self.assertNotIn(name, ("", ".", ".."))
        self.assertEqual(names_of(path_of(names)), names)

    def test_long(self) -> None:
        """The longest path takes no time to speak of, wherever it leads."""
        path = b"a/" * 4000 + b"../" * 2700
        begin = time.process_time()
        for _ in range(20):
            self.assertEqual(len(names_of(path)), 1300)
        self.assertLess(time.process_time() - begin, 1.0)
