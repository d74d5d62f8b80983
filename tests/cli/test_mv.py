"""``truckee mv``."""

from __future__ import annotations

from tests.cli.grid_case import GridCase
from tests.processes import SharedNode

room = SharedNode(happy=2)


def tearDownModule() -> None:
    """End the node of this module."""
    room.close()


class MvTests(GridCase):
    room = room

    def setUp(self) -> None:
        """Make some things to move."""
        super().setUp()
        for name in ("f", "g"):
            self.file(name, name.encode())
        self.do("mkdir", f"{self.alias}d", f"{self.alias}e")
        self.stock("cp", "f", "g", self.alias)

    def at(self, *names: str) -> list[str]:
        """Return paths below the alias."""
        return [f"{self.alias}{name}" for name in names]

    def test_moved(self) -> None:
        """Names change, things go into directories, several at once; a file is replaced."""
        caps = self.cap("f"), self.cap("g")
        self.do("mv", *self.at("f", "h h"))
        self.assertEqual(self.names(), ["d", "e", "g", "h h"])
        self.do("mv", *self.at("g", "h h", "d"))
        self.assertEqual((self.names(), self.names("d")), (["d", "e"], ["g", "h h"]))
        self.do("mv", *self.at("d", "e/"))
        self.do("mv", *self.at("e/d/g", "e/d/h h"))
        self.assertEqual(self.cap("e/d/h h"), caps[1])
        self.assertEqual(self.names("e/d"), ["h h"])
        self.do("mv", *self.at("e/d/h h", "e/d/h h"))
        self.assertEqual(self.names("e/d"), ["h h"])

    def test_to_another_root(self) -> None:
        """An alias is as good as another one, and so is a cap."""
        other = self.do("mkdir").output.strip()
        self.do("mkdir", f"{other}/ä ö")
        self.do("mv", *self.at("f"), f"{other}/ä ö/new name")
        self.assertEqual(self.do("ls", f"{other}/ä ö").output, "new name\n")
        self.assertEqual(self.names(), ["d", "e", "g"])

    def test_refused(self) -> None:
        """Nothing is lost: no directory is replaced, or moved into itself."""
        self.do("mv", *self.at("nix", "x"), code=4)
        self.do("mv", *self.at("f", "nix/"), code=4)
        self.do("mv", *self.at("f", "g", "nix"), code=4)
        self.do("mv", *self.at("d", "d/x"), code=1)
        self.do("mv", *self.at("d", "d"), code=1)
        self.do("mv", self.alias, *self.at("d"), code=1)
        self.do("mkdir", *self.at("e/f"))
        self.do("mv", *self.at("f", "e"), code=5)
        self.assertEqual(self.names(), ["d", "e", "f", "g"])
