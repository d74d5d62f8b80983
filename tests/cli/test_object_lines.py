"""Lines that name objects."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.cli.object_lines import BadLine, Item, parse_line
from truckee.codec.caps import (
    ChkReadCap,
    DirectoryCap,
    LiteralCap,
    MutableReadCap,
    MutableWriteCap,
)

FILE = ChkReadCap(b"k" * 16, b"u" * 32, 3, 10, 1000)
WRITE = MutableWriteCap("SSK", b"w" * 16, b"f" * 32)
DIRECTORY = DirectoryCap(WRITE)


def line(**keys: Any) -> bytes:
    """Return a line of JSON."""
    return json.dumps({"path": ["a", "b"], "cap": str(FILE), **keys}).encode()


class ParseTests(SynchronousTestCase):
    def item(self, text: bytes | str) -> Item:
        """Return the object in a line, which is there."""
        item = parse_line(text if isinstance(text, bytes) else text.encode())
        assert item is not None
        return item

    def test_plain(self) -> None:
        """A cap alone, and a cap with a path, have the keys of a manifest."""
        self.assertEqual(
            self.item(f"{DIRECTORY} a/b c").unit,
            {
                "path": ["a", "b c"],
                "cap": str(DIRECTORY),
                "type": "directory",
                "verifycap": str(DIRECTORY.verify_cap()),
                "repaircap": str(DIRECTORY),
                "storage-index": str(DIRECTORY.verify_cap()).split(":")[2],
            },
        )
        self.assertEqual(self.item(f"{DIRECTORY} ").path, "")
        item = self.item(str(FILE))
        self.assertEqual((item.path, item.asked), ("", FILE))
        self.assertEqual(item.unit["repaircap"], str(FILE.verify_cap()))
        self.assertEqual(self.item(str(WRITE.read_cap())).unit["repaircap"], "")

    def test_what_is_asked(self) -> None:
        """Of a directory it is the file of its table; what is in its cap is not asked."""
        self.assertEqual(self.item(str(DIRECTORY)).asked, WRITE)
        self.assertEqual(self.item(str(DIRECTORY.verify_cap())).asked, WRITE.verify_cap())
        self.assertEqual(self.item(str(DirectoryCap(FILE))).asked, FILE)
        for cap in (LiteralCap(b"x"), DirectoryCap(LiteralCap(b""))):
            self.assertIsNone(self.item(str(cap)).asked)
        read = MutableReadCap("MDMF", b"r" * 16, b"f" * 32)
        self.assertEqual(self.item(f"ro.{read}").asked, read)

    def test_nothing(self) -> None:
        """Empty lines and the end of a tree are no objects."""
        for text in (b"", b"  ", b"\r", b'{"type": "stats", "stats": {}}'):
            self.assertIsNone(parse_line(text))

    def test_json(self) -> None:
        """Without a cap the one that repairs, or else that verifies, is taken."""
        self.assertEqual(self.item(line()).unit["path"], ["a", "b"])
        verify = str(FILE.verify_cap())
        found = self.item(json.dumps({"cap": "", "repaircap": "", "verifycap": verify}))
        self.assertEqual((found.path, found.asked), ("", FILE.verify_cap()))
        unknown = {"type": "unknown", "cap": "ro.x-future:1", "path": ["f"]}
        self.assertIsNone(self.item(json.dumps(unknown)).asked)

    def test_health(self) -> None:
        """What was found is read; what was not checked, or not well, is not healthy."""
        good: dict[str, Any] = {"results": {"healthy": True}}
        bad: dict[str, Any] = {"results": {"healthy": False}}
        repaired = {"pre-repair-results": bad, "post-repair-results": good}
        in_cap = {"storage-index": "", "repair-attempted": False}
        for keys, healthy in (
            ({"check-results": good}, True),
            ({"check-results": bad}, False),
            ({"check-results": good, "error": "unreadable"}, False),
            ({"check-and-repair-results": repaired}, True),
            ({"check-and-repair-results": in_cap}, True),
            ({"healthy": None, "error": "x"}, False),
            ({}, False),
        ):
            self.assertEqual(self.item(line(**keys)).is_healthy, healthy, keys)

    def test_broken(self) -> None:
        """Lines that name no object are told apart, without showing what is in them."""
        for text in (
            b"garbage",
            b"URI",
            b"ro.",
            b"\xff\xfe",
            b"aaaabbbbccccdddd",  # a storage index
            b"URI:CHK:damaged",
            b"URI:NEW:x",
            b"{",
            b"{}",
            b"[]",
            b'{"line": 3, "healthy": null, "error": "it is too long"}',
            b'{"cap": 5}',
            line(path="a"),
            line(path=[5]),
            line(**{"check-results": 5}),
            line(**{"check-results": {"results": 5}}),
            line(cap="x-future:1"),
            b"[" * 100_000,
            b'{"cap":' + b"[" * 100_000,
        ):
            with self.assertRaises(BadLine) as raised:
                parse_line(text)
            shown = text[:20].decode("latin-1")
            self.assertFalse(len(shown) > 4 and shown in raised.exception.reason)

    @given(st.binary())
    def test_anything(self, text: bytes) -> None:
        """Whatever comes, it is an object, none, or broken."""
        for each in (text, b"{" + text, line()[: len(text)], b"URI:CHK:" + text):
            try:
                parse_line(each)
            except BadLine as error:
                self.assertTrue(str(error))
