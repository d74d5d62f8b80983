"""The cache of ciphertext: bounded, forgetful, and never wrong."""

from __future__ import annotations

import contextlib
import os
import random
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.grids import (
    files_below,
    new_directory,
    new_small_disk,
    new_workers,
    pause,
    space_used,
    until,
)
from truckee.codec.cached import entry_name
from truckee.codec.caps import ChkVerifyCap
from truckee.codec.geometry import round_up
from truckee.immutable.download.cache import Cache, CacheLimits
from truckee.immutable.download.cache_files import CacheFiles, space_of

CAP = ChkVerifyCap(b"i" * 16, b"u" * 32, 3, 10, 10**9)
SPACE = space_of(8000)


def data_of(part: int, size: int = 8000) -> bytes:
    """Return what a part of the file is."""
    return random.Random(part).randbytes(size)


def space_used_by(paths: list[Path]) -> int:
    """Return the bytes of disk that files take, of which some may be gone meanwhile."""
    found = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            found += round_up(path.stat().st_size, 4096)
    return found


class _Case(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.disk = new_workers(self)
        self.path = new_directory(self) / "cache"

    async def new_cache(
        self, limit: int = 1 << 20, path: Path | None = None, start: bool = True
    ) -> Cache:
        """Return a cache in use."""
        limits = CacheLimits(limit, expire_after=3600.0, check_interval=600.0)
        files = CacheFiles(path or self.path)
        cache = Cache(files, limits, self.disk, self.clock, self.clock.seconds)
        if start:
            await cache.start()
            self.addCleanup(cache.stop)
        return cache

    async def fill(self, cache: Cache, *parts: int) -> None:
        """Put parts and wait until they are written."""
        for part in parts:
            cache.put(CAP, part, data_of(part))
        await until(lambda: not cache._writing)

    async def held(self, cache: Cache, parts: range) -> list[int]:
        """Return which parts come back, and check that they are right."""
        found = []
        for part in parts:
            data = await cache.get(CAP, part)
            if data is not None:
                self.assertEqual(data, data_of(part))
                found.append(part)
        return found

    def file(self, part: int) -> Path:
        """Return the file of an entry."""
        name = entry_name(CAP, part)
        return self.path / name[:2] / name

    def touch(self, part: int, age: float) -> None:
        """Have an entry used so many seconds ago."""
        used = self.clock.seconds() - age
        os.utime(self.file(part), (used, used))


class CacheTests(_Case):
    async def test_put_and_get(self) -> None:
        """What was put comes back, before it is written and after, and is counted."""
        cache = await self.new_cache()
        self.assertIsNone(await cache.get(CAP, 1))
        cache.put(CAP, 1, data_of(1))
        self.assertEqual(await cache.get(CAP, 1), data_of(1))
        await self.fill(cache)
        self.assertEqual(await cache.get(CAP, 1), data_of(1))
        status = cache.status
        self.assertEqual((status.hits, status.misses, status.entries), (2, 1, 1))
        self.assertEqual((status.size, status.limit), (SPACE, 1 << 20))
        self.assertEqual(len(files_below(self.path)), 1)

    async def test_modes(self) -> None:
        """Nobody but the owner can look into it."""
        cache = await self.new_cache()
        await self.fill(cache, 1)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o700)
        self.assertEqual(self.file(1).stat().st_mode & 0o777, 0o600)

    async def test_least_recently_used_go(self) -> None:
        """When there is no room, those go that were not used for longest."""
        cache = await self.new_cache(4 * SPACE)
        await self.fill(cache, 1, 2, 3, 4)
        await cache.get(CAP, 1)
        await self.fill(cache, 5, 6)
        self.assertEqual(await self.held(cache, range(7)), [1, 4, 5, 6])
        self.assertEqual(len(files_below(self.path)), 4)

    async def test_bound(self) -> None:
        """The disk never has more than the limit, whatever is put and read."""
        limit = 40 * SPACE
        cache = await self.new_cache(limit)
        rng = random.Random(1)
        peak = 0
        for _ in range(400):
            part = rng.randrange(200)
            if await cache.get(CAP, part) is None:
                cache.put(CAP, part, data_of(part, rng.choice([50, 5000, 8000])))
            await pause(0.001)
            peak = max(peak, space_used_by(files_below(self.path)))
            self.assertLessEqual(cache.status.size, limit)
        await self.fill(cache)
        self.assertGreater(peak, limit / 2)
        self.assertLessEqual(peak, limit)
        self.assertEqual(cache._waiting, 0)

    async def test_too_large(self) -> None:
        """What is larger than all of it is not kept, and nothing goes for it."""
        cache = await self.new_cache(2 * SPACE)
        await self.fill(cache, 1)
        cache.put(CAP, 2, bytes(3 * SPACE))
        self.assertEqual(await self.held(cache, range(3)), [1])
        self.assertEqual(cache.status.dropped, 1)

    async def test_queue(self) -> None:
        """A disk that is slow is not waited for: what is too much is not kept."""
        cache = await self.new_cache(1 << 30)
        for part in range(20):
            cache.put(CAP, part, bytes(1 << 20))
        self.assertEqual(cache.status.dropped, 12)
        self.assertEqual(cache.status.entries, 8)

    async def test_put_again_while_it_goes(self) -> None:
        """Parts that come and go faster than they are written leave nothing wrong."""
        cache = await self.new_cache(2 * SPACE)
        for part in (1, 2, 3, 1, 2, 3, 1, 1, 2):
            cache.put(CAP, part, data_of(part))
        await self.fill(cache)
        self.assertEqual(await self.held(cache, range(4)), [1, 2])
        self.assertEqual(
            sorted(files_below(self.path)), sorted([self.file(1), self.file(2)])
        )
        self.assertEqual((cache._waiting, cache.status.size), (0, 2 * SPACE))

    async def test_off(self) -> None:
        """With a limit of 0 nothing is kept, and what an earlier process left is gone."""
        await self.fill(await self.new_cache(), 1, 2)
        cache = await self.new_cache(0)
        await self.fill(cache, 3)
        self.assertEqual(await self.held(cache, range(4)), [])
        self.assertEqual(files_below(self.path), [])
        elsewhere = self.path / "x"
        await self.new_cache(0, elsewhere)
        self.assertFalse(elsewhere.exists())


