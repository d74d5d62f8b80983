"""Trees that are walked, from memory to memory, at once and one after the other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, new_directory, until
from truckee.cli.board import Board
from truckee.cli.crew import Crew
from truckee.cli.file_sender import opened
from truckee.cli.local_entries import Local
from truckee.cli.problems import Problem, Unreachable
from truckee.cli.tree_walk import Entry, Frame, TreeWalk


@define(eq=False)
class Item:
    """A file, or a directory with items in it."""

    name: str
    inner: list[Item] | None = None

    @property
    def shown(self) -> str:
        return self.name

    @property
    def is_directory(self) -> bool:
        return self.inner is not None

    @property
    def identity(self) -> object:
        return id(self)

    async def children(self) -> Sequence[Entry]:
        if self.name == "unreadable":
            raise PermissionError(13, "x")
        return self.inner or []

    def renamed(self, name: str) -> Item:
        return Item(name, self.inner)


@define(eq=False)
class Memory:
    """Keeps what is stored, in lists; *broken* names fail."""

    broken: dict[str, Exception] = field(factory=dict)
    waiting: list[Deferred[None]] = field(factory=list)
    wait: bool = False
    closed: list[str] = field(factory=list)

    async def open(self, entry: Entry, parent: Frame) -> list[Any]:
        self._fail(entry.name)
        return [entry.name]

    async def store(self, entry: Entry, frame: Frame) -> None:
        if self.wait:
            self.waiting.append(Deferred())
            await self.waiting[-1]
        self._fail(entry.name)
        assert isinstance(frame.target, list)
        frame.target.append(entry.name)

    async def close(self, frame: Frame) -> None:
        assert isinstance(frame.target, list)
        name, *rest = frame.target
        self.closed.append(name)
        self._fail(f"close {name}")
        if frame.parent is not None:
            assert isinstance(frame.parent.target, list)
            frame.parent.target.append([name, *sorted(rest, key=first)])

    def _fail(self, name: str) -> None:
        if name in self.broken:
            raise self.broken[name]


def first(stored: Any) -> str:
    """Return the name of what was stored."""
    return str(stored if isinstance(stored, str) else stored[0])


class TreeWalkTests(TestCase):
    def setUp(self) -> None:
        """Have nothing told."""
        self.told: list[str] = []

    async def walk(
        self, target: Memory, *items: Item, jobs: int = 3, reactor: Any = REACTOR
    ) -> list[Any]:
        """Return what was stored below the top."""
        top: list[Any] = ["top"]
        walk = TreeWalk(Crew(reactor, jobs), target, lambda p: self.told.append(p.message))
        await walk.run(Frame(None, None, top), items)
        return sorted(top[1:], key=first)

    async def test_each_after_what_is_in_it(self) -> None:
        """A directory is closed once, when all in it is done; an empty one, too."""
        items = [
            Item("d", [Item("a"), Item("e", [Item("b"), Item("f", [])]), Item("c")]),
            Item("z"),
        ]
        target = Memory()
        stored = await self.walk(target, *items)
        self.assertEqual(stored, [["d", "a", "c", ["e", "b", ["f"]]], "z"])
        self.assertEqual(target.closed, ["f", "e", "d", "top"])

    async def test_bounded(self) -> None:
        """No more files are under way than is said, and a directory waits for its own."""
        target = Memory(wait=True)
        walking = Deferred.fromCoroutine(
            self.walk(target, Item("d", [Item(str(n)) for n in range(10)]), jobs=4)
        )
        for done in range(10):
            await until(lambda: len(target.waiting) == min(10, done + 4))  # noqa: B023
            self.assertEqual(target.closed, [])
            target.waiting[done].callback(None)
        self.assertEqual(await walking, [["d", *map(str, range(10))]])

    async def test_opened_ahead(self) -> None:
        """The next directories are opened at once, a few of them."""
        asked: list[Deferred[None]] = []

        class Slow(Item):
            async def children(self) -> Sequence[Entry]:
                asked.append(Deferred())
                await asked[-1]
                return await super().children()

        items = [Slow(str(n), [Item("f")]) for n in range(9)]
        walking = Deferred.fromCoroutine(self.walk(Memory(), *items, jobs=8))
        for done in range(9):
            await until(lambda: len(asked) == min(9, done + 4))  # noqa: B023
            asked[done].callback(None)
        self.assertEqual(await walking, [[str(n), "f"] for n in range(9)])

    async def test_deep(self) -> None:
        """A tree may be deeper than Python's stack."""
        item = Item("bottom")
        for _ in range(3000):
            item = Item("d", [item])
        target = Memory()
        await self.walk(target, item)
        self.assertEqual(len(target.closed), 3001)

    async def test_failures(self) -> None:
        """What fails is told of, in a sentence, and the rest is done."""
        target = Memory(
            {
                "gone": FileNotFoundError(2, "x"),
                "bad": Problem("bad: refused"),
                "no": Problem("no: not there"),
                "close shut": Problem("shut: refused"),
            }
        )
        stored = await self.walk(
            target,
            Item("d", [Item("gone"), Item("bad"), Item("good")]),
            Item("no", [Item("inner")]),
            Item("shut", [Item("inner")]),
            Item("unreadable", []),
        )
        self.assertEqual(stored, [["d", "good"]])
        self.assertEqual(
            sorted(self.told),
            [
                "bad: refused",
                "gone: No such file or directory",
                "no: not there",
                "shut: refused",
                "unreadable: Permission denied",
            ],
        )

    async def test_loops(self) -> None:
        """A directory in itself is passed over, one that is there twice is not."""
        loop = Item("loop", [Item("a")])
        assert loop.inner is not None
        loop.inner.append(Item("sub", [loop]))
        twice = Item("twice", [Item("b")])
        stored = await self.walk(Memory(), loop, Item("d", [twice]), twice)
        self.assertEqual(
            stored, [["d", ["twice", "b"]], ["loop", "a", ["sub"]], ["twice", "b"]]
        )
        self.assertEqual(self.told, ["loop contains itself, and is passed over"])

    async def test_given_up(self) -> None:
        """A fault ends all of it, and what is under way is cut off."""
        target = Memory({"1": ZeroDivisionError()}, wait=True)
        walking = Deferred.fromCoroutine(
            self.walk(target, *(Item(str(n)) for n in range(9)))
        )
        await until(lambda: len(target.waiting) == 3)
        target.waiting[1].callback(None)
        await self.assertFailure(walking, ZeroDivisionError)
        self.assertLess(len(target.waiting), 6)

    async def test_gateway_away(self) -> None:
        """It is tried again while the gateway is away."""
        target, clock = Memory({"f": Unreachable("away")}), Clock()
        walking = Deferred.fromCoroutine(self.walk(target, Item("f"), reactor=clock))
        clock.advance(1)
        clock.advance(1)
        target.broken.clear()
        self.assertNoResult(walking)
        clock.advance(1)
        self.assertEqual(await walking, ["f"])
        self.assertEqual(self.told, [])
        target.broken["f"] = Unreachable("away")
        walking = Deferred.fromCoroutine(self.walk(target, Item("f"), reactor=clock))
        clock.pump([1, 2, 4, 7])
        self.assertNoResult(walking)
        clock.advance(1)
        self.failureResultOf(walking, Unreachable)


