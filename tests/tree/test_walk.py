"""Tests of truckee.tree.walk."""

from __future__ import annotations

from contextlib import aclosing
from sys import getallocatedblocks

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, new_directory, new_workers, until
from tests.tree.forest import Cap, Forest, all_of, directory, file, paths
from truckee.codec.caps import DirectoryCap
from truckee.codec.walk_cursor import Cursor
from truckee.mutable.errors import NotEnoughMutableShares
from truckee.tree.ahead import READS, Settling
from truckee.tree.seen import WalkDiskFull
from truckee.tree.walk import Walk, Walker


class WalkTests(TestCase):
    """Walks of trees in memory."""

    timeout = 60

    def setUp(self) -> None:
        self.cpu = new_workers(self)
        self.place = new_directory(self)
        self.forest = Forest(self.cpu)

    def walk(self, root: DirectoryCap, after: Cursor | None = None) -> Walk:
        """Return a walk below *root*."""
        settled = Settling(REACTOR, 0.0)
        key = bytes(32)
        walker = Walker(self.forest, self.cpu, str(self.place), lambda _: key, settled)
        return walker.walk(root, after)

    async def paths(self, root: DirectoryCap) -> list[str]:
        """Return where things are, in the order of a walk."""
        return paths(await all_of(self.walk(root)))

    def plant_example(self) -> DirectoryCap:
        """Plant a small tree with all that trees have."""
        plant = self.forest.plant
        plant(
            "a",
            {"again": file("z"), "b": directory("b"), "f": file("f"), "up": directory("r")},
        )
        plant("b", {"deep": directory("c"), "lit": "URI:LIT:nbuq"})
        plant("c", {"end": file("e")})
        children: dict[str, Cap] = {
            "z": file("z"),
            "y": "x-future:1",
            "b": directory("b"),
            "a": directory("a"),
            "lit": "URI:LIT:nbuq",
            "empty": "URI:DIR2-LIT:",
            "none": "URI:DIR2-LIT:",
        }
        return plant("r", children)

    async def test_order(self) -> None:
        """
        Unknown ones, files, directories; each object where it was listed first, and what
        is in its cap as often as it is linked.
        """
        expected = ["", "y", "lit", "z", "a", "a/f", "b", "b/lit", "b/deep", "b/deep/end"]
        self.assertEqual(
            await self.paths(self.plant_example()), [*expected, "empty", "none"]
        )

    async def test_continues(self) -> None:
        """Behind each place comes what a whole walk gives there, and all is counted."""
        root = self.plant_example()
        whole = self.walk(root)
        found = await all_of(whole)
        for number, each in enumerate(found):
            walk = self.walk(root, each.cursor)
            behind = await all_of(walk)
            self.assertEqual(paths(behind), paths(found[number + 1 :]))
            self.assertEqual(walk.statistics.document(), whole.statistics.document())

    async def test_statistics(self) -> None:
        walk = self.walk(self.plant_example())
        await all_of(walk)
        told = walk.statistics.document()
        counts = [told[f"count-{each}"] for each in ("files", "directories", "unknown")]
        self.assertEqual(counts, [5, 6, 1])
        self.assertEqual(told["largest-directory-children"], 7)
        self.assertEqual(told["size-files-histogram"], [[1, 3, 2], [317, 1000, 3]])

    async def test_loop(self) -> None:
        """A directory that is in itself, and in what is in it, is met once."""
        self.forest.plant("inner", {"root": directory("loop"), "self": directory("inner")})
        root = self.forest.plant(
            "loop", {"self": directory("loop"), "in": directory("inner")}
        )
        self.assertEqual(await self.paths(root), ["", "in"])

    async def test_linked_often(self) -> None:
        links = {f"n{number:05}": file("same") for number in range(10_000)}
        self.assertEqual(await self.paths(self.forest.plant("many", links)), ["", "n00000"])

    async def test_deep(self) -> None:
        for level in range(1000):
            self.forest.plant(
                f"l{level}", {"d": directory(f"l{level + 1}"), "f": file(str(level))}
            )
        self.forest.plant("l1000", {})
        found = await self.paths(directory("l0"))
        self.assertEqual(len(found), 2001)
        self.assertEqual(found[-1], "/".join(["d"] * 1000))

    async def test_wide(self) -> None:
        """What waits goes to disk where it is much, and comes back in order."""
        names = [f"d{number:04}" for number in range(2000)]
        for name in names:
            self.forest.plant(name, {})
        root = self.forest.plant("wide", {name: directory(name) for name in names})
        self.assertEqual(await self.paths(root), ["", *names])
        self.assertEqual(list(self.place.iterdir()), [])

    async def test_unreadable(self) -> None:
        """A directory that cannot be read is told so, and the walk goes on."""
        self.forest.plant("good", {"f": file("f")})
        root = self.forest.plant(
            "root", {"bad": directory("bad"), "good": directory("good")}
        )
        found = await all_of(self.walk(root))
        self.assertEqual(paths(found), ["", "bad", "good", "good/f"])
        [bad] = [each for each in found if each.error is not None]
        self.assertEqual(bad.path, ("bad",))
        self.assertIsInstance(bad.error, NotEnoughMutableShares)

    async def test_unreadable_root(self) -> None:
        [only] = await all_of(self.walk(directory("nowhere")))
        self.assertIsInstance(only.error, NotEnoughMutableShares)

    async def test_read_ahead(self) -> None:
        """Many directories are read at once, and not more than that."""
        leaves = {f"d{number}": directory(f"d{number}") for number in range(100)}
        for name in leaves:
            self.forest.plant(name, {"f": file(name)})
        await self.paths(self.forest.plant("root", leaves))
        self.assertEqual(self.forest.most, READS)
        self.assertEqual(self.forest.reads, 101)

    async def test_slow_reader(self) -> None:
        """Who takes nothing more holds up the reads."""
        leaves = {f"d{number:03}": directory(f"d{number}") for number in range(300)}
        for number in range(300):
            self.forest.plant(f"d{number}", {})
        walk = self.walk(self.forest.plant("root", leaves))
        async with aclosing(walk.batches()) as batches:
            self.assertEqual(paths(await anext(batches)), [""])
            self.assertEqual(paths(await anext(batches)), ["d000"])
            await until(lambda: not self.forest.reading)
            self.assertLessEqual(self.forest.reads, READS + 2)

    async def test_cancel(self) -> None:
        """What is read for a walk that is cancelled is cancelled, too."""
        leaves = {f"d{number}": directory(f"d{number}") for number in range(100)}
        walk = self.walk(self.forest.plant("root", leaves))
        async with aclosing(walk.batches()) as batches:
            await anext(batches)
            self.forest.holds_up = True
            waiting = Deferred.fromCoroutine(anext(batches))
            await until(lambda: self.forest.reading == READS)
            waiting.cancel()
            with self.assertRaises(CancelledError):
                await waiting
        self.assertEqual(self.forest.reading, 0)

    async def test_changed(self) -> None:
        """What is linked behind a place comes, what is linked in front of it does not."""
        caps = {name: file(name) for name in ("a", "b", "c")}
        root = self.forest.plant("root", caps)
        cursor = (await all_of(self.walk(root)))[2].cursor  # of b
        self.forest.plant("root", caps | {"aa": file("aa"), "bb": file("bb")})
        self.assertEqual(paths(await all_of(self.walk(root, cursor))), ["bb", "c"])
        self.forest.plant("root", {"c": file("c")})
        self.assertEqual(paths(await all_of(self.walk(root, cursor))), ["c"])

    async def test_lost_in_front(self) -> None:
        """
        What was read in front of a cursor and cannot be now ends the walk; what could not
        be read then does not.
        """
        caps = {name: directory(name) for name in ("bad", "good", "last")}
        for name in ("good", "last"):
            self.forest.plant(name, {"f": file(name)})
        root = self.forest.plant("root", caps)
        found = await all_of(self.walk(root))
        cursor = found[-2].cursor  # of last
        self.assertEqual(paths(await all_of(self.walk(root, cursor))), ["last/f"])
        self.forest.uproot("good")
        with self.assertRaises(NotEnoughMutableShares):
            await all_of(self.walk(root, cursor))
        behind = found[1].cursor  # of bad
        self.assertEqual(
            paths(await all_of(self.walk(root, behind))), ["good", "last", "last/f"]
        )

    async def test_settling(self) -> None:
        """While a gateway finds its servers, what cannot be read is tried again."""
        root = self.forest.plant("root", {"f": file("f")})
        self.forest.uproot("root")
        settling = Settling(REACTOR, 30.0)
        walker = Walker(self.forest, self.cpu, str(self.place), bytes, settling)
        found = Deferred.fromCoroutine(all_of(walker.walk(root)))
        await until(lambda: self.forest.reads)
        self.forest.plant("root", {"f": file("f")})
        self.assertEqual(paths(await found), ["", "f"])

    async def test_no_disk(self) -> None:
        """A walk that cannot write down what it has seen ends, and leaves nothing."""
        root = self.plant_example()
        walk = self.walk(root)
        walk._seen._most = 5
        self.place.rmdir()
        with self.assertRaises(WalkDiskFull):
            await all_of(walk)
        self.assertEqual(self.forest.reading, 0)

    async def test_memory(self) -> None:
        """Ten times the tree takes no more memory."""
        peaks = []
        for count in (3, 30):
            branches = {f"b{number}": directory(f"b{number}") for number in range(count)}
            for branch in branches:
                names = [f"{branch} {number}" for number in range(50)]
                for name in names:
                    self.forest.plant(name, {"f": file(name)})
                self.forest.plant(branch, {name: directory(name) for name in names})
            walk = self.walk(self.forest.plant(f"root{count}", branches))
            walk._seen._most = 100
            blocks, most = getallocatedblocks(), 0
            async with aclosing(walk.batches()) as batches:
                async for _ in batches:
                    most = max(most, getallocatedblocks() - blocks)
            peaks.append(most)
            self.assertEqual(walk.statistics.objects, 1 + count * 101)
        # An object that is kept has many blocks.
        self.assertLess(peaks[1] - peaks[0], 27 * 101)
