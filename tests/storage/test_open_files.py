"""Descriptors that are lent and kept."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.grids import new_directory
from truckee.storage.open_files import OpenFiles


def descriptors_below(root: Path) -> list[str]:
    """Return the names of files below *root* that this process has open."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            path = Path(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:
            continue  # that of the listing
        if path.is_relative_to(root):
            found.append(path.name)
    return sorted(found)


class OpenFilesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = new_directory(self)
        self.files = OpenFiles(kept=2)
        self.closed: list[int] = []

    def use(self, name: str) -> int:
        """Write to a file; return its descriptor."""
        flags = os.O_RDWR | os.O_CREAT
        with self.files.use(self.root / name, flags, self.closed.append) as descriptor:
            os.write(descriptor, b"x")
            return descriptor

    def test_kept(self) -> None:
        """The files used last stay open; what makes room is told before it is closed."""
        first = self.use("a")
        self.assertEqual(self.use("a"), first)
        self.use("b")
        self.assertEqual(descriptors_below(self.root), ["a", "b"])
        self.use("c")
        self.assertEqual((descriptors_below(self.root), self.closed), (["b", "c"], [first]))
        self.use("a")
        self.assertEqual(descriptors_below(self.root), ["a", "c"])

    def test_in_use(self) -> None:
        """A file that is used is closed for nobody."""
        flags = os.O_RDWR | os.O_CREAT
        with self.files.use(self.root / "long", flags, self.closed.append) as descriptor:
            for name in "abc":
                self.use(name)
            os.write(descriptor, b"x")
        self.assertEqual(descriptors_below(self.root), ["c", "long"])

    def test_close(self) -> None:
        """What is closed is gone, and nobody is told; closing it again does nothing."""
        self.use("a")
        for _ in range(2):
            self.files.close(self.root / "a")
            self.assertEqual((descriptors_below(self.root), self.closed), ([], []))

    def test_error(self) -> None:
        """A file that cannot be opened leaves nothing behind."""
        lent = self.files.use(self.root / "none", os.O_RDWR, self.closed.append)
        with self.assertRaises(FileNotFoundError), lent:
            raise AssertionError
        self.assertEqual(descriptors_below(self.root), [])
