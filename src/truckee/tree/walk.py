"""
All that is below a directory, each object once, in the order of stock gateways.

Source: ``docs/formats/walk-cursor.md``, "Order".  A directory comes before what is in it:
what is of an unknown kind by name, then files by name, then directories by name, each with
all that is below it.  An object counts as met when its directory is listed, so one that is
linked often stands where it was listed first.

In memory is the way from the root to here, with some of the directories beside it that are
still to come, and what is read ahead.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence

from attrs import define, field, frozen

from truckee.codec.caps import DirectoryCap
from truckee.codec.children import Child, child_from_caps
from truckee.codec.walk_cursor import Cursor, Place, Rank, place_of
from truckee.errors import TruckeeError
from truckee.flow.cpu import Workers
from truckee.flow.spool import Spool
from truckee.flow.spooled_lines import NewSpool
from truckee.tree.ahead import READS, Ahead, ReadsDirectories, Settling
from truckee.tree.directories import Directory
from truckee.tree.listing import Found, Listing, found
from truckee.tree.seen import Seen
from truckee.tree.tree_statistics import TreeStatistics
from truckee.tree.waiting import Waiting

# Of all that is spooled of one kind: tables, directories that wait.
_SPOOL_LIMIT = 16 << 30  # bytes
_KEY_SIZE = 32  # bytes

Path = tuple[str, ...]


@frozen
class Walked:
    """One object, where it was met."""

    path: Path
    child: Child
    verify: str  # its verify cap; empty: it has none
    rank: Rank
    unreadable: int  # directories that could not be read up to here, this one too
    error: TruckeeError | None = None  # why this one could not be read

    @property
    def place(self) -> Place:
        """Where it is in the order of the walk."""
        return place_of(self.path, self.rank)

    @property
    def cursor(self) -> Cursor:
        """Where a walk continues behind it."""
        return Cursor(self.place, self.unreadable)


@define(eq=False)
class Walk:
    """One walk; ``batches`` is called once, under ``aclosing``."""

    _root: DirectoryCap
    _directories: ReadsDirectories
    _seen: Seen
    _new_spool: NewSpool
    _after: Cursor | None  # what is met up to there is counted, and not given
    _settling: Settling
    statistics: TreeStatistics = field(factory=TreeStatistics, init=False)
    _ahead: Ahead = field(init=False)
    _stack: list[Waiting] = field(factory=list, init=False, repr=False)
    _unreadable: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._ahead = Ahead(self._directories, self._settling)

    @property
    def cpu(self) -> Workers:
        """Where its parts are worked on."""
        return self._directories.cpu

    async def batches(self) -> AsyncGenerator[list[Walked], None]:
        """
        Give what is met, in order, some at a time.

        A directory that cannot be read is given with its error, and the walk goes on.

        :raises WalkDiskFull: :raises SpoolDiskFull: when what was seen, or is to come,
            finds no place on disk.
        :raises TruckeeError: when a directory in front of the cursor cannot be read that
            could be read then: what is in it would be missing, or come twice.
        """
        try:
            root = found("", child_from_caps(str(self._root), None))
            await self._fresh([root])
            async for batch in self._visit((), root):
                yield batch
            while self._stack:
                waiting = self._stack[-1]
                first = await waiting.take()
                if first is None:
                    await self._stack.pop().close()
                    continue
                async for batch in self._visit((*waiting.path, first.name), first):
                    yield batch
        finally:
            await self._ahead.stop()
            while self._stack:
                await self._stack.pop().close()
            await self._seen.close()

    async def _visit(self, path: Path, here: Found) -> AsyncGenerator[list[Walked], None]:
        """Give a directory, and what is in it but for directories, which wait."""
        cap = here.child.cap
        assert isinstance(cap, DirectoryCap)
        self._ahead.look(self._coming(cap))
        read = await self._ahead.take(cap)
        error = None if isinstance(read, Directory) else read
        self._unreadable += error is not None
        shown = Walked(
            path, here.child, here.verify, Rank.DIRECTORY, self._unreadable, error
        )
        self._check(shown)
        for batch in self._behind([shown]):
            yield batch
        if not isinstance(read, Directory):
            self.statistics.add_directory(None, 0)
            return
        listing = Listing(read, self.cpu)
        async for unknown in listing.of(Rank.UNKNOWN):
            for batch in self._behind(self._others(path, unknown, Rank.UNKNOWN)):
                yield batch
        self.statistics.add_directory(listing.size, listing.children)
        # So that they are read while what is in front of them goes out.
        await self._push(path, listing)
        async for files in listing.of(Rank.FILE):
            fresh = await self._fresh(files)
            for batch in self._behind(self._others(path, fresh, Rank.FILE)):
                yield batch

    def _check(self, shown: Walked) -> None:
        """Raise the error of a directory that could be read when the cursor was made."""
        after, error = self._after, shown.error
        if after is None or error is None or shown.place > after.place:
            return
        if self._unreadable > after.unreadable:
            raise error

    async def _push(self, path: Path, listing: Listing) -> None:
        """Let the directories of one that was listed wait."""
        waiting = Waiting(path, self._new_spool, self.cpu)
        self._stack.append(waiting)
        async for batch in listing.of(Rank.DIRECTORY):
            await waiting.add(await self._fresh(batch))
        self._ahead.look(self._coming())

    def _coming(self, *first: DirectoryCap) -> Iterator[DirectoryCap]:
        """Give the directories that come next, as far as they are known."""
        yield from first
        for waiting in reversed(self._stack):
            for each in waiting.near(READS):
                assert isinstance(each.child.cap, DirectoryCap)
                yield each.child.cap

    async def _fresh(self, batch: Sequence[Found]) -> list[Found]:
        """Return those that were not met before."""
        names = [each.verify for each in batch if each.verify]
        new = iter(await self._seen.add(names))
        # Without a verify cap it is no object: what is in its cap is met each time.
        return [each for each in batch if not each.verify or next(new)]

    def _others(self, path: Path, batch: Sequence[Found], rank: Rank) -> list[Walked]:
        for each in batch:
            self.statistics.add_other(each.child)
        lost = self._unreadable
        return [
            Walked((*path, each.name), each.child, each.verify, rank, lost)
            for each in batch
        ]

    def _behind(self, batch: list[Walked]) -> Iterator[list[Walked]]:
        """Give the part of *batch* that is behind the cursor, if there is one."""
        after = self._after
        if after is not None:
            batch = [each for each in batch if each.place > after.place]
            if batch:
                self._after = None  # and so is all that follows
        if batch:
            yield batch


async def one_by_one(
    batches: AsyncIterator[Sequence[Walked]],
) -> AsyncGenerator[Walked, None]:
    """Give what is in *batches*."""
    async for batch in batches:
        for each in batch:
            yield each


@define(eq=False)
class Walker:
    """Begins walks."""

    directories: ReadsDirectories
    _disk: Workers
    _spools: str  # a directory
    _random: Callable[[int], bytes]
    settling: Settling

    def walk(self, root: DirectoryCap, after: Cursor | None = None) -> Walk:
        """Return a walk of all that is below *root*, which gives what is behind *after*."""
        seen = Seen(self._disk, self._spools, self._random(_KEY_SIZE))
        return Walk(root, self.directories, seen, self.new_spool, after, self.settling)

    def new_spool(self) -> Spool:
        """Return a spool for what is known of a tree."""
        return Spool(self._disk, self._spools, _SPOOL_LIMIT)