class LocalTests(TestCase):
    async def test_vanished(self) -> None:
        """What is gone between two looks is told of; what became a FIFO is not awaited."""
        place = new_directory(self)
        for name in ("a", "b", "c"):
            (place / name).write_bytes(b"x")
        told: list[str] = []
        local = Local(False, told.append, lambda p: told.append(p.message))
        top = local.entry(str(place), "top")
        assert top is not None
        entries = {entry.name: entry for entry in await top.children()}
        (place / "a").unlink()
        (place / "b").unlink()
        os.mkfifo(place / "b")
        (place / "c").unlink()
        (place / "c").symlink_to("/etc/passwd")
        for name, kind in (("a", FileNotFoundError), ("b", Problem), ("c", OSError)):
            with self.assertRaises(kind), opened(entries[name].path, name, False):
                self.fail("it was opened")
        await top.children()
        self.assertEqual(len(told), 2)


class BoardTests(TestCase):
    def test_lines(self) -> None:
        """How much is done, how fast, and for how long still."""
        now = [0.0]
        board = Board(None, lambda: now[0])
        board.total = 10_000_000
        board.begin("key", "name", 4_000_000)
        now[0] = 2.0
        board.moved("key", 2_000_000)
        self.assertEqual(
            board.line(2.0), "0 files, 2.0 MB of 10.0 MB, 20%  1.0 MB/s  0:08 left"
        )
        board.end("key")
        board.copied(4_000_000)
        board.was_there(1)
        self.assertEqual(
            board.summary("copied"), "1 file copied, 4.0 MB; 1 file there already"
        )
        self.assertFalse(board.is_seen)
