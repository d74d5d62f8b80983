"""Paths as they are typed, without a grid."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.cli.grid_path import GridPath, is_remote, parse_path
from truckee.cli.problems import Problem

CAP = "URI:DIR2:abc:def"


def parse(text: str) -> GridPath:
    """Return what is meant; each alias stands for its own name."""
    return parse_path(text, lambda alias: f"cap-{alias}", "tahoe")


class GridPathTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """Aliases, caps and bare paths are told apart."""
        for text, root, names in (
            ("photos:a/b", "cap-photos", ("a", "b")),
            ("photos:", "cap-photos", ()),
            ("photos:/a//b/", "cap-photos", ("a", "b")),
            ("a/b", "cap-tahoe", ("a", "b")),
            ("a/b:c", "cap-tahoe", ("a", "b:c")),
            ("./b:c", None, ()),
            (CAP, CAP, ()),
            (f"{CAP}/a/b", CAP, ("a", "b")),
            (f"{CAP}:./a/b", CAP, ("a", "b")),
            ("x:e\u0301", "cap-x", ("\u00e9",)),
        ):
            if root is None:
                self.assertRaises(Problem, parse, text)
                continue
            path = parse(text)
            self.assertEqual((path.root, path.names), (root, names), text)

    def test_addresses(self) -> None:
        """Names are percent-encoded whole."""
        self.assertEqual(parse("x:a b/%2F?#").url, "uri/cap-x/a%20b/%252F%3F%23")
        self.assertEqual(parse(CAP).url, "uri/URI%3ADIR2%3Aabc%3Adef")

    def test_shown(self) -> None:
        """No cap is shown, and nothing that moves the cursor."""
        path = parse(f"{CAP}/a/b\x1b[2J")
        self.assertEqual(path.shown, "CAP/a/b?[2J")
        self.assertEqual(path.parent.shown, "CAP/a")
        self.assertNotIn("abc", repr(path))
        self.assertEqual(parse("x:").child("n").shown, "x:n")
        self.assertEqual(parse("x:d").child("n").shown, "x:d/n")

    def test_family(self) -> None:
        """A parent has all names but the last one."""
        path = parse("x:a/b/")
        self.assertEqual((path.name, path.slash), ("b", True))
        self.assertEqual(path.parent.names, ("a",))
        self.assertEqual(path.parent.child("c").names, ("a", "c"))
        self.assertEqual(parse("x:").name, "")

    def test_refused(self) -> None:
        """Names that mean something elsewhere, or are no text."""
        for text in ("x:../a", "x:a/./b", "x:\udcff"):
            self.assertRaises(Problem, parse, text)

    def test_remote(self) -> None:
        """A colon behind a slash is of a local file."""
        self.assertTrue(is_remote("x:a"))
        self.assertTrue(is_remote(CAP))
        self.assertFalse(is_remote("./x:a"))
        self.assertFalse(is_remote("x"))
