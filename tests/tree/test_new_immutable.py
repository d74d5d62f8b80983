"""Tests of truckee.tree.new_immutable."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from twisted.trial.unittest import TestCase

from tests.codec.directory_example import READ, WRITE, pack_immutable
from tests.tree.tree_grid import HELLO, WORLD, TreeGrid
from truckee.codec.children import new_child
from truckee.codec.children_json import BadChildren, BadNamedChild
from truckee.codec.directory_children import Link
from truckee.tree import directories
from truckee.tree.directories import DirectoryTooLarge
from truckee.tree.new_immutable import pack_children


async def in_pieces(body: bytes, size: int = 10) -> AsyncIterator[bytes]:
    """Give *body*, *size* bytes at a time."""
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def endless(body: bytes) -> AsyncIterator[bytes]:
    """Give *body* again and again."""
    while True:
        yield body


class PackTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.tree = TreeGrid.new(self)
        self.cpu = self.tree.directories.cpu

    async def test_made(self) -> None:
        """The directory has what the body says, whatever the order, under one cap."""
        children = {
            "b": ["filenode", {"ro_uri": HELLO, "metadata": {"m": 1}}],
            "a": ["filenode", {"ro_uri": WORLD}],
        }
        links = {
            "a": Link(new_child(None, WORLD), {}),
            "b": Link(new_child(None, HELLO), {"m": 1}),
        }
        for given in (children, dict(sorted(children.items()))):
            table = await pack_children(in_pieces(json.dumps(given).encode()), self.cpu)
            cap = await self.tree.directories.make_immutable(table)
            directory = await self.tree.directories.read(cap)
            self.assertEqual(directory.table.packed, pack_immutable(links))
            self.assertEqual(dict(directory.links()), links)

    async def test_refused(self) -> None:
        """What cannot be made is refused where it is met, and the rest is not read."""
        for body, error in (
            (b'{"a": ["x", {"rw_uri": "%s"}], ' % WRITE.encode(), BadNamedChild),
            (b'{"a": ["x", {"ro_uri": "%s"}], ' % READ.encode(), BadNamedChild),
            (b'{"a": ["x", {"rw_uri": "x-foo:bar"}], ', BadNamedChild),
            (b'{"a": 1, ', BadChildren),
        ):
            with self.assertRaises(error):
                await pack_children(endless(body), self.cpu)

    async def test_too_large(self) -> None:
        """A table that could not be read again is not made."""
        self.patch(directories, "MAX_WHOLE", 1000)

        async def body() -> AsyncIterator[bytes]:
            yield b"{"
            number = 0
            while True:
                yield b'"%d": ["x", {"ro_uri": "%s"}], ' % (number, HELLO.encode())
                number += 1

        with self.assertRaises(DirectoryTooLarge):
            await pack_children(body(), self.cpu)
