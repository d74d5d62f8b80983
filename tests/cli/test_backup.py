"""``truckee backup``, beside ``tahoe backup``."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import time
from pathlib import Path
from urllib.parse import quote

from tests.cli.grid_case import GridCase
from tests.processes import SharedNode, ask, eventually
from truckee.cli.copy_state import CopyState

room = SharedNode(happy=2)


def tearDownModule() -> None:
    """End the node of this module."""
    room.close()


class BackupTests(GridCase):
    room = room

    def setUp(self) -> None:
        """Have a state of its own."""
        super().setUp()
        self.state = self.place / ".state.sqlite"
        self.to = f"{self.alias}backups"

    def backup(self, *arguments: str, code: int = 0) -> tuple[int, int, str]:
        """Make a backup; return how many files were stored and were there, and messages."""
        done = self.do(
            "backup", "--database", str(self.state), *arguments, "t", self.to, code=code
        )
        there = re.search(r"(\d+) files? there already", done.errors)
        stored = re.search(r"(\d+) files? stored", done.errors)
        assert stored is not None, done.errors
        return int(stored[1]), int(there[1]) if there else 0, done.errors

    def archives(self) -> list[str]:
        """Return the snapshots, the oldest first."""
        return self.stock("ls", f"{self.to}/Archives").splitlines()

    def latest(self) -> str:
        """Return the cap of the newest snapshot."""
        return self.cap("backups/Latest")

    def look(self, top: str) -> dict[str, tuple[int, float, bytes]]:
        """Return modes, times and contents of all that is below a directory."""
        found = {}
        for path in sorted((self.place / top).rglob("*")):
            status = path.lstat()
            data = path.read_bytes() if path.is_file() else b""
            name = str(path.relative_to(self.place / top))
            found[name] = (status.st_mode, round(status.st_mtime, 5), data)
        return found

    def make(self) -> None:
        """Make a tree."""
        for name in ("a", "d/b", "d/e/c", "d/ä ö"):
            self.file(f"t/{name}", name.encode() * 100).chmod(0o640)
        self.file("t/run").chmod(0o755)
        os.utime(self.place / "t/d/b", ns=(1, 1_000_000_000_123_000_000))
        (self.place / "t/empty").mkdir(0o750)
        (self.place / "t/d/e").chmod(0o500)
        os.utime(self.place / "t/d/e", (1, 1_200_000_000))

    def next_second(self) -> None:
        """Wait until a snapshot gets another name."""
        newest = self.archives()[-1]
        eventually(lambda: time.strftime("%Y-%m-%d_%H:%M:%SZ", time.gmtime()) > newest)

    def test_second_is_taken(self) -> None:
        """A snapshot waits for a second that has none, and replaces nothing."""
        self.file("t/a")
        now = time.time()
        taken = [
            time.strftime("%Y-%m-%d_%H:%M:%SZ", time.gmtime(now + after))
            for after in range(5)
        ]
        for name in taken:
            self.do("mkdir", "-p", f"{self.to}/Archives/{name}")
        self.assertEqual(self.backup()[:2], (1, 0))
        [made] = set(self.archives()) - set(taken)
        self.assertEqual(self.names(f"backups/Archives/{made}"), ["a"])
        self.assertEqual(self.names(f"backups/Archives/{taken[0]}"), [])

    def test_kept_and_restored(self) -> None:
        """Only what is new is sent; each snapshot has all, with modes and times."""
        self.make()
        self.assertEqual(self.backup()[:2], (5, 0))
        [first] = self.archives()
        self.assertRegex(first, r"^\d{4}-\d\d-\d\d_\d\d:\d\d:\d\dZ$")
        before = self.latest()
        self.assertTrue(before.startswith("URI:DIR2-CHK:"), before)
        self.assertEqual(self.backup()[:2], (0, 5))
        self.assertEqual(self.latest(), before)
        self.do("restore", f"{self.to}/Latest", "back")
        self.assertEqual(self.look("back"), self.look("t"))
        self.file("t/a", b"another")
        (self.place / "t/run").unlink()
        self.assertEqual(self.backup()[:2], (1, 3))
        self.assertEqual(len(self.archives()), 3)
        done = self.do("restore", f"{self.to}/Latest", "back")
        self.assertIn("1 file restored", done.errors)
        self.assertEqual((self.place / "back/a").read_bytes(), b"another")
        self.do("restore", f"{self.to}/Archives/{first}", "old", "-q")
        self.assertEqual((self.place / "old/a").read_bytes(), b"a" * 100)
        self.assertEqual(self.names("backups/Latest/d"), ["b", "e", "ä ö"])

    def test_with_tahoe(self) -> None:
        """Each program brings back what the other one has kept, metadata too."""
        self.make()
        self.backup()
        ours = self.cap("backups/Latest")
        self.stock("cp", "-r", f"{self.to}/Latest/", "by-tahoe")
        got = {name: each[2] for name, each in self.look("by-tahoe").items()}
        prefix = "Latest/" if "Latest" in got else ""
        for name, each in self.look("t").items():
            self.assertEqual(got[prefix + name], each[2])
        self.next_second()
        self.stock("backup", "t", self.to)
        self.do("restore", f"{self.to}/Latest", "back")
        self.assertEqual(self.look("back"), self.look("t"))
        self.assertEqual(self.children(ours), self.children(self.cap("backups/Latest")))

    def children(self, cap: str) -> dict[str, tuple[str, dict[str, object]]]:
        """Return kinds and metadata of what is in a directory."""
        told = json.loads(ask(f"{self.node.url}uri/{quote(cap)}?t=json").body)
        return {n: (c[0], c[1]["metadata"]) for n, c in told[1]["children"].items()}

    def test_left_out(self) -> None:
        """Links, FIFOs and what is excluded; a loop of links that are followed ends."""
        for name in ("a", "b.tmp", "cache/x", "cache/y", "d/cache/z"):
            self.file(f"t/{name}")
        (self.place / "t/link").symlink_to("a")
        (self.place / "t/d/up").symlink_to("..")
        os.mkfifo(self.place / "t/fifo")
        self.file("patterns", b"# these\ncache/x\n\n")
        _, _, told = self.backup("--exclude", "*.tmp", "--exclude-from", "patterns")
        self.assertEqual(self.names("backups/Latest"), ["a", "cache", "d"])
        self.assertEqual(self.names("backups/Latest/cache"), ["y"])
        for text in ("link is a symbolic link", "up is a symbolic link", "is a FIFO"):
            self.assertIn(text, told)
        _, _, told = self.backup("--follow", "--exclude", "cache/", code=1)
        self.assertIn("contains itself", told)
        names = ["a", "b.tmp", "d", "link"]
        self.assertEqual(self.names("backups/Latest"), names)

    def test_refused(self) -> None:
        """What is no directory, a place that cannot be written, a gateway that is away."""
        self.file("f")
        self.make()
        self.do("backup", "f", self.to, code=1)
        self.do("backup", "nix", self.to, code=4)
        read_only = ask(f"{self.node.url}uri/{self.root_cap()}?t=readonly-uri").text
        self.do("backup", "t", read_only, code=5)
        self.do("backup", "-u", "http://127.0.0.1:1/", "t", self.to, code=3)
        self.file("other.sqlite", b"not a database, but long enough to be taken for one")
        self.do("backup", "--database", "other.sqlite", "t", self.to, code=1)
        self.assertEqual(self.names(), ["backups"])

    def test_gone_from_the_grid(self) -> None:
        """What was stored long ago is looked at, and stored again when it is lost."""
        before = set(self.node.shares())
        self.file("t/f", os.urandom(30_000))
        self.file("t/g", os.urandom(100))
        self.assertEqual(self.backup()[:2], (2, 0))
        self.age(100 * 86400)
        self.assertEqual(self.backup()[:2], (0, 2))
        self.age(100 * 86400)
        for share in set(self.node.shares()) - before:
            if share.stat().st_size > 10_000:
                share.unlink()
        self.assertEqual(self.backup()[:2], (1, 1))
        self.do("restore", f"{self.to}/Latest", "back")
        self.assertEqual(self.look("back"), self.look("t"))

    def age(self, seconds: float) -> None:
        """Let the state have been written so long ago."""
        with contextlib.closing(sqlite3.connect(self.state)) as opened:
            for table in ("files", "directories"):
                opened.execute(f"UPDATE {table} SET seen = seen - ?", (seconds,))
            opened.commit()

    def test_killed(self) -> None:
        """What was stored before a kill is not sent again; nothing half is kept."""
        for number in range(100):
            self.file(f"t/d{number % 4}/f{number}", bytes([number]) * 60_000)
        killed = self.started("backup", "--database", str(self.state), "t", self.to)
        eventually(lambda: self.stored() > 15)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        stored = self.stored()
        self.assertLess(stored, 100)
        self.assertEqual(self.names("backups"), ["Archives"])
        sent, there, _ = self.backup()
        self.assertEqual((sent + there, there), (100, stored))
        self.do("restore", f"{self.to}/Latest", "back")
        self.assertEqual(self.look("back"), self.look("t"))

    def stored(self) -> int:
        """Return how many files are known to be stored."""
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(self.state, timeout=30)) as opened,
        ):
            [count] = opened.execute("SELECT count(*) FROM files").fetchone()
            return int(count)
        return 0


class CopyStateTests(GridCase):
    room = room

    def test_what_changed(self) -> None:
        """A file is known as it was; those of another grid are not known."""
        path = self.file("f")
        where = self.place / "state"
        for grid in ("", "http://elsewhere/"):
            state = CopyState.open(where, grid, lambda: 5.0)
            self.assertIsNone(state.file(str(path), path.stat()))
            state.add_file(str(path), path.stat(), f"URI:{grid}")
            known = state.file(str(path), path.stat())
            assert known is not None
            self.assertEqual((known.cap, known.seen), (f"URI:{grid}", 5.0))
            self.assertNotIn("URI", repr(known))
            state.close()
        before = path.stat()
        path.write_bytes(b"changed")
        state = CopyState.open(where, "", lambda: 5.0)
        self.assertIsNone(state.file(str(path), path.stat()))
        self.assertIsNotNone(state.file(str(path), before))
        state.close()
        self.assertEqual(Path(where).stat().st_mode & 0o777, 0o600)
