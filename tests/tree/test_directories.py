"""Tests of truckee.tree.directories."""

from __future__ import annotations

import tracemalloc
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.trial.unittest import TestCase

from tests.tree.tree_grid import HELLO, WORLD, Disturbed, TreeGrid, given
from truckee.codec.caps import DirectoryCap
from truckee.codec.children import new_child
from truckee.codec.directory_children import Link
from truckee.codec.link_metadata import Metadata
from truckee.flow.together import Work
from truckee.immutable.upload.body import FileTooLarge
from truckee.mutable import write_loop
from truckee.mutable.errors import NotEnoughMutableShares, UncoordinatedWrite
from truckee.tree import directories
from truckee.tree.links import Links, NameTaken, Replace


class SizeTests(TestCase):
    """No directory is written that is too large to be read again."""

    timeout = 60

    async def test_too_large(self) -> None:
        self.patch(directories, "MAX_WHOLE", 1000)
        tree = TreeGrid.new(self)
        links = Links(tree.directories)
        for format in ("SSK", "MDMF"):
            cap = await tree.directories.make(format)
            few = {f"n{number}": given(HELLO) for number in range(4)}
            many = {f"m{number}": given(HELLO) for number in range(40)}
            await links.set(cap, few)
            with self.assertRaises(FileTooLarge):
                await links.set(cap, many)
            directory = await tree.another().directories.read(cap)
            self.assertEqual(list(directory.table.names()), list(few))
            first = dict(directory.links())
            more = {f"{name}{number}": first[name] for name in few for number in range(9)}
            with self.assertRaises(FileTooLarge):
                await tree.directories.make(format, more)


