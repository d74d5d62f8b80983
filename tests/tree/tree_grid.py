"""Directories on real storage servers in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from attrs import define
from twisted.trial.unittest import SynchronousTestCase

from tests.grids import NOW, REACTOR
from tests.mutable.share_grid import SlotGrid
from tests.mutable.test_repair import new_files
from truckee.codec.caps import ChkReadCap, LiteralCap
from truckee.codec.children_json import GivenChild
from truckee.mutable.errors import UncoordinatedWrite
from truckee.mutable.files import MutableFiles
from truckee.mutable.publish import Publisher
from truckee.mutable.share_writes import Published
from truckee.mutable.versions import Versions
from truckee.tree.directories import Directories

HELLO = "URI:LIT:nbswy3dp"
WORLD = "URI:LIT:o5xxe3de"


def given(cap: str) -> GivenChild:
    """Return *cap* as a client gives it, without metadata."""
    return GivenChild.of(cap)


class Disturbed(Publisher):
    """One that is told of a conflict in a change, though its version was written."""

    conflicts = 0
    count = 0  # of versions

    async def publish(self, *args: Any) -> Published:
        self.count += 1
        done = await Publisher.publish(self, *args)
        known: Versions = args[2]
        if self.conflicts and known.shares:
            self.conflicts -= 1
            raise UncoordinatedWrite
        return done


@define(eq=False)
class TreeGrid:
    """Ten servers, and one gateway's directories on them."""

    grid: SlotGrid
    files: MutableFiles
    directories: Directories

    @classmethod
    def new(cls, case: SynchronousTestCase) -> TreeGrid:
        """Return one that lives as long as the test."""
        return cls.on(SlotGrid.new(case))

    def another(self) -> TreeGrid:
        """Return another gateway on the same servers, which remembers nothing."""
        return self.on(self.grid)

    @classmethod
    def on(cls, grid: SlotGrid) -> TreeGrid:
        """Return a gateway on the servers of *grid*."""
        files = new_files(grid, Disturbed)

        async def store(pieces: AsyncIterator[bytes], size: int) -> ChkReadCap | LiteralCap:
            return LiteralCap(b"".join([piece async for piece in pieces]))

        # What is immutable is literal here, so nothing is downloaded.
        downloader: Any = None
        directories = Directories(files, downloader, store, grid.cpu, lambda: NOW, REACTOR)
        return cls(grid, files, directories)

    def disturb(self, conflicts: int = 1) -> None:
        """Let the next versions be written, and be called conflicts."""
        publisher = self.files._publisher
        assert isinstance(publisher, Disturbed)
        publisher.conflicts = conflicts
