"""``truckee rm``."""

from __future__ import annotations

from tests.cli.grid_case import GridCase
from tests.processes import SharedNode

room = SharedNode(happy=2)


def tearDownModule() -> None:
    """End the node of this module."""
    room.close()


class RmTests(GridCase):
    room = room

    def test_removed(self) -> None:
        """Files go; directories only when that is said; what fails stops nothing."""
        for name in ("f", "g", "h"):
            self.file(name)
        self.stock("cp", "f", "g", "h", self.alias)
        self.do("mkdir", "-p", f"{self.alias}d/e")
        cap = self.cap("d")
        done = self.do("rm", *(f"{self.alias}{n}" for n in ("f", "nix", "d", "g")), code=1)
        self.assertEqual(len(done.errors.splitlines()), 2)
        self.assertEqual(self.names(), ["d", "h"])
        self.do("rm", "-r", f"{self.alias}d")
        self.assertEqual(self.names(), ["h"])
        self.assertEqual(self.do("ls", cap).output, "e\n")

    def test_not_there(self) -> None:
        """That is an error, unless -f is given; a root is in no directory."""
        self.do("rm", f"{self.alias}nix", code=1)
        self.do("rm", "-f", f"{self.alias}nix")
        self.do("rm", "-rf", self.alias, code=1)
        self.do("rm", "-f", "-u", "http://127.0.0.1:1/", f"{self.alias}x", code=3)
