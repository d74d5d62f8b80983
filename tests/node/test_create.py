"""Making a node directory."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from truckee.codec import base32
from truckee.errors import Misuse
from truckee.node.config import GridShape, load_config
from truckee.node.create import NotEmpty, create_grid
from truckee.node.identity import SERVER_ID, SERVER_ID_SIZE
from truckee.node.keys import NodeKeys
from truckee.node.layout import NodeDirectory


class CreateGridTests(SynchronousTestCase):
    def setUp(self) -> None:
        room = tempfile.TemporaryDirectory()
        self.addCleanup(room.cleanup)
        self.node = NodeDirectory(Path(room.name) / "a" / "node")

    def test_complete(self) -> None:
        """What is made is a node: its configuration and its secrets can be read."""
        create_grid(self.node, GridShape(2, 3, 5), "tcp:1", 4, "näme 5%")
        self.node.check()
        config = load_config(self.node)
        self.assertEqual(config.shape, GridShape(2, 3, 5))
        self.assertEqual((config.web_port, config.nickname), ("tcp:1", "näme 5%"))
        self.assertEqual(len(config.storage_dirs), 4)
        NodeKeys.load(self.node.private)

    def test_identities(self) -> None:
        """Each storage directory has an identity of its own, 20 random bytes."""
        numbers = itertools.count(1)
        create_grid(
            self.node, GridShape(), random=lambda size: bytes([next(numbers)]) * size
        )
        found = set()
        for directory in load_config(self.node).storage_dirs:
            text = (directory / SERVER_ID).read_text("ascii")
            self.assertEqual(text, text.strip() + "\n")
            identity = base32.decode(text.strip())
            self.assertEqual(len(identity), SERVER_ID_SIZE)
            found.add(identity)
        self.assertEqual(len(found), 3)

    def test_config_comes_last(self) -> None:
        """If it breaks off before its end, what is there is no node."""
        calls = itertools.count()

        def break_off(size: int) -> bytes:
            if next(calls) == at:
                raise OSError("no more")
            return os.urandom(size)

        for at in range(5):
            calls = itertools.count()
            node = NodeDirectory(self.node.path.with_name(f"node{at}"))
            self.assertRaises(OSError, create_grid, node, GridShape(), random=break_off)
            self.assertFalse(node.config.exists())

    def test_not_empty(self) -> None:
        """Nothing is made where something is, not even in what broke off."""
        self.node.path.mkdir(parents=True)
        (self.node.path / ".hidden").touch()
        error = self.assertRaises(NotEmpty, create_grid, self.node, GridShape())
        self.assertIsInstance(error, Misuse)
        self.assertIn(str(self.node.path), str(error))
        self.assertEqual(os.listdir(self.node.path), [".hidden"])
