"""Tests of truckee.frontends.web.kinds."""

from __future__ import annotations

import re
from importlib.resources import files

from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.children import Child, new_child
from truckee.frontends.web import kinds
from truckee.frontends.web.kinds import kind_of

FILE = new_child("URI:LIT:nbswy3dp", None)
EMPTY = new_child("URI:DIR2-LIT:", None)


class KindTests(SynchronousTestCase):
    def test_names(self) -> None:
        """A name suggests a kind; without a known ending it suggests none."""
        told = {
            "a.JPG": "picture",
            "a.svg": "picture",
            "a.mkv": "video",
            "a.pdf": "PDF",
            "a.csv": "text",
            "a.html": "web page",
            "a.tar.gz": "archive",
            "a.docx": "document",
            "README": "file",
            ".png": "file",
            "a.exe": "file",
        }
        found = {name: kind_of(name, FILE).words for name in told}
        self.assertEqual(found, told)
        self.assertEqual(kind_of("a.png", EMPTY).words, "directory")
        self.assertEqual(kind_of("a.png", Child(None, None, None)).words, "unknown")

    def test_previews(self) -> None:
        """What browsers do not show in a frame has no preview."""
        for name in ("a.png", "a.txt", "a.mp4", "a.mp3", "a.pdf", "a.json"):
            self.assertTrue(kind_of(name, FILE).previewed, name)
        for name in ("a.tiff", "a.html", "a.zip", "a"):
            self.assertFalse(kind_of(name, FILE).previewed, name)

    def test_icons(self) -> None:
        """Every kind has an icon in the style."""
        style = (files("truckee.frontends.web") / "static" / "directory.css").read_text(
            "utf-8"
        )
        drawn = set(re.findall(r"^\.(\w+) \{ --icon:", style, re.M))
        used = {each.icon for each in kinds._KINDS.values()}
        self.assertEqual(used | {"folder", "file", "unknown", "up"}, drawn)
