"""The file of an upload's log is open while it is used, and while bytes are not synced."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from tests.grids import new_directory
from truckee.uploads.log_file import LogFile


class LogFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.unsynced = False
        self.file = LogFile(new_directory(self) / "log", lambda: self.unsynced)
        with self.file.use(os.O_CREAT) as descriptor:
            os.pwrite(descriptor, b"hello", 0)

    def test_at_rest(self) -> None:
        """Who uses it last closes it."""
        self.assertFalse(self.file.is_open)
        with self.file.use() as one:
            with self.file.use() as other:
                self.assertEqual(one, other)
            self.assertEqual(os.pread(one, 5, 0), b"hello")
        self.assertFalse(self.file.is_open)

    def test_unsynced(self) -> None:
        """What is not synced keeps it open, whoever reads meanwhile."""
        with self.file.use():
            self.unsynced = True
        self.assertTrue(self.file.is_open)
        with self.file.use() as descriptor, self.file.use():
            self.unsynced = False
            self.assertTrue(self.file.is_open)
            os.fdatasync(descriptor)
        self.assertFalse(self.file.is_open)

    def test_close(self) -> None:
        """Whoever uses it when it is closed ends in peace; nobody begins any more."""
        self.unsynced = True
        with self.file.use() as descriptor:
            self.file.close()
            self.assertEqual(os.pread(descriptor, 5, 0), b"hello")
        self.assertFalse(self.file.is_open)
        self.file.close()
        with self.assertRaises(OSError), self.file.use():
            pass

    def test_failed_open(self) -> None:
        """One that cannot be opened can be when it is back."""
        away = self.file.path.with_name("away")
        self.file.path.rename(away)
        with self.assertRaises(FileNotFoundError), self.file.use():
            pass
        away.rename(self.file.path)
        with self.file.use() as descriptor:
            self.assertEqual(os.pread(descriptor, 5, 0), b"hello")
        self.assertFalse(self.file.is_open)