class TimeTests(_Case):
    async def test_expiry(self) -> None:
        """What nobody used for an hour goes at the next check, without anybody's doing."""
        cache = await self.new_cache()
        await self.fill(cache, 1, 2)
        self.clock.advance(3000)
        await cache.get(CAP, 1)
        self.clock.pump([600] * 2)
        await self.fill(cache)
        self.assertEqual(files_below(self.path), [self.file(1)])
        self.assertEqual((cache.status.entries, cache.status.size), (1, SPACE))
        self.clock.pump([600] * 6)
        await self.fill(cache)
        self.assertEqual(files_below(self.path), [])

    async def test_next_process(self) -> None:
        """The next process has what an earlier one left, in the order it was used."""
        cache = await self.new_cache()
        await self.fill(cache, 1, 2, 3, 4)
        cache.stop()
        for part, age in ((1, 10), (2, 30), (3, 20), (4, 3590)):
            self.touch(part, age)
        cache = await self.new_cache(2 * SPACE)
        self.assertEqual(sorted(cache._entries), sorted(map(self.name, (1, 3))))
        self.assertEqual(len(files_below(self.path)), 2)
        await self.fill(cache, 5)
        self.assertEqual(await self.held(cache, range(6)), [1, 5])

    async def test_clock_ahead(self) -> None:
        """With a clock that is days ahead, nothing goes before it was seen for its time."""
        cache = await self.new_cache()
        await self.fill(cache, 1)
        cache.stop()
        self.touch(1, 2 * 86400)
        cache = await self.new_cache()
        self.clock.pump([600] * 5)
        self.assertEqual(len(cache._entries), 1)
        self.clock.pump([600] * 2)
        self.assertEqual(len(cache._entries), 0)

    def name(self, part: int) -> str:
        return entry_name(CAP, part)

    async def test_before_the_start(self) -> None:
        """Until the disk was looked at, it is empty, and nothing is written."""
        cache = await self.new_cache(start=False)
        cache.put(CAP, 1, data_of(1))
        self.assertIsNone(await cache.get(CAP, 1))
        self.assertFalse(self.path.exists())


