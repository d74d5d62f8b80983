"""Trees of files, walked from one place to another one, many files at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import Deferred

from truckee.cli.crew import Crew, Job
from truckee.cli.problems import Problem, Unreachable, reason_within

_AHEAD = 4  # directories that are opened before it is their turn


class Entry(Protocol):
    """A file or a directory that is copied."""

    @property
    def name(self) -> str:
        """Its last name; empty: what is in it has no directory around it."""

    @property
    def shown(self) -> str:
        """Where it is, for people."""

    @property
    def is_directory(self) -> bool:
        """Whether there is something in it."""

    @property
    def identity(self) -> object:
        """What is the same when a directory is met again below itself."""

    async def children(self) -> Sequence[Entry]:
        """Return what is in a directory.  :raises Problem: :raises OSError:"""

    def renamed(self, name: str) -> Entry:
        """Return it with another name at its target."""


@define(eq=False)
class Frame:
    """A directory that is being copied."""

    entry: Entry | None  # None: what is copied has no directory around it
    parent: Frame | None
    target: object  # what the other side keeps of it
    left: int = field(default=1, init=False)  # things in it that are not done, and itself

    def is_inside(self, identity: object) -> bool:
        """Tell whether it is the directory of that identity, or below it."""
        frame: Frame | None = self
        while frame is not None:
            if frame.entry is not None and frame.entry.identity == identity:
                return True
            frame = frame.parent
        return False


class Target(Protocol):
    """Where a tree is copied to."""

    async def open(self, entry: Entry, parent: Frame) -> object:
        """Begin a directory; return what is kept of it."""

    async def store(self, entry: Entry, frame: Frame) -> None:
        """Copy a file.  May be called again after it failed."""

    async def close(self, frame: Frame) -> None:
        """End a directory: all in it is done."""


@define(eq=False)
class _Level:
    """A directory on the way down, and what is in it."""

    frame: Frame
    entries: Sequence[Entry]
    at: int = 0
    # Directories that are opened before it is their turn, by their places.
    ahead: dict[int, Deferred[_Level | None]] = field(factory=dict)

    def next_directories(self, most: int) -> list[int]:
        """Return the places of the next directories."""
        places = range(self.at, len(self.entries))
        return list(islice((n for n in places if self.entries[n].is_directory), most))


@define(eq=False)
class TreeWalk:
    """
    Walks trees, each directory after what is in it.

    What fails for one file is told of and passed over; a gateway that is gone ends it.
    """

    _crew: Crew
    _target: Target
    _failed: Callable[[Problem], None]

    async def run(self, root: Frame, entries: Sequence[Entry]) -> None:
        """Copy *entries* into *root*.  :raises Unreachable:"""
        # No recursion: a tree may be deeper than Python's stack.
        stack = [_Level(root, entries)]
        while stack:
            level = stack[-1]
            frame = level.frame
            if level.at == len(level.entries):
                stack.pop()
                await self._crew.start(partial(self._done, frame))
                continue
            entry = level.entries[level.at]
            if entry.is_directory:
                opened = await self._opened(level)
                if opened is not None:
                    stack.append(opened)
            else:
                frame.left += 1
                await self._crew.start(partial(self._store, entry, frame))
            level.at += 1
        await self._crew.finish()

    async def _opened(self, level: _Level) -> _Level | None:
        """Open the directory whose turn it is, and begin with the next ones."""
        for place in level.next_directories(_AHEAD):
            if place not in level.ahead:
                level.ahead[place] = Deferred()
                opening = partial(self._open_for, level, place)
                await self._crew.start(opening)
        return await level.ahead.pop(level.at)

    async def _open_for(self, level: _Level, place: int) -> None:
        entry, opened = level.entries[place], level.ahead[place]
        found: list[_Level] = []
        try:
            await self._trying(partial(self._open, entry, level.frame, found), entry.shown)
        finally:
            # What ends all of it is heard of from the crew.
            opened.callback(found[0] if found else None)

    async def _open(self, entry: Entry, parent: Frame, found: list[_Level]) -> None:
        if parent.is_inside(entry.identity):
            raise Problem(f"{entry.shown} contains itself, and is passed over")
        children = await entry.children()
        frame = Frame(entry, parent, await self._target.open(entry, parent))
        parent.left += 1
        found.append(_Level(frame, children))

    async def _store(self, entry: Entry, frame: Frame) -> None:
        await self._trying(partial(self._target.store, entry, frame), entry.shown)
        await self._done(frame)

    async def _done(self, frame: Frame) -> None:
        """One thing more is done in *frame*; with the last one the directory ends."""
        inner: Frame | None = frame
        while inner is not None:
            inner.left -= 1
            if inner.left:
                return
            shown = "" if inner.entry is None else inner.entry.shown
            await self._trying(partial(self._target.close, inner), shown)
            inner = inner.parent

    async def _trying(self, work: Job[None], shown: str) -> None:
        """Do *work*, and tell of what fails in it."""
        try:
            await self._crew.attempt(work)
        except Unreachable:
            raise
        except Problem as problem:
            self._failed(problem)
        except OSError as error:
            self._failed(Problem(f"{shown}: {reason_within(error)}"))
