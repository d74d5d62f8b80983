"""A directory that one process uses at a time."""

from __future__ import annotations

import os
import stat
import subprocess

from twisted.trial.unittest import SynchronousTestCase

from tests.grids import new_directory, new_small_disk
from truckee.flow.locked_directory import AlreadyLocked, LockedDirectory


class LockedDirectoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = new_directory(self)

    def acquire(self) -> LockedDirectory:
        locked = LockedDirectory.acquire(self.path, "lock")
        self.addCleanup(locked.release)
        return locked

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.path)], check=True)

    def test_one_at_a_time(self) -> None:
        """A second one is refused and told who has it, and changes nothing."""
        first = self.acquire()
        for _ in range(2):
            error = self.assertRaises(AlreadyLocked, self.acquire)
            self.assertEqual(error.pid, str(os.getpid()))
        first.release()
        first.release()
        self.assertEqual((self.path / "lock").read_bytes(), b"")
        self.acquire()

    def test_mode(self) -> None:
        """The file is its owner's alone."""
        self.acquire()
        self.assertEqual(stat.S_IMODE((self.path / "lock").stat().st_mode), 0o600)

    def test_descriptors(self) -> None:
        """Refused or released, no descriptor stays open."""
        before = len(os.listdir("/dev/fd"))
        first = self.acquire()
        self.assertRaises(AlreadyLocked, self.acquire)
        first.release()
        self.assertEqual(len(os.listdir("/dev/fd")), before)

    def test_read_only(self) -> None:
        """On a read-only disk it is locked too, and a disk becomes so while it is."""
        self.path = new_small_disk(self, 1 << 20)
        self.remount("ro")
        first = self.acquire()
        self.assertRaises(AlreadyLocked, self.acquire)
        self.remount("rw")
        # Whoever comes now makes the file, which the first one did not.
        self.assertRaises(AlreadyLocked, self.acquire)
        first.release()
        second = self.acquire()
        self.remount("ro")
        self.assertRaises(AlreadyLocked, self.acquire)
        second.release()

    def test_moved(self) -> None:
        """A directory that is elsewhere, or that another one stands for, is not there."""
        locked = self.acquire()
        self.assertTrue(locked.is_there())
        elsewhere = self.path.with_name(self.path.name + "2")
        self.path.rename(elsewhere)
        self.addCleanup(subprocess.run, ["rm", "-rf", str(elsewhere)], check=True)
        self.assertFalse(locked.is_there())
        self.path.mkdir()
        self.assertFalse(locked.is_there())
        self.path.rmdir()
        elsewhere.rename(self.path)
        self.assertTrue(locked.is_there())

    def test_missing(self) -> None:
        """What is not there is not made."""
        self.path = self.path / "no"
        self.assertRaises(FileNotFoundError, self.acquire)
