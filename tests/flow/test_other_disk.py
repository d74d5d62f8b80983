"""A directory of a node on another disk, which may not be mounted."""

from __future__ import annotations

import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.grids import new_directory, new_small_disk
from truckee.flow.other_disk import MARK, DirectoryMissing, OtherDisk


class OtherDiskTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.node = new_directory(self)

    def new(self, home: Path) -> OtherDisk:
        """Return the directory ``spool`` of the node, which leads to *home*."""
        (self.node / "spool").unlink(missing_ok=True)
        (self.node / "spool").symlink_to(home)
        return OtherDisk(self.node / "spool", self.node)

    def test_same_disk(self) -> None:
        """On the disk of the node directory it has no mark, and may come and go."""
        disk = OtherDisk(self.node / "spool", self.node)
        disk.check()
        (self.node / "spool").mkdir()
        disk.mark()
        self.assertFalse(disk.is_apart())
        self.assertEqual([path.name for path in self.node.iterdir()], ["spool"])
        self.assertEqual(list((self.node / "spool").iterdir()), [])

    def test_other_disk(self) -> None:
        """On another one it is known again, wherever that is; an empty one is not it."""
        mounted, empty = new_small_disk(self, 1 << 20), new_directory(self)
        disk = self.new(mounted)
        disk.check()
        disk.mark()
        disk.mark()
        disk.check()
        self.new(empty)
        self.assertTrue(disk.is_apart())
        error = self.assertRaises(DirectoryMissing, disk.check)
        self.assertIn("remove spool-id from the node directory", str(error))
        disk.mark()
        self.assertEqual(list(empty.iterdir()), [])
        (empty / MARK).write_bytes((mounted / MARK).read_bytes())
        disk.check()
        self.new(self.node / "nowhere")
        self.assertFalse(disk.is_there())

    def test_read_only(self) -> None:
        """A disk that takes no mark is used without one, and marked when it takes it."""
        mounted = new_small_disk(self, 1 << 20)
        disk = self.new(mounted)
        for how in ("ro", "rw"):
            subprocess.run(["mount", "-o", f"remount,{how}", str(mounted)], check=True)
            disk.mark()
            disk.check()
            self.assertEqual((mounted / MARK).exists(), how == "rw")
