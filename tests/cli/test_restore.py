"""``truckee restore``, where what is in the grid is not what it should be."""

from __future__ import annotations

import json
from typing import Any

from tests.cli.grid_case import GridCase
from tests.processes import SharedNode, ask

room = SharedNode(happy=2)


def tearDownModule() -> None:
    """End the node of this module."""
    room.close()


class RestoreTests(GridCase):
    room = room

    def link(self, **metadata: Any) -> None:
        """Link a small file as ``f``, with some metadata."""
        child = {"f": ["filenode", {"ro_uri": "URI:LIT:nbuqu", "metadata": metadata}]}
        place = f"{self.node.url}uri/{self.root_cap()}?t=set_children"
        body = json.dumps(child).encode()
        self.assertEqual(
            ask("-X", "POST", "--data-binary", "@-", place, data=body).status, 200
        )

    def test_strange_metadata(self) -> None:
        """No set-user-id, and times and modes that are none do no harm."""
        self.link(st_mode=0o106755, mtime=1e9)
        self.do("restore", self.alias, "out")
        status = (self.place / "out/f").stat()
        self.assertEqual((status.st_mode, status.st_mtime), (0o100755, 1e9))
        for mode, time in (("x", "y"), (None, 1e300), (-1, -1e18), ([], {})):
            self.link(st_mode=mode, mtime=time)
            self.do("restore", self.alias, "odd")
            self.assertEqual((self.place / "odd/f").read_bytes(), b"hi\n")
            (self.place / "odd/f").unlink()

    def test_in_the_way(self) -> None:
        """Links here are not followed out of the directory, and kinds do not change."""
        self.file("victim/mine")
        self.link()
        self.do("mkdir", f"{self.alias}d")
        self.do("cp", "victim/mine", f"{self.alias}d")
        (self.place / "out").mkdir()
        (self.place / "out/d").symlink_to("../victim")
        (self.place / "out/f").symlink_to("../victim/f")
        done = self.do("restore", self.alias, "out", code=1)
        self.assertIn("out/d is no directory", done.errors)
        self.assertEqual([p.name for p in (self.place / "victim").iterdir()], ["mine"])
        self.assertEqual((self.place / "out/f").read_bytes(), b"hi\n")
        self.assertFalse((self.place / "out/f").is_symlink())
        self.do("restore", f"{self.alias}f", "out", code=1)
        self.do("restore", f"{self.alias}nix", "out", code=4)
        self.do("restore", self.alias, "victim/mine", code=1)
