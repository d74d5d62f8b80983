"""Tests of truckee.tree.links."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.tree.tree_grid import HELLO, WORLD, TreeGrid, given
from truckee.codec.caps import DirectoryCap, MutableWriteCap
from truckee.codec.children_json import GivenChild
from truckee.tree.directories import NotADirectory, ReadOnlyDirectory
from truckee.tree.links import DirectoryInTheWay, Links, NameTaken, Replace
from truckee.tree.paths import NoSuchChild


class LinkTests(TestCase):
    """Each change, undisturbed and called a conflict though it was written."""

    timeout = 60

    def setUp(self) -> None:
        self.tree = TreeGrid.new(self)
        self.links = Links(self.tree.directories)

    async def filled(self) -> DirectoryCap:
        """Return a directory with two files."""
        cap = await self.tree.directories.make()
        await self.links.set(cap, {"a": given(HELLO), "b": given(WORLD)})
        return cap

    async def names(self, cap: DirectoryCap) -> dict[str, str | None]:
        """Return the read caps in a directory by name."""
        directory = await self.tree.another().directories.read(cap)
        return {name: link.child.ro for name, link in directory.links()}

    async def test_set(self) -> None:
        for conflicts in (0, 1, 3):
            cap = await self.filled()
            self.tree.disturb(conflicts)
            await self.links.set(cap, {"c": given(HELLO)}, Replace.NOTHING)
            self.assertEqual(await self.names(cap), {"a": HELLO, "b": WORLD, "c": HELLO})

    async def test_set_all_or_nothing(self) -> None:
        cap = await self.filled()
        with self.assertRaises(NameTaken):
            await self.links.set(
                cap, {"c": given(HELLO), "b": given(HELLO)}, Replace.NOTHING
            )
        self.assertEqual(await self.names(cap), {"a": HELLO, "b": WORLD})

    async def test_remove(self) -> None:
        for conflicts in (0, 1, 2):
            cap = await self.filled()
            self.tree.disturb(conflicts)
            child = await self.links.remove(cap, "a")
            self.assertEqual(child.ro, HELLO)
            self.assertEqual(await self.names(cap), {"b": WORLD})
        with self.assertRaises(NoSuchChild):
            await self.links.remove(cap, "a")

    async def test_rename(self) -> None:
        for conflicts in (0, 1, 2):
            cap = await self.filled()
            self.tree.disturb(conflicts)
            await self.links.move(cap, "a", cap, "c", Replace.NOTHING)
            self.assertEqual(await self.names(cap), {"b": WORLD, "c": HELLO})

    async def test_rename_over(self) -> None:
        cap = await self.filled()
        with self.assertRaises(NameTaken):
            await self.links.move(cap, "a", cap, "b", Replace.NOTHING)
        await self.links.move(cap, "a", cap, "b")
        self.assertEqual(await self.names(cap), {"b": HELLO})

    async def test_rename_to_itself(self) -> None:
        """Nothing is done, whether it is there or not, composed or not."""
        cap = await self.filled()
        await self.links.move(cap, "e\u0301", cap, "\u00e9")
        await self.links.move(cap, "a", cap, "a")
        self.assertEqual(await self.names(cap), {"a": HELLO, "b": WORLD})

    async def test_move(self) -> None:
        for conflicts in (0, 1):
            cap, other = await self.filled(), await self.filled()
            self.tree.disturb(conflicts)
            await self.links.move(cap, "a", other, "x")
            self.assertEqual(await self.names(cap), {"b": WORLD})
            self.assertEqual(await self.names(other), {"a": HELLO, "b": WORLD, "x": HELLO})

    async def test_only_files(self) -> None:
        cap = await self.filled()
        await self.tree.directories.make_child(cap, "d")
        with self.assertRaises(DirectoryInTheWay):
            await self.links.set(cap, {"d": given(HELLO)}, Replace.FILES)
        await self.links.set(cap, {"a": given(WORLD)}, Replace.FILES)

    async def test_make_child(self) -> None:
        """It is made once, however often that is tried."""
        for conflicts in (0, 2):
            cap = await self.filled()
            self.tree.disturb(conflicts)
            made = await self.tree.directories.make_child(cap, "d")
            again = await self.tree.directories.make_child(cap, "d")
            self.assertEqual(again, made)
            self.assertEqual(await self.names(made), {})
        with self.assertRaises(NotADirectory):
            await self.tree.directories.make_child(cap, "a")

    async def test_read_only(self) -> None:
        cap = await self.filled()
        assert isinstance(cap.inner, MutableWriteCap)
        reader = DirectoryCap(cap.inner.read_cap())
        for work in (
            self.links.set(reader, {"c": given(HELLO)}),
            self.links.remove(reader, "a"),
            self.links.move(reader, "a", reader, "c"),
            self.tree.directories.make_child(reader, "d"),
        ):
            with self.assertRaises(ReadOnlyDirectory):
                await work
        self.assertEqual(await self.names(cap), {"a": HELLO, "b": WORLD})

    async def test_no_write(self) -> None:
        """A link that says so leads to what only reads."""
        cap, child = await self.filled(), await self.tree.directories.make()
        link = GivenChild(given(str(child)).child, {"no-write": True})
        await self.links.set(cap, {"d": link})
        found = (await self.tree.directories.read(cap)).link("d")
        assert found is not None
        self.assertIsNone(found.child.rw)
