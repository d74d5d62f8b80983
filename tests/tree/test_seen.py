"""Tests of truckee.tree.seen."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.grids import new_directory, new_small_disk, new_workers
from truckee.tree.seen import Seen, WalkDiskFull


class SeenTests(TestCase):
    """What was seen, in memory and on disk."""

    timeout = 60

    def seen(self, place: Path, most: int = 10) -> Seen:
        """Return one that goes to disk beyond *most*."""
        seen = Seen(new_workers(self), str(place), b"k" * 32, most)
        self.addCleanup(seen.close)
        return seen

    async def test_both(self) -> None:
        """Each name is new once, before and after there is a table, in one call too."""
        place = new_directory(self)
        for most in (10, 1000):
            seen = self.seen(place, most)
            self.assertEqual(await seen.add(["a", "b", "a"]), [True, True, False])
            names = [f"name {number}" for number in range(100)]
            self.assertEqual(await seen.add([*names, *names]), [True] * 100 + [False] * 100)
            self.assertEqual(await seen.add(["a", "name 7", "c"]), [False, False, True])
            self.assertEqual(len(seen), 103)

    async def test_nameless(self) -> None:
        """Its file has no name, and nothing in it tells what it has."""
        place = new_directory(self)
        seen = self.seen(place)
        await seen.add([f"name {number}" for number in range(100)])
        self.assertIsNotNone(seen._table)
        self.assertEqual(list(place.iterdir()), [])

    async def test_full(self) -> None:
        """A full disk is told, and what was seen is given back."""
        place = new_small_disk(self, 1 << 20)
        seen = self.seen(place)
        with self.assertRaisesRegex(WalkDiskFull, "the disk is full"):
            for start in range(0, 500_000, 1000):
                await seen.add([f"name {start + more}" for more in range(1000)])
        await seen.close()

    async def test_bound(self) -> None:
        """It takes no more of a disk than it may."""
        seen = Seen(new_workers(self), str(new_directory(self)), b"k" * 32, 10, 20)
        self.addCleanup(seen.close)
        with self.assertRaises(WalkDiskFull):
            for start in range(0, 500_000, 1000):
                await seen.add([f"name {start + more}" for more in range(1000)])

    async def test_missing(self) -> None:
        place = new_directory(self)
        seen = self.seen(place / "nowhere")
        with self.assertRaisesRegex(WalkDiskFull, "not there"):
            await seen.add([str(number) for number in range(100)])
