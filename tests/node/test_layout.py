"""Names in a node directory, and the right to use it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
from twisted.trial.unittest import SynchronousTestCase

from tests.processes import python_path
from truckee.errors import Misuse, Unavailable
from truckee.node.layout import (
    DirectoryInUse,
    NodeDirectory,
    NoNodeDirectory,
)

HOLDER = """
import sys
from truckee.node.layout import NodeDirectory
lock = NodeDirectory(sys.argv[1]).lock()
print("held", flush=True)
sys.stdin.read()
"""


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        room = tempfile.TemporaryDirectory()
        self.addCleanup(room.cleanup)
        self.node = NodeDirectory(room.name)


class NameTests(_Case):
    def test_names(self) -> None:
        """Files are where the page on node directories says, and stay there."""
        for path, name in (
            (self.node.config, "tahoe.cfg"),
            (self.node.private, "private"),
            (self.node.spool, "tmp"),
            (self.node.journal, "storage/journal"),
            (self.node.url, "node.url"),
        ):
            self.assertEqual(path, self.node.path / name)

    def test_absolute(self) -> None:
        """A relative directory is one of the moment, wherever the process goes later."""
        before = Path.cwd()
        self.addCleanup(os.chdir, before)
        os.chdir(self.node.path)
        node = NodeDirectory("here")
        os.chdir("/")
        self.assertEqual(node.path, self.node.path / "here")

    def test_check(self) -> None:
        """A directory without tahoe.cfg, or with one that is no file, is no node."""
        error = self.assertRaises(NoNodeDirectory, self.node.check)
        self.assertIsInstance(error, Misuse)
        self.assertIn(f"truckee create-grid {self.node.path}", str(error))
        self.node.config.mkdir()
        self.assertRaises(NoNodeDirectory, self.node.check)
        self.node.config.rmdir()
        self.node.config.touch()
        self.node.check()


class LockTests(_Case):
    def test_one_holder(self) -> None:
        """While one has it nobody else gets it; once released, the next one does."""
        lock = self.node.lock()
        for _ in range(2):
            error = self.assertRaises(DirectoryInUse, self.node.lock)
            self.assertIsInstance(error, Unavailable)
            self.assertIn(f"(pid {os.getpid()})", str(error))
        lock.release()
        self.node.lock().release()

    def test_file(self) -> None:
        """The file is the owner's alone, and empty again behind the last holder."""
        lock = self.node.lock()
        path = self.node.path / "running.process.lock"
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual(path.read_text(), f"{os.getpid()}\n")
        lock.release()
        self.assertEqual(path.read_bytes(), b"")

    def test_what_was_written(self) -> None:
        """A file that a dead process left, whatever is in it, keeps nobody out."""
        path = self.node.path / "running.process.lock"
        path.write_bytes(b"\xff" * 1000)
        lock = self.node.lock()
        self.assertEqual(path.read_text(), f"{os.getpid()}\n")
        lock.release()

    def test_death(self) -> None:
        """A holder that is killed holds nothing."""
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(self.node.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": python_path()},
        )
        with process:
            assert process.stdout is not None
            self.assertEqual(process.stdout.readline(), b"held\n")
            error = self.assertRaises(DirectoryInUse, self.node.lock)
            self.assertIn(f"pid {process.pid}", str(error))
            process.kill()
        self.node.lock().release()

    def test_not_inherited(self) -> None:
        """A program that the holder starts does not hold it on."""
        lock = self.node.lock()
        with subprocess.Popen(["sleep", "30"], close_fds=False) as child:
            lock.release()
            self.node.lock().release()
            child.kill()


class StockTests(SynchronousTestCase):
    """A directory in which a stock node runs is refused."""

    def setUp(self) -> None:
        room = tempfile.TemporaryDirectory()
        self.addCleanup(room.cleanup)
        self.path = Path(room.name)
        self.note = self.path / "running.process"
        self.pid = os.getpid()

    def acquire(self) -> None:
        NodeDirectory(self.path).lock().release()

    def test_running(self) -> None:
        """A process that lives and began when the note says so runs here."""
        self.note.write_text(f"{self.pid} {psutil.Process().create_time()}")
        error = self.assertRaises(DirectoryInUse, self.acquire)
        self.assertIn(f"pid {self.pid}", str(error))

    def test_reused_pid(self) -> None:
        """Another process that has the pid by now is not a stock node."""
        self.note.write_text(f"{self.pid} {psutil.Process().create_time() - 3600}")
        self.acquire()

    def test_dead(self) -> None:
        """The note of a node that crashed is no obstacle, nor is one that is no note."""
        for text in ("4000000 1.5", "", "x y", "7"):
            self.note.write_text(text)
            self.acquire()
