"""Tests of truckee.node.aliases."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.grids import new_directory
from truckee.node.aliases import aliases_file, read_aliases


class AliasesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.private = new_directory(self)

    def test_none(self) -> None:
        """Without the file, or the directory, there are none."""
        self.assertEqual(read_aliases(self.private), {})
        self.assertEqual(read_aliases(self.private / "missing"), {})

    def test_read(self) -> None:
        """A line each; comments and other lines are left out, and the last one counts."""
        text = "# photos: no\n\nphotos: URI:DIR2:a:b\n  t : URI:c \nnothing\nt:URI:d\n"
        aliases_file(self.private).write_text(text)
        self.assertEqual(
            read_aliases(self.private), {"photos": "URI:DIR2:a:b", "t": "URI:d"}
        )

    def test_old(self) -> None:
        """The file of old nodes is the default alias, unless there is another one."""
        (self.private / "root_dir.cap").write_text("URI:DIR2:old\n")
        self.assertEqual(read_aliases(self.private), {"tahoe": "URI:DIR2:old"})
        aliases_file(self.private).write_text("tahoe: URI:DIR2:new\n")
        self.assertEqual(read_aliases(self.private), {"tahoe": "URI:DIR2:new"})

    def test_unreadable(self) -> None:
        """What cannot be read is no empty file."""
        aliases_file(self.private).mkdir()
        self.assertRaises(OSError, read_aliases, self.private)
