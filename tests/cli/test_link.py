"""``truckee put`` and ``get`` with paths in the grid."""

from __future__ import annotations

import json
import signal

from tests.cli.grid_case import GridCase
from tests.processes import SharedNode, ask, eventually

room = SharedNode(happy=2)
MIB = 1 << 20


def tearDownModule() -> None:
    """End the node of this module."""
    room.close()


class LinkTests(GridCase):
    room = room

    def test_stored_and_read(self) -> None:
        """A file gets a name on the way in, also from a pipe, and is read by it."""
        data = bytes(range(256)) * 1000
        self.file("f", data)
        cap = self.do("put", "f", f"{self.alias}a b").output.strip()
        self.do("put", "f", f"{self.alias}")
        self.do("put", "--no-log", "f", f"{self.alias}d/e/g")
        self.do("put", "-", f"{self.alias}piped", data=data)
        self.assertEqual(self.names(), ["a b", "d", "f", "piped"])
        self.assertEqual(self.cap("a b"), cap)
        for name in ("a b", "f", "d/e/g", "piped"):
            self.do("get", f"{self.alias}{name}", "back")
            self.assertEqual((self.place / "back").read_bytes(), data)
        self.do("get", f"{self.root_cap()}/f", "back")
        self.do("get", "-", "back", data=f"{self.root_cap()}/f".encode())
        part = self.do("get", "--range", "0-3", f"{self.alias}f").output
        self.assertEqual(part, "\0\1\2\3")

    def test_roots(self) -> None:
        """The cap of the directory comes from a file or from standard input."""
        self.do("mkdir", f"{self.alias}d")
        cap = self.root_cap().encode()
        self.file("the.cap", cap)
        self.file("f", b"short")
        self.do("put", "--root", "the.cap", "f", "d/")
        self.do("put", "--root", "-", "f", "tahoe:g", data=cap)
        self.do("put", "--root", "the.cap", "-", "piped", data=b"short")
        self.assertEqual([self.names(), self.names("d")], [["d", "g", "piped"], ["f"]])
        for root, path, data in (
            ("the.cap", "d/f", None),
            ("the.cap", "-", b"/piped"),
            ("-", "tahoe:g", cap),
        ):
            done = self.do("get", "--root", root, path, data=data)
            self.assertEqual(done.output, "short")
        self.do("get", "--root", "the.cap", "nix", code=4)
        self.do("get", "d/f", code=4)
        for wrong in (("get", "-"), ("put", "-", "x")):
            done = self.do(wrong[0], "--root", "-", *wrong[1:], data=cap, code=2)
            self.assertIn("cannot both be standard input", done.errors)
        self.assertEqual(self.names(), ["d", "g", "piped"])

    def test_replaced(self) -> None:
        """A file is replaced, a mutable one changed, a directory neither."""
        self.file("old", b"old" * 100)
        self.file("new", b"new" * 100)
        self.do("put", "old", f"{self.alias}f")
        self.stock("put", "--mutable", "old", f"{self.alias}m")
        before = self.cap("m")
        for name in ("f", "m"):
            self.do("put", "new", f"{self.alias}{name}")
            self.assertEqual(self.do("get", f"{self.alias}{name}").output, "new" * 100)
        self.assertEqual(self.cap("m"), before)
        self.do("put", "old", before)
        self.assertEqual(self.do("get", f"{self.alias}m").output, "old" * 100)
        self.do("mkdir", "-p", f"{self.alias}d/new")
        self.do("put", "new", f"{self.alias}d", code=1)
        self.do("put", "new", f"{self.alias}nix/", code=4)
        self.do("put", "-", self.alias, data=b"x", code=1)
        self.do("put", "new", self.cap("f"), code=1)
        self.do("get", f"{self.alias}d", code=1)
        self.do("get", self.alias, code=1)
        self.do("get", f"{self.alias}nix", code=4)

    def test_killed(self) -> None:
        """What was sent before a kill is not sent again, and is linked once it is whole."""
        data = bytes(64 * MIB)
        self.file("large", data)
        killed = self.started("put", "--resume", "large", f"{self.alias}large")
        notes = self.place / ".state" / "truckee"
        eventually(lambda: notes.exists() and list(notes.glob("put-*")))
        [note] = notes.glob("put-*")
        place = f"{self.node.url}upload/{note.read_text().strip()}"
        eventually(lambda: json.loads(ask(f"{place}?t=json").body)["offset"] > MIB)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        self.assertEqual(self.names(), [])
        self.do("put", "--resume", "large", f"{self.alias}large")
        self.assertEqual(self.names(), ["large"])
        self.assertEqual(list(notes.glob("put-*")), [])

    def test_link_refused(self) -> None:
        """Where the link cannot be set it says so, and how to set it later."""
        self.file("f", bytes(1000))
        read_only = ask(f"{self.node.url}uri/{self.root_cap()}?t=readonly-uri").text
        done = self.do("put", "f", f"{read_only}/f", code=5)
        self.assertIn("is stored, but not linked", done.errors)
        self.assertIn("put --resume", done.errors)
        self.file("read.cap", read_only.encode())
        done = self.do("put", "--root", "read.cap", "f", "g", code=5)
        self.assertIn("--root read.cap", done.errors)
