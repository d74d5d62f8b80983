"""``truckee mkdir``."""

from __future__ import annotations

from tests.cli.grid_case import GridCase
from tests.processes import SharedNode

room = SharedNode(happy=2)


def tearDownModule() -> None:
    """End the node of this module."""
    room.close()


class MkdirTests(GridCase):
    room = room

    def test_made(self) -> None:
        """A directory is made in one that is there; with -p, those on the way."""
        self.assertIn("-p makes it", self.do("mkdir", f"{self.alias}a/b", code=4).errors)
        self.do("mkdir", f"{self.alias}a", f"{self.alias}a/b", f"{self.alias}a/c")
        self.assertEqual(self.names("a"), ["b", "c"])
        self.do("mkdir", f"{self.alias}a", code=5)
        before = self.cap()
        self.do("mkdir", "-p", f"{self.alias}a/b/c/d", f"{self.alias}a", self.alias)
        self.assertEqual((self.names("a/b/c"), self.cap()), (["d"], before))

    def test_in_the_way(self) -> None:
        """A file is not replaced by a directory."""
        self.file("f")
        self.stock("put", "f", f"{self.alias}f")
        self.do("mkdir", f"{self.alias}f", code=5)
        self.do("mkdir", "-p", f"{self.alias}f", code=1)
        self.do("mkdir", f"{self.alias}f/x", code=5)
        self.assertEqual(self.names(), ["f"])

    def test_without_a_name(self) -> None:
        """Its cap is printed then; the format is as wanted."""
        cap = self.do("mkdir", "--format", "MDMF").output.strip()
        self.assertTrue(cap.startswith("URI:DIR2-MDMF:"), cap)
        self.assertEqual(self.do("ls", cap).output, "")
