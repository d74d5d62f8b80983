"""``truckee check``."""

from __future__ import annotations

import json

from tests.cli.grid_case import GridCase
from tests.processes import SharedNode

room = SharedNode(happy=2)


def tearDownModule() -> None:
    """End the node of this module."""
    room.close()


class CheckTests(GridCase):
    room = room

    def test_lost_and_repaired(self) -> None:
        """A share that is gone is told of, by the exit code too, and made again."""
        before = set(self.node.shares())
        self.file("f", bytes(1000))
        self.stock("put", "f", f"{self.alias}f")
        self.file("small")
        self.stock("put", "small", f"{self.alias}small")
        paths = [f"{self.alias}{name}" for name in ("f", "small", "")]
        done = self.do("check", "--verify", "--add-lease", *paths)
        self.assertEqual(
            done.output,
            f"{paths[0]}: healthy, 3 of 3 shares, 2 needed\n"
            f"{paths[1]}: healthy (it is in its cap)\n"
            f"{paths[2]}: healthy, 3 of 3 shares, 2 needed\n",
        )
        mine = [each for each in self.node.shares() if each not in before]
        lost = next(each for each in mine if each.stat().st_size < 1500)
        lost.unlink()
        done = self.do("check", *paths, code=1)
        self.assertIn("not healthy, 2 of 3 shares", done.output)
        told = json.loads(self.do("check", "--json", paths[0], code=1).output)
        self.assertEqual(told["results"]["count-shares-good"], 2)
        done = self.do("check", "--repair", paths[0])
        self.assertIn("repaired", done.output)
        self.do("check", *paths)

    def test_not_there(self) -> None:
        """What cannot be checked is told of, and the others are checked."""
        done = self.do("check", f"{self.alias}nix", self.alias, code=1)
        self.assertIn("healthy", done.output)
        self.assertIn(f"{self.alias}nix", done.errors)
        self.do("check", "-u", "http://127.0.0.1:1/", self.alias, code=3)
