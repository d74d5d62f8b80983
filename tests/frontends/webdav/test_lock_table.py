"""Locks, in made-up time."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.webdav.lock_table import (
    LONGEST,
    MOST,
    MOST_OF_CLIENT,
    Lock,
    LockConflict,
    LockTable,
    NoSuchLock,
    TooManyLocks,
    wanted_timeout,
)

LOCK = Lock("t", "file", ("root", "dir"), True, False, "<o/>", "client", 60, 100.0)
SHARED = evolve(LOCK, exclusive=False)
DIRECTORY = evolve(LOCK, key="dir", above=("root",), deep=True, token="d")


class ConflictTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.table = LockTable()

    def refuse(self, lock: Lock, now: float = 0.0) -> None:
        error = self.assertRaises(LockConflict, self.table.add, lock, now)
        self.assertEqual(len(error.keys), 1)

    def test_exclusive(self) -> None:
        """One who has it alone shares it with nobody."""
        self.table.add(LOCK, 0)
        self.refuse(evolve(LOCK, token="u"))
        self.refuse(evolve(SHARED, token="u"))

    def test_shared(self) -> None:
        """Several share, and keep out who wants it alone."""
        self.table.add(SHARED, 0)
        self.table.add(evolve(SHARED, token="u"), 0)
        self.assertRaises(LockConflict, self.table.add, evolve(LOCK, token="v"), 0)
        self.assertEqual(len(self.table), 2)

    def test_deep(self) -> None:
        """A directory that is locked in depth has what is in it; else only itself."""
        self.table.add(DIRECTORY, 0)
        self.refuse(LOCK)
        self.table.remove("d", ["root", "dir"], 0)
        self.table.add(evolve(DIRECTORY, deep=False), 0)
        self.table.add(LOCK, 0)

    def test_inside(self) -> None:
        """What is locked keeps a lock in depth from the directories above it."""
        self.table.add(LOCK, 0)
        self.refuse(DIRECTORY)
        self.table.add(evolve(DIRECTORY, deep=False), 0)

    def test_other_place(self) -> None:
        """The same name elsewhere is something else."""
        self.table.add(LOCK, 0)
        self.table.add(evolve(LOCK, key="other", token="u"), 0)

    def test_expired(self) -> None:
        """When its time is over it is in nobody's way."""
        self.table.add(LOCK, 0)
        self.refuse(evolve(LOCK, token="u", until=500.0), 99.9)
        self.table.add(evolve(LOCK, token="u", until=500.0), 100.0)
        self.assertEqual([each.token for each in self.table], ["u"])

    def test_bounds(self) -> None:
        """One client has so many, all have so many."""
        for number in range(MOST):
            client = str(number // MOST_OF_CLIENT)
            self.table.add(evolve(LOCK, key=f"k{number}", client=client), 0)
            if number == MOST_OF_CLIENT - 1:
                self.assertRaises(TooManyLocks, self.table.add, evolve(LOCK, client="0"), 0)
        self.assertRaises(TooManyLocks, self.table.add, evolve(LOCK, client="new"), 0)
        self.table.add(evolve(LOCK, client="new", until=1000.0), 100.0)


class UseTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.table = LockTable()
        self.keys = ["root", "dir", "file"]

    def test_renewed(self) -> None:
        """It lasts as long again from now, for one who names it."""
        self.table.add(LOCK, 0)
        self.assertEqual(self.table.renew(["x", "t"], self.keys, 50, 90.0).until, 140.0)
        self.assertEqual(len(self.table.covering(self.keys, 120.0)), 1)
        for tokens, keys, now in (
            (["x"], self.keys, 90.0),
            (["t"], ["root", "dir", "other"], 90.0),
            (["t"], self.keys, 140.0),
        ):
            self.assertRaises(NoSuchLock, self.table.renew, tokens, keys, 50, now)

    def test_emptied(self) -> None:
        """A mark is one lock's on the file itself, and lasts as long, renewed or not."""
        self.table.add(evolve(SHARED, token="u"), 0)
        self.table.add(SHARED, 0)
        self.assertFalse(self.table.mark("file", ["x"], "m", 0))
        self.assertFalse(self.table.mark("dir", ["t"], "m", 0))
        self.assertTrue(self.table.mark("file", ["x", "t"], "m", 0))
        self.assertEqual([each.emptied for each in self.table], ["", "m"])
        self.table.renew(["t"], self.keys, 50, 90.0)
        self.assertEqual(self.table.emptied("file", 139.9), "m")
        self.assertEqual(self.table.emptied("file", 140.0), "")
        self.table.unmark("file")
        self.table.unmark("other")
        self.assertEqual(self.table.emptied("file", 0), "")

    def test_removed(self) -> None:
        """It is given back under what it holds for, once."""
        self.table.add(DIRECTORY, 0)
        self.assertRaises(NoSuchLock, self.table.remove, "d", ["root", "other"], 0)
        self.assertEqual(self.table.remove("d", self.keys, 0).key, "dir")
        self.assertRaises(NoSuchLock, self.table.remove, "d", self.keys, 0)

    def test_forgotten(self) -> None:
        """What is gone has no locks, and nothing in it has."""
        for lock in (LOCK, evolve(LOCK, key="dir", above=("root",), token="d")):
            self.table.add(lock, 0)
        self.table.add(evolve(LOCK, key="f2", above=("root", "dir2")), 0)
        self.assertTrue(self.table.forget("dir"))
        self.assertFalse(self.table.forget("dir"))
        self.assertEqual([each.key for each in self.table], ["f2"])

    def test_packed(self) -> None:
        """A table comes back as it was; what is damaged is none."""
        for lock in (LOCK, DIRECTORY, evolve(SHARED, key="s", token="s")):
            self.table._by_key.setdefault(lock.key, []).append(lock)
        self.table.mark("file", ["t"], "m", 0)
        self.assertEqual(list(LockTable.load(self.table.pack())), list(self.table))
        for packed in (b"", b"{}", b"[]", b'{"locks": [{}]}', b'{"locks": 1}', b"\xff"):
            self.assertRaises(ValueError, LockTable.load, packed)

    def test_timeout(self) -> None:
        """The first one that is understood, up to an hour."""
        for header, wanted in (
            (None, LONGEST),
            ("Second-60", 60),
            ("Infinite, Second-60", LONGEST),
            ("Nonsense, Second-5", 5),
            ("Second-0", 1),
            ("Second-99999999999999999999", LONGEST),
            ("Second--5", LONGEST),
            ("second-\u0663", LONGEST),
        ):
            self.assertEqual(wanted_timeout(header), wanted, header)
