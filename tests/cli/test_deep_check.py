"""``truckee deep-check``."""

from __future__ import annotations

import json

from tests.cli.grid_case import GridCase
from tests.processes import SharedNode

room = SharedNode(happy=2)


def tearDownModule() -> None:
    """End the node of this module."""
    room.close()


class DeepCheckTests(GridCase):
    room = room

    def fill(self) -> None:
        """Store a small tree."""
        for name in ("a", "d/b", "d/e/c"):
            self.file(name, name.encode() * 100)
        self.file("d/short", b"in its cap")
        self.do("cp", "-r", "a", "d", self.alias)

    def lose(self, path: str) -> None:
        """Remove one share of what is at a path."""
        units = map(
            json.loads, self.do("manifest", "--json", self.alias).output.splitlines()
        )
        [index] = [u["storage-index"] for u in units if "/".join(u["path"]) == path]
        [share, *_] = sorted(
            share
            for place in self.node.directory.rglob(index)
            for share in place.iterdir()
            if share.is_file()
        )
        share.unlink()

    def test_healthy(self) -> None:
        self.fill()
        self.assertEqual(self.do("deep-check", self.alias).output, "7 objects: 7 healthy\n")
        told = self.do("deep-check", "--verify", "--add-lease", "-v", self.alias).output
        lines = told.splitlines()
        self.assertEqual(lines[0], ".: healthy, 3 of 3 shares, 2 needed")
        self.assertIn("d/short: healthy (it is in its cap)", lines)
        self.assertEqual(len(lines), 8)

    def test_repair(self) -> None:
        """What is not healthy is told, mended, and then no more."""
        self.fill()
        self.lose("d/b")
        self.lose("d/e")
        told = self.do("deep-check", self.alias, code=1).output.splitlines()
        self.assertEqual(told[0], "d/b: not healthy, 2 of 3 shares, 2 needed")
        self.assertEqual(told[-1], "7 objects: 5 healthy, 2 not healthy")
        told = self.do("deep-check", "--repair", self.alias).output.splitlines()
        self.assertTrue(told[0].startswith("d/b: repaired; it was not healthy"))
        self.assertEqual(told[-1], "7 objects: 5 healthy, 2 repaired")
        self.assertEqual(self.do("deep-check", self.alias).output, "7 objects: 7 healthy\n")

    def test_json(self) -> None:
        self.fill()
        lines = self.do("deep-check", "--json", f"{self.alias}d").output.splitlines()
        paths = ["/".join(json.loads(line)["path"]) for line in lines]
        self.assertEqual(paths, ["", "b", "short", "e", "e/c"])
        self.assertTrue(json.loads(lines[0])["check-results"]["results"]["healthy"])
