"""``truckee alias``, beside ``tahoe`` with the same file."""

from __future__ import annotations

import stat

from tests.cli.grid_case import GridCase
from tests.processes import SharedNode

room = SharedNode(happy=2)


def tearDownModule() -> None:
    """End the node of this module."""
    room.close()


class AliasTests(GridCase):
    room = room

    def test_same_file(self) -> None:
        """Each program knows what the other one has named; only the owner reads it."""
        file = self.node.directory / "private" / "aliases"
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        self.stock("create-alias", "theirs")
        self.assertIn(self.alias, self.stock("list-aliases"))
        self.assertIn("theirs: read and write\n", self.do("alias", "list").output)
        self.do("mkdir", "theirs:made")
        self.assertEqual(self.stock("ls", "theirs:"), "made\n")
        self.do("alias", "remove", "theirs", "--yes")
        self.assertNotIn("theirs", self.stock("list-aliases"))
        self.do("ls", "theirs:", code=4)

    def test_added(self) -> None:
        """A cap from standard input gets a name; only caps of directories do."""
        cap = self.root_cap()
        self.do("alias", "add", "again", "-", data=cap.encode() + b"\n")
        self.do("mkdir", "again:x")
        self.assertEqual(self.names(), ["x"])
        self.assertIn(f"again: {cap}\n", self.do("alias", "list", "--caps").output)
        for name, text in (
            ("again", cap),
            ("a b", cap),
            ("a/b", cap),
            ("uri", cap),
            ("", cap),
            ("new", "URI:LIT:nbuqu"),
            ("new", "nonsense"),
        ):
            self.do("alias", "add", name, text, code=1)
        self.do("alias", "remove", "again", data=b"n\n", code=1)
        self.assertIn("again:", self.do("alias", "list").output)

    def test_lines_stay(self) -> None:
        """Comments and odd lines stay, and a last line without an end is no trouble."""
        file = self.node.directory / "private" / "aliases"
        before = file.read_bytes()
        self.addCleanup(file.write_bytes, before)  # tahoe does not like odd lines
        file.write_bytes(before + b"# a comment\nodd: URI:X:y")
        self.do("alias", "create", "more")
        self.do("alias", "remove", "more", "--yes")
        self.assertEqual(file.read_bytes(), before + b"# a comment\nodd: URI:X:y\n")

    def test_unwritable(self) -> None:
        """Where no alias can be kept no directory is made; it says where to look."""
        done = self.ended(
            [*self.command("alias", "create", "x")[:-3], "-d", "/nowhere", "x"], None, None
        )
        self.assertEqual((done.code, done.output), (1, ""))
