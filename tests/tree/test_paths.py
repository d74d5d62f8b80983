"""Tests of truckee.tree.paths."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.tree.tree_grid import HELLO, TreeGrid, given
from truckee.tree.directories import NotADirectory
from truckee.tree.links import Links
from truckee.tree.paths import NoSuchChild, Paths, TooDeep, directory_at


class PathTests(TestCase):
    """Names behind a directory."""

    timeout = 60

    def setUp(self) -> None:
        self.tree = TreeGrid.new(self)
        self.links = Links(self.tree.directories)
        self.paths = Paths(self.tree.directories)

    async def test_find(self) -> None:
        root = await self.tree.directories.make()
        inner = await self.paths.make_way(root, ["a", "b"])
        await self.links.set(inner, {"f": given(HELLO)})
        place = await self.paths.find(root, ["a", "b", "f"])
        self.assertEqual(place.child.ro, HELLO)
        self.assertEqual(place.parent.cap, inner)
        absent = await self.paths.find(root, ["a", "b", "no"])
        self.assertIsNone(absent.link)
        with self.assertRaises(NoSuchChild):
            absent.child  # noqa: B018
        with self.assertRaises(NoSuchChild):
            await self.paths.find(root, ["no", "b", "f"])
        with self.assertRaises(NotADirectory):
            await self.paths.find(root, ["a", "b", "f", "g"])

    async def test_make_way(self) -> None:
        """What is there is gone through, what is not is made."""
        root = await self.tree.directories.make()
        first = await self.paths.make_way(root, ["a", "b"])
        self.assertEqual(await self.paths.make_way(root, ["a", "b"]), first)
        self.assertEqual(await self.paths.make_way(root, []), root)
        deeper = await self.paths.make_way(root, ["a", "b", "c"], "MDMF")
        found = await self.paths.find(root, ["a", "b", "c"])
        self.assertEqual(directory_at(found), deeper)
        self.assertEqual(str(deeper)[:14], "URI:DIR2-MDMF:")
        await self.links.set(root, {"f": given(HELLO)})
        with self.assertRaises(NotADirectory):
            await self.paths.make_way(root, ["f", "x"])

    async def test_loop(self) -> None:
        """A directory may be in itself; a path ends."""
        root = await self.tree.directories.make()
        await self.links.set(root, {"self": given(str(root))})
        found = await self.paths.find(root, ["self"] * 20)
        self.assertEqual(directory_at(found), root)
        with self.assertRaises(TooDeep):
            await self.paths.find(root, ["self"] * 1001)
