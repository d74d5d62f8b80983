"""``truckee storage``: directories that go missing, and others in their place."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.cli.making import MakingCase, run_here
from tests.processes import Done, GridProcess, curl, eventually, run, running
from truckee.node import directory_changes
from truckee.node.directory_changes import add_directory, replace_directory
from truckee.node.directory_record import DirectoryRecord
from truckee.node.layout import NodeDirectory
from truckee.node.new_directory import NoNewDirectory

_NOBODY = 65534


class _Case(MakingCase):
    def create(self) -> GridProcess:
        return GridProcess.create(self.node, needed=2, happy=2, total=3, storage_dirs=3)

    def make(self) -> None:
        """Make the same without a process, for tests that do not run it."""
        self.assertEqual(run_here("create-grid", str(self.node)).code, 0)

    def change(self, *arguments: str) -> Done:
        return run_here("storage", *arguments, "-d", str(self.node))

    def config_text(self) -> str:
        return (self.node / "tahoe.cfg").read_bytes().decode()

    def listed(self) -> list[dict[str, Any]]:
        """Return what ``storage list`` prints for programs."""
        done = run("storage", "list", "--json", "-d", str(self.node))
        self.assertEqual((done.code, done.errors), (0, ""))
        return list(json.loads(done.output)["directories"])

    def states(self) -> list[str]:
        return [each["state"] for each in self.listed()]


def _told(grid: GridProcess) -> dict[str, Any]:
    return dict(json.loads(curl(f"{grid.url}?t=json")))


def _states(grid: GridProcess) -> list[str]:
    found = _told(grid)["truckee"]["storage_directories"]
    return [each["state"] for each in found]


def _says(grid: GridProcess, words: str) -> bool:
    """Tell whether it printed these; a node greets when its web API listens already."""
    return words in grid.log()


class ListTests(_Case):
    def test_missing(self) -> None:
        """A directory that goes missing is counted everywhere, running or not."""
        grid = self.create()
        with running(grid):
            curl("-T", "-", f"{grid.url}uri", data=bytes(1000))
            self.assertEqual(self.states(), ["fine"] * 3)
            self.assertEqual([each["shares"] for each in self.listed()], [1] * 3)
            shutil.rmtree(self.node / "storage" / "1")
            eventually(lambda: _states(grid) == ["fine", "missing", "fine"])
            self.assertEqual(self.states(), ["fine", "missing", "fine"])
            self.assertIn("2 of 3 storage directories", curl(grid.url).decode())
            metrics = curl(f"{grid.url}metrics").decode()
            self.assertIn('truckee_storage_directories{state="missing"} 1.0', metrics)
            self.assertIn('truckee_storage_directories{state="fine"} 2.0', metrics)
        done = run("storage", "list", "-d", str(self.node))
        self.assertIn("2 of 3 storage directories are there.", done.output)
        with running(grid):
            for words in (
                "on 2 of 3 storage directories give a file back",
                "Warning: storage directory 1: missing",
                "2 of 3 storage directories are there",
            ):
                eventually(partial(_says, grid, words))
            connected = [each["connection_status"] for each in _told(grid)["servers"]]
            self.assertEqual(connected, ["Connected", "Not connected", "Connected"])

    def test_another_disk(self) -> None:
        """What is not the directory that was there is not used, and is named so."""
        grid = self.create()
        other = GridProcess.create(self.room / "other", needed=1, happy=1, total=1)
        place = self.node / "storage" / "1"
        place.rename(self.room / "kept")
        (other.directory / "storage" / "0").rename(place)
        self.assertEqual(self.states(), ["fine", "another disk", "fine"])
        with running(grid):
            self.assertEqual(_states(grid), ["fine", "another disk", "fine"])
            eventually(partial(_says, grid, "another one than it was"))
            curl("-T", "-", f"{grid.url}uri", data=bytes(1000))
            self.assertEqual([each.name for each in place.iterdir()], ["server-id"])
            place.rename(self.room / "other-disk")
            (self.room / "kept").rename(place)
            eventually(lambda: _states(grid) == ["fine"] * 3)


class ChangeTests(_Case):
    """What ``add`` and ``replace`` write, and what they refuse."""

    def setUp(self) -> None:
        super().setUp()
        self.make()

    def test_add(self) -> None:
        """A new directory is one line more, and all else in the file stays."""
        before = self.config_text()
        done = self.change("add", str(self.room / "100% new, ü"))
        self.assertEqual((done.code, done.errors), (0, ""))
        self.assertIn("is storage directory 3.", done.output)
        self.assertIn(f"truckee run {self.node}", done.output)
        self.assertIn("same disk as storage directory 0, 1, 2", done.output)
        line = f"    {self.room}/100%% new, ü\n"
        after = before.replace("    storage/2\n", f"    storage/2\n{line}")
        self.assertEqual(self.config_text(), after)
        self.assertEqual(len(self.config().storage_dirs), 4)
        self.assertEqual((self.node / "tahoe.cfg").stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.states(), ["fine"] * 4)

    def test_odd_files(self) -> None:
        """Comments, blank lines, line ends, a mode and a link are kept as they are."""
        config = self.node / "tahoe.cfg"
        new = self.room / "new"
        for before, after in (
            ("[grid]\nstorage_dirs = storage/0\n", f"storage/0\n    {new}\n"),
            (
                "[grid]\r\nstorage_dirs =\r\n\t# one\r\n\tstorage/0\r\n\r\n# two\r\n"
                "\tstorage/1\r\nreserved_space = 0\r\n",
                f"\tstorage/1\r\n\t{new}\r\nreserved_space = 0\r\n",
            ),
            (
                "\ufeff[grid]\nstorage_dirs: storage/0\n  storage/1",
                f"storage/1\n  {new}",
            ),
            (
                "[grid]\nstorage_dirs = x\n[client]\n[grid]\nstorage_dirs =\n storage/0\n"
                "; end\n",
                f"\n storage/0\n {new}\n; end\n",
            ),
        ):
            config.write_bytes(before.encode())
            config.chmod(0o644)
            done = self.change("add", str(new))
            self.assertEqual((done.code, done.errors), (0, ""), before)
            start = before[: before.rindex("storage/")]
            self.assertTrue(self.config_text().startswith(start), self.config_text())
            self.assertTrue(self.config_text().endswith(after), self.config_text())
            self.assertEqual(config.stat().st_mode & 0o777, 0o644)
            shutil.rmtree(new)
        config.rename(self.room / "real.cfg")
        config.symlink_to(self.room / "real.cfg")
        (self.room / "real.cfg").write_text("[grid]\nstorage_dirs = storage/0\n")
        self.assertEqual(self.change("add", str(new)).code, 0)
        self.assertTrue(config.is_symlink())
        self.assertEqual(self.states(), ["fine", "fine"])

    def test_refused(self) -> None:
        """What cannot be a storage directory is told, and nothing is done."""
        other = self.room / "other"
        run_here("create-grid", str(other))
        (self.room / "file").write_bytes(b"x")
        (self.room / "full").mkdir()
        (self.room / "full" / "x").write_bytes(b"x")
        (self.room / "nowhere").symlink_to(self.room / "gone")
        (self.room / "again").symlink_to(self.node / "storage" / "1")
        kept = self.room / "kept"
        shutil.copytree(self.node / "storage" / "2", kept)
        before = self.config_text()
        record = DirectoryRecord(self.node).read()
        room, node = str(self.room), str(self.node)
        bad = (
            (("add", f"{node}/storage/1"), "it is storage directory 1 already"),
            (("add", f"{room}/again"), "it is storage directory 1 already"),
            (("add", f"{node}/storage/1/more"), "inside of storage directory 1"),
            (("add", f"{node}/storage"), "storage directory 0 is inside of it"),
            (("add", node), "inside of it"),
            (("add", f"{node}/private/x"), "the node has other things in"),
            (("add", f"{room}/full"), "it is not empty"),
            (("add", f"{room}/file"), "it is not a directory"),
            (("add", f"{room}/nowhere"), "a link to nowhere"),
            (("add", f"{room}/a/b"), "mount its disk, or make it first"),
            (("add", f"{room}/new\nline"), "printable"),
            (("add", f"{room}/blank "), "printable"),
            (("add", "/sys/kernel/new"), ""),
            (("add", "/proc/new"), ""),
            (("add", str(other / "storage" / "0")), "another node's storage directory"),
            (("add", str(kept)), f"was {node}/storage/2"),
            (("add", "x" * 300), "File name too long"),
            (("replace", "3", f"{room}/new"), "no storage directory 3"),
            (("replace", "-1", f"{room}/new"), ""),
            (("replace", "", f"{room}/new"), "no storage directory"),
            (("replace", f"{room}/new", f"{room}/new"), "no storage directory"),
            (("replace", "2", f"{room}/new"), "storage directory 2 is fine"),
            (("replace", "2", f"{node}/storage/2", "--force"), "itself"),
            (("replace", "2", f"{node}/storage/1", "--force"), "storage directory 1"),
            (("replace", "2", f"{room}/full", "--force"), "not empty"),
        )
        for arguments, text in bad:
            done = self.change(*arguments)
            self.assertIn(done.code, (1, 2), arguments)
            self.assertIn(text, done.errors, arguments)
            told = [line for line in done.errors.splitlines() if line.startswith("Error: ")]
            self.assertEqual(len(told), 1, done.errors)
            self.assertEqual(done.output, "", arguments)
            self.assertEqual(self.config_text(), before, arguments)
        self.assertEqual(DirectoryRecord(self.node).read(), record)
        self.assertFalse((self.room / "new").exists())

    def test_not_writable(self) -> None:
        """A directory that the user cannot write to is refused, and nothing is done."""
        if os.geteuid():
            self.skipTest("only root can be another user")
        self._own()
        before, new = self.config_text(), self.room / "new"
        new.mkdir(0o755)
        self.config()  # loads its codec, from where the other user may not look

        def add() -> None:
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
            for place in (new, new / "more"):
                try:
                    add_directory(NodeDirectory(self.node), place)
                except NoNewDirectory as error:
                    if "cannot be written to" not in str(error):
                        os._exit(7)
                else:
                    os._exit(8)
            os._exit(0)

        self.assertEqual(_in_child(add), 0)
        self.assertEqual(self.config_text(), before)
        self.assertEqual(list(new.iterdir()), [])

    def test_owner(self) -> None:
        """What root adds to a node of somebody else is that one's."""
        if os.geteuid():
            self.skipTest("only root can be another user")
        self._own()
        new = self.room / "new"
        self.assertEqual(self.change("add", str(new)).code, 0)
        record = self.node / "storage-directories.json"
        for path in (self.node / "tahoe.cfg", record, new, new / "server-id"):
            self.assertEqual((path.stat().st_uid, path.stat().st_gid), (_NOBODY, _NOBODY))

    def _own(self) -> None:
        self.room.chmod(0o755)
        for path in (self.node, *self.node.rglob("*")):
            os.chown(path, _NOBODY, _NOBODY)

    def test_names(self) -> None:
        """A directory can be named in several ways, and only one of them is meant."""
        shutil.rmtree(self.node / "storage" / "1")
        nothing = patch.multiple(
            directory_changes, _make=lambda *_: None, rewrite_durably=lambda *_: None
        )
        with nothing:
            known = self.listed()[1]
            for name in (
                "1",
                "storage/1",
                "storage directory 1",
                known["path"],
                known["id"],
                known["id"][:8],
            ):
                done = self.change("replace", name, str(self.room / "new"))
                self.assertEqual((done.code, done.errors), (0, ""), name)
                self.assertIn("storage directory 1.", done.output)
            self.assertEqual(self.change("replace", known["id"][:7], "x").code, 1)

    def test_too_few_left(self) -> None:
        """Who replaces so much that files may be lost is warned."""
        for number in (0, 1):
            shutil.rmtree(self.node / "storage" / str(number))
        done = self.change("replace", "1", str(self.room / "new"))
        self.assertIn("only 1 other directories are there", done.output)
        done = self.change("replace", "0", str(self.room / "more"))
        self.assertNotIn("Warning", done.output)

    def test_silent_gateway(self) -> None:
        """What answers in the node's place, or never, is not taken for it."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            (self.node / "node.url").write_text(f"http://127.0.0.1:{port}/\n")
            self.assertEqual(self.states(), ["fine"] * 3)
        done = run("storage", "list", "-d", str(self.node))
        self.assertEqual((done.code, done.errors), (0, ""))
        self.assertNotIn("restart", done.output)

    def test_no_grid(self) -> None:
        """A node that is none, or has no grid of its own, is named."""
        client = self.room / "client"
        furl = f"pb://{'a' * 32}@tcp:127.0.0.1:1/{'b' * 32}"
        run_here("create-client", f"--introducer={furl}", str(client))
        for place, text in (
            (client, "has no storage directories of its own"),
            (self.room, "There is no node"),
        ):
            for command in (("list",), ("add", "x"), ("replace", "0", "x")):
                done = run("storage", *command, "-d", str(place))
                self.check_refused_here(done, text)

    def check_refused_here(self, done: Done, text: str) -> None:
        self.assertEqual(done.code, 1, done.errors)
        self.assertIn(text, done.errors)
        self.assertEqual(done.output, "")

    def test_help(self) -> None:
        """It teaches what to do when a disk dies."""
        done = run("storage", "--help")
        for text in ("replace 2 PATH", "repair=true", "restart the node"):
            self.assertIn(text, done.output)

    def test_replaced_comes_back(self) -> None:
        """The disk that was replaced is known when it is mounted at the same path again."""
        place, kept = self.node / "storage" / "2", self.room / "kept"
        place.rename(kept)
        self.assertEqual(self.change("replace", "storage/2", str(place)).code, 0)
        self.assertEqual(self.states(), ["fine"] * 3)
        place.rename(self.room / "new")
        kept.rename(place)
        self.assertEqual(self.states(), ["fine", "fine", "another disk"])
        done = self.change("add", str(place))
        self.assertIn("storage directory 2 already", done.errors)
        place.rename(kept)
        (self.room / "new").rename(place)
        self.assertIn("it was replaced on", self.change("add", str(kept)).errors)
        self.assertEqual(self.states(), ["fine"] * 3)


class StoryTests(_Case):
    """A disk that dies, from the beginning to the end."""

    def test_a_disk_that_dies(self) -> None:
        """Once while the node runs and once while it is stopped: all shares come back."""
        grid = self.create()
        data = random.Random(3).randbytes(300_000)
        with running(grid):
            cap = curl("-T", "-", f"{grid.url}uri", data=data).decode()
            shutil.rmtree(self.node / "storage" / "2")
            eventually(lambda: _states(grid) == ["fine", "fine", "missing"])
            self.assertEqual(curl(f"{grid.url}uri/{cap}"), data)
            new = self.room / "disk-d"
            done = self.replace("2", new)
            self.assertEqual((done.code, done.errors), (0, ""))
            self.assertIn("Restart the node", done.output)
            self.assertIn(f"{grid.url}uri/CAP?t=check&repair=true", done.output)
            self.assertTrue(self.listed()[2]["waits_for_restart"])
        self._repair(grid, cap, data, new)
        ids = [each["id"] for each in self.listed()]
        shutil.rmtree(new)
        shutil.rmtree(self.node / "storage" / "0")
        new.mkdir()
        (new / "lost+found").mkdir()
        self.assertEqual(self.states(), ["missing", "fine", "missing"])
        done = self.replace("2", new)
        self.assertEqual((done.code, done.errors), (0, ""))
        self.assertIn(f"Start the node: truckee run {self.node}", done.output)
        self.assertEqual(self.states(), ["missing", "fine", "fine"])
        self.assertNotIn(self.listed()[2]["id"], ids)

    def replace(self, old: str, new: Path) -> Done:
        """Do it in a process, which asks the node if it runs."""
        return run("storage", "replace", old, str(new), "-d", str(self.node))

    def _repair(self, grid: GridProcess, cap: str, data: bytes, new: Path) -> None:
        with running(grid):
            self.assertEqual(_states(grid), ["fine"] * 3)
            url = f"{grid.url}uri/{cap}?t=check&repair=true&output=json"
            told = json.loads(curl("-X", "POST", url))
            self.assertTrue(told["repair-successful"], told)
            self.assertEqual([each["shares"] for each in self.listed()], [1] * 3)
            # It is whole without one of the others, too.
            shutil.rmtree(self.node / "storage" / "1" / "shares")
            self.assertEqual(curl(f"{grid.url}uri/{cap}"), data)
            curl("-X", "POST", url)
            self.assertEqual([each["shares"] for each in self.listed()], [1] * 3)

    def test_kills(self) -> None:
        """Whoever dies between two writes leaves a node that starts, and is done again."""
        grid = self.create()
        node = NodeDirectory(self.node)
        data = random.Random(4).randbytes(100_000)
        with running(grid):
            cap = curl("-T", "-", f"{grid.url}uri", data=data).decode()
        shutil.rmtree(self.node / "storage" / "1")
        new = self.room / "new"
        for name in ("_make", "write_identity", "rewrite_durably"):
            with patch.object(directory_changes, name, lambda *_: os._exit(9)):
                code = _in_child(lambda: replace_directory(node, "1", new))
            self.assertEqual(code, 9, name)
            self.assertEqual(self.states(), ["fine", "missing", "fine"], name)
        with running(grid):
            self.assertEqual(_states(grid), ["fine", "missing", "fine"])
            self.assertEqual(curl(f"{grid.url}uri/{cap}"), data)
        self.assertEqual(self.replace("1", new).code, 0)
        self.assertEqual(self.states(), ["fine"] * 3)
        with running(grid):
            self.assertEqual(_states(grid), ["fine"] * 3)


def _in_child(work: Callable[[], object]) -> int:
    """Return the exit code of a process that does *work* and nothing else."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
