"""Locks on disk."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import TestCase

from tests.frontends.webdav.test_lock_table import LOCK
from tests.grids import new_directory, new_workers
from truckee.frontends.webdav.locks import Locks, LocksNotKept

KEYS = ["root", "dir", "file"]


class LocksTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.path = new_directory(self) / "private" / "locks.json"
        self.path.parent.mkdir()
        self.workers = new_workers(self)
        self.time = 0.0
        self.locks = self.new()

    def new(self, path: Path | None = None) -> Locks:
        """Return the locks of another process."""
        random = iter(range(100))
        return Locks(
            path or self.path,
            self.workers,
            lambda: self.time,
            lambda size: next(random).to_bytes(size, "big"),
        )

    async def covering(self, locks: Locks) -> list[str]:
        """Return the tokens that hold for the file."""
        table = await locks.table()
        return [each.token for each in table.covering(KEYS, locks.now())]

    async def test_kept(self) -> None:
        """Who was told that it has a lock has it in the next process, until it expires."""
        async with self.locks.changing() as table:
            table.add(LOCK, 0)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        again = self.new()
        self.assertEqual(await self.covering(again), ["t"])
        self.time = 100.0
        self.assertEqual(await self.covering(again), [])

    async def test_failed_change(self) -> None:
        """What fails inside changes nothing."""
        with self.assertRaises(ZeroDivisionError):
            async with self.locks.changing() as table:
                table.add(LOCK, 0)
                raise ZeroDivisionError
        self.assertEqual(await self.covering(self.locks), [])
        self.assertFalse(self.path.exists())

    async def test_no_disk(self) -> None:
        """A lock that is not on disk is not given, and an unlock is not done."""
        async with self.locks.changing() as table:
            table.add(LOCK, 0)
        self.path.unlink()
        self.path.parent.rmdir()
        with self.assertRaises(LocksNotKept):
            async with self.locks.changing() as table:
                table.add(evolve(LOCK, key="other", token="u"), 0)
        with self.assertRaises(LocksNotKept):
            async with self.locks.changing() as table:
                table.remove("t", KEYS, 0)
        self.assertEqual(await self.covering(self.locks), ["t"])
        await self.locks.forget("file")  # of what is gone; no error

    async def test_forgotten(self) -> None:
        """A name that is gone takes its locks with it, on disk too."""
        async with self.locks.changing() as table:
            table.add(LOCK, 0)
        await self.locks.forget("dir")
        self.assertEqual(await self.covering(self.new()), [])

    async def test_damaged(self) -> None:
        """A file that is damaged is one without locks, and is written anew."""
        self.path.write_bytes(b'{"locks": [{"token": 1}]}')
        self.assertEqual(await self.covering(self.locks), [])
        async with self.locks.changing() as table:
            table.add(LOCK, 0)
        self.assertEqual(await self.covering(self.new()), ["t"])

    async def test_tokens(self) -> None:
        """Tokens are UUIDs, of all the randomness that they have room for."""
        first, second = self.locks.new_token(), self.locks.new_token()
        self.assertRegex(first, r"^urn:uuid:0{8}-0{4}-4000-8000-0{12}$")
        self.assertNotEqual(first, second)
