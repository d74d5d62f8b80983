"""``truckee cp``, beside ``tahoe cp``."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
from typing import Any
from urllib.parse import quote

from tests.cli.grid_case import GridCase
from tests.processes import SharedNode, ask, eventually

room = SharedNode(happy=2)
MIB = 1 << 20


def tearDownModule() -> None:
    """End the node of this module."""
    room.close()


class CpTests(GridCase):
    room = room

    def told(self, path: str = "") -> dict[str, Any]:
        """Return the children of a directory below the alias, as the gateway tells."""
        place = quote(f"{self.root_cap()}/{path}".rstrip("/"))
        kind, fields = json.loads(ask(f"{self.node.url}uri/{place}?t=json").body)
        self.assertEqual(kind, "dirnode")
        return dict(fields["children"])

    def tree(self, path: str = "") -> list[str]:
        """Return all paths below a directory of the alias."""
        found = []
        for name, (kind, _) in self.told(path).items():
            inner = f"{path}/{name}".lstrip("/")
            found.append(inner)
            if kind == "dirnode":
                found += self.tree(inner)
        return sorted(found)

    def local(self, top: str) -> dict[str, bytes]:
        """Return the files below a directory here."""
        found = {}
        for place, _, names in os.walk(self.place / top):
            for name in names:
                path = os.path.join(place, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, self.place / top)] = file.read()
        return found

    def put(self, name: str, child: dict[str, Any], kind: str = "filenode") -> None:
        """Link something under a name that no path can have."""
        body = json.dumps({name: [kind, child]}).encode()
        place = f"{self.node.url}uri/{self.root_cap()}?t=set_children"
        reply = ask("-X", "POST", "--data-binary", "@-", place, data=body)
        self.assertEqual(reply.status, 200)

    def copied(self, *arguments: str, code: int = 0) -> tuple[int, int]:
        """Return how many files were copied, and how many were there."""
        errors = self.do("cp", *arguments, code=code).errors
        there = re.search(r"(\d+) files? there already", errors)
        done = re.search(r"(\d+) files? copied", errors)
        assert done is not None, errors
        return int(done[1]), int(there[1]) if there else 0

    def test_there_and_back(self) -> None:
        """A tree goes in and comes out the same, by either program; once it is enough."""
        for name in ("a", "d/b", "d/e/c", "d/ä ö"):
            self.file(f"t/{name}", name.encode() * 100)
        (self.place / "t/empty").mkdir()
        os.utime(self.place / "t/a", ns=(1, 1_234_567_890_123_456_789))
        self.assertEqual(self.copied("-r", "t", self.alias), (4, 0))
        self.assertEqual(self.names(), ["t"])
        self.assertEqual(self.names("t"), ["a", "d", "empty"])
        self.stock("cp", "-r", f"{self.alias}t", "theirs")
        self.assertEqual(self.local("theirs/t"), self.local("t"))
        self.assertEqual(self.copied("-r", f"{self.alias}t", "ours"), (4, 0))
        self.assertEqual(self.local("ours/t"), self.local("t"))
        self.assertTrue((self.place / "ours/t/empty").is_dir())
        when = (self.place / "ours/t/a").stat().st_mtime
        self.assertAlmostEqual(when, 1_234_567_890.123456789, delta=2e-6)
        self.assertEqual(self.copied("-r", "t", self.alias), (0, 4))
        self.assertEqual(self.copied("-r", f"{self.alias}t", "ours"), (0, 4))
        self.file("t/d/b", b"another")
        self.file("t/new")
        self.assertEqual(self.copied("-r", "t", self.alias), (2, 3))
        self.assertEqual(self.copied("-r", f"{self.alias}t", "ours"), (2, 3))
        self.assertEqual(self.local("ours/t"), self.local("t"))

    def test_one_write_for_each(self) -> None:
        """A new tree takes one write of each directory: each has its first version."""
        for number in range(6):
            self.file(f"t/d{number % 2}/f{number}")
        self.do("cp", "-r", "t", self.alias)
        for path in ("t", "t/d0", "t/d1"):
            place = f"{self.node.url}uri/{quote(self.cap(path))}?t=check&output=JSON"
            told = json.loads(ask("-X", "POST", place).body)
            shares = told["results"]["sharemap"]
            self.assertTrue(all(name.startswith("seq1-") for name in shares), shares)

    def test_same_places(self) -> None:
        """What goes where is as with tahoe, refusals too."""
        self.file("t/f")
        self.file("t/s/g")
        cases = (
            ("-r", "t", "new"),
            ("-r", "t/", "new2"),
            ("-r", "t", "there"),
            ("-r", "t", "there/"),
            ("-r", "t/f", "t/s", "many"),
            ("t/f", "t/s/g", "two"),
            ("t/f", "there"),
            ("t/f", "x/y/z"),
            ("t/f", "nix/"),
            ("t", "nix"),
            ("-r", "t", "file"),
            ("t/f", "file"),
            ("t/f", "file/"),
            ("nix", "there"),
        )
        trees = []
        for number, program in enumerate((self.do, self.stock)):
            self.do("mkdir", "-p", f"{self.alias}{number}/there")
            self.do("put", "t/f", f"{self.alias}{number}/file")
            codes = []
            for *given, target in cases:
                command = ["cp", *given, f"{self.alias}{number}/{target}"]
                if program is self.do:
                    command = self.command(*command)
                else:
                    command = self.tahoe(*command)
                codes.append(bool(self.ended(command, None, None).code))
            trees.append((codes, [each[2:] for each in self.tree(str(number))]))
        self.assertEqual(*trees)

    def test_odd_files_here(self) -> None:
        """Links are followed; what cannot be copied is told of, and all else is copied."""
        self.file("t/a")
        self.file("t/sub/b")
        os.mkfifo(self.place / "t/fifo")
        (self.place / "t/sub/loop").symlink_to("..")
        (self.place / "t/link").symlink_to("a")
        (self.place / "t/dangling").symlink_to("nix")
        (self.place / "t/e\u0301").write_bytes(b"NFD")
        (self.place / "t/\u00e9").write_bytes(b"NFC")
        with open(os.path.join(os.fsencode(self.place), b"t/\xff"), "wb"):
            pass
        done = self.do("cp", "-r", "t", self.alias, code=1)
        self.assertEqual(self.tree("t"), ["t/a", "t/link", "t/sub", "t/sub/b", "t/\u00e9"])
        for text in ("fifo is a FIFO", "loop", "dangling", "not UTF-8", "the same name"):
            self.assertIn(text, done.errors)
        self.assertEqual(len(done.errors.splitlines()), 6)

    def test_colons(self) -> None:
        """A file with a colon in its name is named with ./ in front."""
        self.file("a:b")
        self.do("cp", "./a:b", self.alias)
        self.assertEqual(self.names(), ["a:b"])
        self.do("cp", f"{self.alias}a:b", "./c:d")
        self.assertTrue((self.place / "c:d").exists())
        self.do("cp", "a:b", self.alias, code=4)
        self.do("cp", "./a:b", "here", code=1)

    def test_names_that_lead_elsewhere(self) -> None:
        """No name of the grid leads out of the target, and no loop has no end."""
        self.file("victim", b"mine")
        lit = {"ro_uri": "URI:LIT:nbuqu"}
        for name in ("..", ".", "", "../victim", "a/b", "/etc/x", "nul\0"):
            self.put(name, lit)
        self.put("good", lit)
        self.put("../dir", {"rw_uri": self.root_cap()}, "dirnode")
        self.put("loop", {"rw_uri": self.root_cap()}, "dirnode")
        done = self.do("cp", "-r", self.alias, "out/", code=1)
        self.assertEqual(self.local("out"), {"good": b"hi\n", "loop/good": b"hi\n"})
        self.assertIn("contains itself", done.errors)
        here = {"victim", "out", ".state"}
        self.assertLessEqual(set(os.listdir(self.place)), here)
        self.assertEqual((self.place / "victim").read_bytes(), b"mine")

    def test_in_the_grid(self) -> None:
        """Files are linked, not moved; a mutable one gets a copy of its own."""
        self.file("t/f", bytes(1000))
        self.do("cp", "-r", "t", self.alias)
        self.stock("put", "--mutable", "t/f", f"{self.alias}t/m")
        self.assertEqual(self.copied("-r", f"{self.alias}t", f"{self.alias}x"), (2, 0))
        self.assertEqual(self.tree("x"), ["x/t", "x/t/f", "x/t/m"])
        self.assertEqual(self.cap("x/t/f"), self.cap("t/f"))
        self.assertNotEqual(self.cap("x/t/m"), self.cap("t/m"))
        self.assertEqual(self.do("get", f"{self.alias}x/t/m").output, "\0" * 1000)
        self.assertNotEqual(self.cap("x/t"), self.cap("t"))
        self.do("cp", "-r", self.alias, f"{self.alias}t/sub", code=1)
        self.do("cp", f"{self.alias}t/f", f"{self.alias}other")
        self.assertEqual(self.cap("other"), self.cap("t/f"))

    def test_replaced(self) -> None:
        """Files are replaced, mutable ones changed in place; kinds never change."""
        self.file("f", b"new" * 100)
        self.file("old", b"old" * 100)
        self.stock("put", "--mutable", "old", f"{self.alias}f")
        before = self.cap("f")
        self.do("cp", "f", self.alias)
        self.assertEqual(self.cap("f"), before)
        self.assertEqual(self.do("get", f"{self.alias}f").output, "new" * 100)
        self.do("mkdir", f"{self.alias}old")
        self.do("cp", "old", self.alias, code=1)
        self.file("d/f/x")
        self.do("cp", "-r", "d/f", self.alias, code=1)
        self.assertEqual(self.tree(), ["f", "old"])
        self.file("out/f").chmod(0o640)
        self.do("cp", f"{self.alias}f", "out")
        self.assertEqual((self.place / "out/f").read_bytes(), b"new" * 100)
        self.assertEqual((self.place / "out/f").stat().st_mode & 0o777, 0o640)
        read_only = ask(f"{self.node.url}uri/{self.root_cap()}?t=readonly-uri").text
        self.do("cp", "f", read_only, code=1)
        self.do("cp", "-u", "http://127.0.0.1:1/", "f", self.alias, code=3)

    def test_killed(self) -> None:
        """What was stored before a kill is not sent again, and all is there in the end."""
        for number in range(120):
            self.file(f"t/d{number % 4}/f{number}", bytes([number]) * 60_000)
        state = self.node.directory / "private" / "truckee-copies.sqlite"
        before = self.rows(state)
        killed = self.started("cp", "-r", "t", self.alias)
        eventually(lambda: self.rows(state) > before + 20)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        stored = self.rows(state) - before
        self.assertLess(stored, 120)
        self.assertEqual(state.stat().st_mode & 0o777, 0o600)
        copied, there = self.copied("-r", "t", self.alias)
        self.assertEqual((copied + there, there >= stored), (120, True))
        self.do("cp", "-r", f"{self.alias}t", "out")
        self.assertEqual(self.local("out/t"), self.local("t"))

    def rows(self, state: Any) -> int:
        """Return how many files are known to be stored."""
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(state, timeout=30)) as opened,
        ):
            [count] = opened.execute("SELECT count(*) FROM files").fetchone()
            return int(count)
        return 0

    def test_large_one_killed(self) -> None:
        """A part of a large file that is at the gateway is not sent again, nor read."""
        self.file("large", bytes(64 * MIB))
        killed = self.started("cp", "large", self.alias)
        notes = self.place / ".state" / "truckee"
        eventually(lambda: notes.exists() and list(notes.glob("put-*")))
        [note] = notes.glob("put-*")
        place = f"{self.node.url}upload/{note.read_text().strip()}?t=json"
        eventually(lambda: json.loads(ask(place).body)["offset"] > MIB)
        killed.send_signal(signal.SIGINT)
        _, errors = killed.communicate()
        self.assertEqual(killed.returncode, 130, errors)
        self.assertIn(b"Run the same command to continue", errors)
        self.do("cp", "large", self.alias)
        self.assertEqual(json.loads(ask(place).body)["state"], "stored")
        part = next((self.place).glob(".truckee-*"), None)
        self.assertIsNone(part)
        killed = self.started("cp", f"{self.alias}large", "back")
        eventually(lambda: self.parts() or killed.poll() is not None)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        self.do("cp", f"{self.alias}large", "back")
        self.assertEqual((self.place / "back").read_bytes(), bytes(64 * MIB))
        self.assertEqual(self.parts(), 0)

    def parts(self) -> int:
        """Return how many bytes are in unfinished files."""
        return sum(each.stat().st_size for each in self.place.glob(".truckee-*"))
