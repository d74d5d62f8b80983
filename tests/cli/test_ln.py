"""``truckee ln``."""

from __future__ import annotations

from tests.cli.grid_case import GridCase
from tests.processes import SharedNode

room = SharedNode(happy=2)


def tearDownModule() -> None:
    """End the node of this module."""
    room.close()


class LnTests(GridCase):
    room = room

    def test_linked(self) -> None:
        """One thing has two places; without the right to change it, if so wanted."""
        self.file("f", bytes(100))
        self.stock("put", "f", f"{self.alias}f")
        self.do("mkdir", f"{self.alias}d", f"{self.alias}e")
        self.do("ln", f"{self.alias}f", f"{self.alias}g")
        self.do("ln", f"{self.alias}f", f"{self.alias}d")
        self.assertEqual(self.cap("g"), self.cap("f"))
        self.assertEqual(self.names("d"), ["f"])
        self.do("ln", "--read-only", f"{self.alias}d", f"{self.alias}e/r")
        self.assertEqual(self.names("e/r"), ["f"])
        self.do("mkdir", f"{self.alias}e/r/x", code=5)
        self.do("ln", f"{self.alias}d", f"{self.alias}e/w")
        self.do("mkdir", f"{self.alias}e/w/x")
        self.assertEqual(self.names("d"), ["f", "x"])

    def test_from_a_file(self) -> None:
        """A cap in a file gets a name, so that it was in no list of processes."""
        self.file("the.cap", self.do("put", data=bytes(100)).output.encode())
        self.do("ln", "--root", "the.cap", "/", f"{self.alias}kept")
        self.assertEqual(self.names(), ["kept"])

    def test_refused(self) -> None:
        """A directory is not replaced, and nothing cannot be linked."""
        self.file("f")
        self.stock("put", "f", f"{self.alias}f")
        self.do("mkdir", "-p", f"{self.alias}d/f")
        self.do("ln", f"{self.alias}f", f"{self.alias}d", code=5)
        self.do("ln", f"{self.alias}nix", f"{self.alias}x", code=4)
        self.assertEqual(self.names(), ["d", "f"])
