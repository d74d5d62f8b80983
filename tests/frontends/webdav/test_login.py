"""Who asks at /dav/ without a cap."""

from __future__ import annotations

import base64

from twisted.trial.unittest import SynchronousTestCase

from tests.accounts.examples import OTHER, READ, ROOT
from truckee.frontends.webdav.errors import LoginNeeded
from truckee.frontends.webdav.login import _basic, cap_of


def header(text: str, encoding: str = "utf-8") -> str:
    return "Basic " + base64.b64encode(text.encode(encoding)).decode()


class BasicTests(SynchronousTestCase):
    def test_good(self) -> None:
        """A name ends at the first colon; other than UTF-8 is what older clients send."""
        for line, found in (
            (header("alice:secret"), ("alice", "secret")),
            (header("alice:a:b"), ("alice", "a:b")),
            (header("zoë:über"), ("zoë", "über")),
            (header("zoë:über", "latin-1"), ("zoë", "über")),
            (header(":"), ("", "")),
            (header("a:b").replace("Basic ", "bAsIc   "), ("a", "b")),
        ):
            self.assertEqual(_basic([line]), found)

    def test_others(self) -> None:
        """Anything else is answered with the wish for a name and a password."""
        for lines in (
            [], [""], ["Basic"], ["Basic !"], ["Bearer x"], [header("alice")],
            ['Digest username="alice"'], [header("a:b")] * 2,
        ):  # fmt: skip
            self.assertRaises(LoginNeeded, _basic, lines)


class CapTests(SynchronousTestCase):
    def test_caps(self) -> None:
        """Caps of directories are told from names, with underscores for colons too."""
        for cap in (ROOT, OTHER, READ):
            self.assertEqual(cap_of(str(cap).encode()), cap)
            self.assertEqual(cap_of(str(cap).replace(":", "_").encode()), cap)
        for text in (
            b"",
            b"photos",
            b"a_b",
            b"URI:DIR2:x",
            str(ROOT.inner).encode(),
            b"\xff",
        ):
            self.assertIsNone(cap_of(text))