class MemoryTests(TestCase):
    """What is remembered is never in the way of what others write."""

    timeout = 60

    def setUp(self) -> None:
        self.ours = TreeGrid.new(self)
        self.theirs = self.ours.another()

    async def names(self, tree: TreeGrid, cap: DirectoryCap) -> list[str]:
        """Return what *tree* finds in a directory."""
        return list((await tree.directories.read(cap)).table.names())

    async def test_others_are_seen(self) -> None:
        """What was only read is revalidated each time."""
        ours, theirs = self.ours, self.theirs
        cap = await theirs.directories.make()
        for number in range(3):
            self.assertEqual(len(await self.names(ours, cap)), number)
            await Links(theirs.directories).set(cap, {f"n{number}": given(HELLO)})

    async def test_changes_in_turns(self) -> None:
        """Two gateways that both remember what they wrote lose nothing."""
        cap = await self.ours.directories.make()
        for number in range(6):
            tree = (self.ours, self.theirs)[number % 2]
            await Links(tree.directories).set(cap, {f"n{number}": given(HELLO)})
        found = await self.names(self.ours.another(), cap)
        self.assertEqual(found, [f"n{number}" for number in range(6)])

    async def test_own_writes(self) -> None:
        """Who is about to write sees what was written here, and servers are not asked."""
        cap = await self.ours.directories.make()
        await Links(self.ours.directories).set(cap, {"a": given(HELLO)})
        self.ours.grid.servers.clear()
        for each in (cap, cap.read_cap()):
            found = await self.ours.directories.read(each, recent=True)
            self.assertEqual(list(found.table.names()), ["a"])
            with self.assertRaises(NotEnoughMutableShares):
                await self.ours.directories.read(each)

    async def test_readers_see_others(self) -> None:
        """Right after a write of ours, what another gateway wrote is read."""
        cap = await self.ours.directories.make()
        await Links(self.ours.directories).set(cap, {"a": given(HELLO)})
        await Links(self.theirs.directories).set(cap, {"b": given(HELLO)})
        self.assertEqual(await self.names(self.ours, cap), ["a", "b"])

    async def test_failed_write(self) -> None:
        """After a write that may have come through or not, servers are asked."""
        cap = await self.ours.directories.make()
        links = Links(self.ours.directories)
        await links.set(cap, {"a": given(HELLO)})
        await Links(self.theirs.directories).set(cap, {"b": given(HELLO)})
        self.patch(write_loop, "_ATTEMPTS", 1)
        self.ours.disturb()
        with self.assertRaises(UncoordinatedWrite):
            await links.set(cap, {"c": given(HELLO)})
        self.assertEqual(await self.names(self.ours, cap), ["a", "b", "c"])

    async def test_unchanged_is_not_read_again(self) -> None:
        """The second read of a directory only looks which version there is."""
        cap = await self.theirs.directories.make()
        await Links(self.theirs.directories).set(cap, {"a": given(HELLO)})
        first = await self.ours.directories.read(cap)
        self.assertIs((await self.ours.directories.read(cap)).table, first.table)

    async def test_what_was_read_is_changed(self) -> None:
        """A directory that was looked at is not read once more to be changed."""
        cap = await self.theirs.directories.make()
        await Links(self.theirs.directories).set(
            cap, {f"name {number}": given(HELLO) for number in range(200)}
        )
        await self.names(self.ours, cap)
        slots = [self.ours.grid.slots(number) for number in range(10)]
        for each in slots:
            each.asked.clear()
        await Links(self.ours.directories).set(cap, {"one": given(WORLD)})
        lengths = [r.length for each in slots for _, reads in each.asked for r in reads]
        # Which version there is and its key; a block has more.
        self.assertLess(max(lengths), 5000)
        self.assertEqual(len(await self.names(self.theirs, cap)), 201)

    async def test_memory_of_a_long_one(self) -> None:
        """A change has the directory as it was and as it will be in memory, and a share."""
        text = "x" * (1 << 20)
        metadata: Metadata = {"text": text}
        links = {
            f"name {number}": Link(new_child(None, HELLO), metadata) for number in range(18)
        }
        cap = await self.theirs.directories.make(links=links)
        del links, metadata, text
        size = 18 << 20
        ours = self.ours.another()
        links_of = Links(ours.directories)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before = tracemalloc.get_traced_memory()[0]
        await links_of.set(cap, {"one": given(WORLD)})
        taken = tracemalloc.get_traced_memory()[1] - before
        self.assertLess(taken, size * 5 // 2)
        self.assertEqual(len(await self.names(ours, cap)), 19)


class ManyTests(TestCase):
    """Many who change one directory at the same time."""

    timeout = 60

    async def test_merged(self) -> None:
        """All changes are made, in few writes, each with its own outcome."""
        tree = TreeGrid.new(self)
        links, cap = Links(tree.directories), await tree.directories.make()
        made = writes(tree)
        added = [
            links.set(cap, {f"n{number % 30}": given(HELLO)}, Replace.NOTHING)
            for number in range(30)
        ]
        taken = [
            links.set(cap, {f"n{number}": given(WORLD)}, Replace.NOTHING)
            for number in (3, 4)
        ]
        found = await outcomes(*added, *taken)
        self.assertEqual(found[:30], [None] * 30)
        self.assertEqual([type(error) for error in found[30:]], [NameTaken] * 2)
        # The first begins at once; those that come meanwhile go together.
        self.assertEqual(writes(tree) - made, 2)
        directory = await tree.another().directories.read(cap)
        self.assertEqual(len(directory.table), 30)

    async def test_conflicts(self) -> None:
        """All are made again when somebody else wrote; what failed may succeed then."""
        tree = TreeGrid.new(self)
        links, cap = Links(tree.directories), await tree.directories.make()
        tree.disturb(2)
        found = await outcomes(
            *(links.set(cap, {f"n{number}": given(HELLO)}) for number in range(9)),
            links.remove(cap, "n3"),
        )
        self.assertEqual([error for error in found if isinstance(error, Exception)], [])
        directory = await tree.another().directories.read(cap)
        self.assertEqual(len(directory.table), 8)


def writes(tree: TreeGrid) -> int:
    """Return how many versions were written."""
    publisher = tree.files._publisher
    assert isinstance(publisher, Disturbed)
    return publisher.count


async def outcomes(*work: Work[Any]) -> list[Any]:
    """Return what each of *work* returned or raised, all under way at once."""
    started = [Deferred.fromCoroutine(each) for each in work]
    found = await DeferredList(started, consumeErrors=True)
    return [value if good else value.value for good, value in found]
