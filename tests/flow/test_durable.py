"""Files that survive a power cut, and what a disk says that takes no more."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
from pathlib import Path

from attrs import define
from twisted.trial.unittest import SynchronousTestCase

from tests.grids import new_directory, new_small_disk
from truckee.errors import Unavailable
from truckee.flow.durable import (
    DiskFault,
    disk_faults,
    fault_of,
    remove_durably,
    sync_directory,
    write_durably,
)


@define
class _Unusable(Unavailable):
    """{fault}"""

    fault: DiskFault


def fill(path: Path) -> None:
    """Fill the disk of *path* with that file."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


class WriteTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.room = new_directory(self)
        self.path = self.room / "file"

    def mode(self, path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    def test_replaces(self) -> None:
        """What was there is replaced, whoever could read it, and no draft stays."""
        self.path.write_bytes(b"old")
        self.path.chmod(0o644)
        write_durably(self.path, b"new")
        self.assertEqual(self.path.read_bytes(), b"new")
        self.assertEqual(self.mode(self.path), 0o600)
        self.assertEqual(list(self.room.iterdir()), [self.path])

    def test_old_draft(self) -> None:
        """A draft that was left, and that others can read, does not lend its mode."""
        draft = self.path.with_name("file.new")
        draft.write_bytes(b"draft that is longer")
        draft.chmod(0o644)
        write_durably(self.path, b"new")
        self.assertEqual(self.path.read_bytes(), b"new")
        self.assertEqual(self.mode(self.path), 0o600)

    def test_umask(self) -> None:
        """Whatever the umask is, only the owner can read it."""
        for mask in (0, 0o077, 0o777):
            before = os.umask(mask)
            try:
                write_durably(self.path, b"new")
            finally:
                os.umask(before)
            self.assertEqual(self.mode(self.path), 0o600)

    def test_full_disk(self) -> None:
        """On a full disk the old content stays, and no draft."""
        self.room = new_small_disk(self, 1 << 20)
        self.path = self.room / "file"
        write_durably(self.path, b"old")
        fill(self.room / "filler")
        error = self.assertRaises(OSError, write_durably, self.path, bytes(8192))
        self.assertEqual(fault_of(error), DiskFault.FULL)
        self.assertEqual(self.path.read_bytes(), b"old")
        self.assertEqual({path.name for path in self.room.iterdir()}, {"file", "filler"})

    def test_read_only_disk(self) -> None:
        """On a read-only disk the old content stays."""
        self.room = new_small_disk(self, 1 << 20)
        self.path = self.room / "file"
        write_durably(self.path, b"old")
        subprocess.run(["mount", "-o", "remount,ro", str(self.room)], check=True)
        error = self.assertRaises(OSError, write_durably, self.path, b"new")
        self.assertEqual(fault_of(error), DiskFault.READ_ONLY)
        self.assertEqual(self.path.read_bytes(), b"old")

    def test_missing(self) -> None:
        """Where no directory is, nothing is written, and the error says so."""
        error = self.assertRaises(OSError, write_durably, self.room / "no" / "file", b"")
        self.assertEqual(fault_of(error), DiskFault.MISSING)

    def test_remove(self) -> None:
        """A file is removed; one that is not there is no error."""
        write_durably(self.path, b"x")
        for _ in range(2):
            remove_durably(self.path)
            self.assertFalse(self.path.exists())

    def test_sync_directory(self) -> None:
        """It leaves no descriptor open, whether there is a directory or not."""
        before = os.listdir("/dev/fd")
        sync_directory(self.room)
        self.assertRaises(FileNotFoundError, sync_directory, self.room / "no")
        write_durably(self.path, b"x")
        self.assertRaises(NotADirectoryError, sync_directory, self.path)
        self.assertEqual(len(os.listdir("/dev/fd")), len(before))


class FaultTests(SynchronousTestCase):
    def test_translated(self) -> None:
        """What a disk says becomes our error, with the system's as its cause."""
        for code, fault in (
            (errno.ENOSPC, DiskFault.FULL),
            (errno.EDQUOT, DiskFault.FULL),
            (errno.EROFS, DiskFault.READ_ONLY),
            (errno.ENOENT, DiskFault.MISSING),
            (errno.ESTALE, DiskFault.MISSING),
            (errno.EACCES, DiskFault.DENIED),
            (errno.EIO, DiskFault.FAILING),
        ):
            with self.assertRaises(_Unusable) as caught, disk_faults(_Unusable):
                raise OSError(code, os.strerror(code))
            self.assertEqual(caught.exception.fault, fault)
            self.assertIsInstance(caught.exception.__cause__, OSError)

    def test_others_pass(self) -> None:
        """An error that is not the disk's is left as it is."""
        for error in (OSError(errno.EBADF, "ours"), OSError("no number"), ValueError("x")):
            with self.assertRaises(type(error)) as caught, disk_faults(_Unusable):
                raise error
            self.assertIs(caught.exception, error)
            self.assertIsNone(fault_of(error))