class DamageTests(_Case):
    async def test_every_damage(self) -> None:
        """A torn, flipped, cut, empty, swapped or missing entry is never served."""
        cache = await self.new_cache()

        def damage(part: int, how: str) -> None:
            path = self.file(part)
            data = path.read_bytes()
            if how == "missing":
                path.unlink()
            elif how == "swapped":
                path.write_bytes(self.file(99).read_bytes())
            elif how == "directory":
                path.unlink()
                path.mkdir()
            else:
                at = len(data) // 2
                path.write_bytes(
                    {
                        "torn": data[:at] + bytes(len(data) - at),
                        "flipped": data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :],
                        "cut": data[:at],
                        "longer": data + b"x",
                        "empty": b"",
                    }[how]
                )

        hows = ("torn", "flipped", "cut", "longer", "empty", "missing", "swapped")
        await self.fill(cache, *range(len(hows)), 99)
        for part, how in enumerate(hows):
            damage(part, how)
            self.assertIsNone(await cache.get(CAP, part), how)
            await self.fill(cache)
            self.assertFalse(self.file(part).exists(), how)
            await self.fill(cache, part)
            self.assertEqual(await cache.get(CAP, part), data_of(part))
        self.assertEqual(cache.status.damaged, len(hows) - 1)
        self.assertEqual(cache.status.entries, len(hows) + 1)

    async def test_begun(self) -> None:
        """What a dead process had begun is removed; files of others are left alone."""
        await self.fill(await self.new_cache(), 1)
        begun = self.file(1).with_suffix(".begun")
        begun.write_bytes(b"half")
        other = self.path / "notes.txt"
        other.write_text("mine")
        cache = await self.new_cache()
        self.assertEqual(await self.held(cache, range(2)), [1])
        self.assertEqual(files_below(self.path), sorted([self.file(1), other]))

    async def test_disk_full(self) -> None:
        """A full disk is no error of a reader: nothing is written for a while."""
        place = new_small_disk(self, 20 * 4096)
        cache = await self.new_cache(1 << 20, place / "cache")
        await self.fill(cache, *range(20))
        self.assertLess(space_used(place), 20 * 4096 + 1)
        self.assertGreater(cache.status.dropped, 0)
        held = await self.held(cache, range(20))
        self.assertGreater(len(held), 2)
        self.assertFalse([each for each in files_below(place) if each.suffix])
        dropped = cache.status.dropped
        cache.put(CAP, 30, data_of(30))
        self.assertEqual(cache.status.dropped, dropped + 1)
        self.clock.advance(61)
        await self.fill(cache, 31)
        self.assertGreater(cache.status.dropped, dropped)

    async def test_no_directory(self) -> None:
        """A place that cannot be used means that there is no cache, until it can."""
        self.path.write_text("a file")
        cache = await self.new_cache(start=False)
        with self.assertRaises(FileExistsError):
            await cache.start()
        cache.put(CAP, 1, data_of(1))
        self.assertIsNone(await cache.get(CAP, 1))
        self.assertEqual(cache.status.entries, 0)
        self.path.unlink()
        await cache.start()
        await self.fill(cache, 1)
        self.assertEqual(await cache.get(CAP, 1), data_of(1))

    async def test_stop_in_the_middle(self) -> None:
        """After a stop nothing new is written."""
        cache = await self.new_cache()
        for part in range(10):
            cache.put(CAP, part, data_of(part))
        cache.stop()
        waiting: Deferred[None] = Deferred()
        self.disk._reactor.callFromThread(waiting.callback, None)
        await waiting
        await until(lambda: not cache._writing)
        self.assertLessEqual(len(files_below(self.path)), 1)
