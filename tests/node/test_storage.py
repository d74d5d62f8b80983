"""The storage directories of a node: which are taken, and by whom."""

from __future__ import annotations

import os
import shutil

from twisted.trial.unittest import SynchronousTestCase

from tests.grids import new_directory, new_workers
from truckee.node.config import StorageConfig
from truckee.node.missing_storage import StorageMissing
from truckee.node.storage import (
    OpenedStorage,
    StorageOpener,
    StorageRecord,
    StorageTaken,
)
from truckee.storage.kept_shares import KEEP, KeptTotals


class OfferedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.room = new_directory(self)
        self.path = self.room / "storage"
        self.record = self.room / "storage-server-id"
        self.disk = new_workers(self)

    def open(self, served: bool = True, keep: float = KEEP) -> OpenedStorage:
        """Return the directory as a start finds it, ready to take shares."""
        opener = StorageOpener(self.disk, keep)
        self.addCleanup(opener.release)
        config = StorageConfig(self.path, False, 0, False, None)
        opened, _offered = opener.open_offered(
            config, StorageRecord(self.record, served), "name", b"seed", b"t" * 20
        )
        opened.make_ready()
        return opened

    def refused(self, served: bool = True) -> None:
        """Check that it is refused, and that nothing is written."""
        before = list(self.path.rglob("*"))
        self.assertRaises(StorageMissing, self.open, served)
        self.assertEqual(list(self.path.rglob("*")), before)

    def test_new(self) -> None:
        """A new node makes its directory, and has the same one at each start."""
        self.open(served=False).release()
        mark = (self.path / "server-id").read_bytes()
        self.assertEqual(self.record.read_bytes(), mark)
        self.open().release()
        self.assertEqual((self.path / "server-id").read_bytes(), mark)

    def test_unmounted(self) -> None:
        """An empty mount point, or none, is not taken for the directory that was there."""
        self.open(served=False).release()
        self.path.rename(self.room / "away")
        self.refused()
        self.path.mkdir()
        self.refused()
        self.path.rmdir()
        (self.room / "away").rename(self.path)
        self.open()

    def test_unmounted_before_it_was_marked(self) -> None:
        """A node that served and has no record yet takes no empty directory, either."""
        self.path.mkdir()
        self.refused()

    def test_stock(self) -> None:
        """A directory of a stock server, with shares and no mark, is taken and marked."""
        (self.path / "shares").mkdir(parents=True)
        self.open()
        self.assertTrue((self.path / "server-id").exists())

    def test_another(self) -> None:
        """Another storage directory in the same place is refused."""
        self.open(served=False).release()
        shutil.rmtree(self.path)
        self.record.rename(self.room / "kept")
        self.open(served=False).release()
        (self.room / "kept").rename(self.record)
        self.refused()

    def test_taken(self) -> None:
        """A directory that is in use is refused, with the process and the path."""
        self.open(served=False)
        error = self.assertRaises(StorageTaken, self.open)
        self.assertIn(f"pid {os.getpid()}", str(error))
        self.assertIn(str(self.path), str(error))

    def test_damaged_mark(self) -> None:
        """A damaged mark is made again from the record, where there are shares."""
        self.open(served=False).release()
        mark = (self.path / "server-id").read_bytes()
        (self.path / "server-id").write_bytes(b"\xff")
        self.open().release()
        self.assertEqual((self.path / "server-id").read_bytes(), mark)

    def test_incomplete(self) -> None:
        """What is kept of incomplete shares is counted, also where no more are kept."""
        opened = self.open(served=False)
        self.assertIs(opened.server.kept, opened.kept)
        path = opened.server.directory.kept(b"i" * 16) / ("0." + "a" * 16)
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(12 + 100))
        opened.release()
        opened = self.open()
        self.assertEqual(opened.kept.totals, KeptTotals(1, 100))
        opened.release()
        opened = self.open(keep=0.0)
        self.assertIsNone(opened.server.kept)
        self.assertEqual(opened.kept.totals, KeptTotals(1, 100))

    def test_goes_while_it_runs(self) -> None:
        """While it is away nothing is allocated or made, and then it is there again."""
        opened = self.open(served=False)
        self.assertTrue(opened.is_there())
        self.path.rename(self.room / "away")
        self.path.mkdir()
        self.assertFalse(opened.is_there())
        self.path.rmdir()
        (self.room / "away").rename(self.path)
        self.assertTrue(opened.is_there())
        # Mounted again it may be another directory for the system, with the same mark.
        shutil.copytree(self.path, self.room / "copy")
        self.path.rename(self.room / "old")
        (self.room / "copy").rename(self.path)
        self.assertTrue(opened.is_there())
        self.assertRaises(StorageTaken, self.open)
