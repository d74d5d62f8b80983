"""
Directories: their tables, read, made and changed.

Source: ``docs/formats/directories.md``.  A mutable directory is a mutable file, and a
change of it is one that is made again when others write at the same time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Protocol

from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime

from truckee.codec.caps import (
    ChkReadCap,
    DirectoryCap,
    LiteralCap,
    MutableReadCap,
    MutableWriteCap,
)
from truckee.codec.children import Child
from truckee.codec.children_json import GivenChild
from truckee.codec.directory_children import (
    Link,
    new_entry,
    pack_mutable,
    read_child,
    read_immutable_child,
    read_immutable_link,
    read_link,
    set_link,
)
from truckee.codec.directory_entry import Entry
from truckee.codec.directory_table import DirectoryTable, parse_table
from truckee.codec.mutable_prefix import Prefix
from truckee.codec.new_table import NewTable
from truckee.errors import Misuse, Refused
from truckee.flow.cpu import Workers
from truckee.flow.limits import Budget
from truckee.flow.memory import give_back
from truckee.flow.together import Work
from truckee.immutable.download.downloader import Downloader
from truckee.immutable.upload.body import Body, FileTooLarge
from truckee.mutable.files import MutableFiles
from truckee.mutable.reader import MAX_WHOLE
from truckee.tree.change_numbers import ChangeNumbers
from truckee.tree.directory_cache import DirectoryCache, Key, Known
from truckee.tree.merged_changes import Asked, MergedChanges

FileReadCap = ChkReadCap | LiteralCap

# A table of so many bytes takes its memory from the system, and not of what is spare.
_LONG = 4 << 20
# Bytes of all tables that are listed at one time.
_LISTED = 128 << 20


@define
class ReadOnlyDirectory(Refused):
    """This cap only reads the directory; who has its write cap can change it."""


@define
class NotADirectory(Misuse):
    """{name!r} is not a directory, so it has no children."""

    name: str


@define
class CannotBeListed(Misuse):
    """This cap checks a directory and does not list it; ask for its read cap."""


@define
class DirectoryTooLarge(FileTooLarge):
    """
    The table of the directory would be larger than the {limit} bytes that are read at
    once: a child takes some 250, and its metadata. Link some of the children from
    directories of their own.
    """


class Store(Protocol):
    """Stores the content of an immutable directory as a file."""

    def __call__(self, pieces: AsyncIterator[bytes], size: int) -> Work[FileReadCap]:
        """Return its cap, the same one for the same content, of *size* bytes."""


@frozen(eq=False)
class Directory:
    """What a directory held at one time."""

    cap: DirectoryCap
    table: DirectoryTable = field(repr=False)
    version: Prefix | None = None  # of a mutable one that was read

    @property
    def write_key(self) -> bytes | None:
        """The key of its children's write caps; None: this cap cannot change it."""
        inner = self.cap.inner
        return inner.write_key if isinstance(inner, MutableWriteCap) else None

    @property
    def is_immutable(self) -> bool:
        """Whether it never changes."""
        return isinstance(self.cap.inner, FileReadCap)

    def link(self, name: str) -> Link | None:
        """Return what *name* stands for.  :raises BadDirectory:"""
        entry = self.table.get(name)
        return None if entry is None else self._read(entry)

    def links(self) -> Iterator[tuple[str, Link]]:
        """Give all names, sorted, with what they stand for; links against the rules not."""
        for entry in self.table:
            link = self._read(entry)
            if link is not None:
                yield entry.name, link

    def _read(self, entry: Entry) -> Link | None:
        if self.is_immutable:
            return read_immutable_link(entry)
        return read_link(entry, self.write_key)

    def child_of(self, entry: Entry) -> Child | None:
        """Return the child of an entry, whatever its metadata is; None as for ``links``."""
        if self.is_immutable:
            return read_immutable_child(entry)
        return read_child(entry, self.write_key)

    def with_link(self, name: str, given: GivenChild, now: float) -> Entry:
        """Return the entry that links a child under *name*, at *now* in Unix seconds."""
        old = self.link(name)
        before = None if old is None else old.metadata
        assert self.write_key is not None
        link = set_link(before, given.child, given.metadata, now)
        return new_entry(name, link, self.write_key)


# Given the directory as it is, returns it as it is to be; None: it stays as it is.  It is
# asked again with another one when somebody else wrote meanwhile, in a worker thread.
Change = Callable[[Directory], DirectoryTable | None]


@define(eq=False)
class Directories:
    """Reads and writes directories."""

    _files: MutableFiles
    _downloader: Downloader
    _store: Store
    cpu: Workers
    now: Callable[[], float]  # Unix seconds
    _clock: IReactorTime
    _listed: Budget = field(factory=lambda: Budget(_LISTED), init=False)
    _cache: DirectoryCache = field(init=False)
    _numbers: ChangeNumbers = field(factory=ChangeNumbers, init=False)
    _changes: MergedChanges[DirectoryCap, Change] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._cache = DirectoryCache(self._clock)
        self._changes = MergedChanges(self._write, self._clock)

    async def read(self, cap: DirectoryCap, recent: bool = False) -> Directory:
        """
        Return what a directory holds; *recent*: it may be what was written here just now.

        Others may have written since then.

        :raises BadDirectory: :raises FileTooLarge: :raises CannotBeListed:
        :raises NotEnoughShares: :raises NotEnoughMutableShares: when it cannot be read.
        """
        inner = cap.inner
        if isinstance(inner, LiteralCap):
            return Directory(cap, parse_table(inner.data))
        if not isinstance(inner, ChkReadCap | MutableReadCap | MutableWriteCap):
            raise CannotBeListed
        key = inner.read_cap() if isinstance(inner, MutableWriteCap) else inner
        known = self._cache.get(key)
        if known is None or not self._cache.is_current(known, recent):
            known = await self._look(key, known)
        return Directory(cap, known.table, known.version)

    @property
    def latest_change(self) -> int:
        """The number of the last change that was made here; see ``changed_since``."""
        return self._numbers.latest

    def changed_since(self, cap: DirectoryCap, number: int) -> bool:
        """Tell whether a directory may have changed here after the change *number*."""
        inner = cap.inner
        if isinstance(inner, MutableWriteCap):
            inner = inner.read_cap()
        return isinstance(inner, MutableReadCap) and self._numbers.since(inner, number)

    def hold(self, directory: Directory) -> AbstractAsyncContextManager[None]:
        """Have a table in memory while it is listed: slow clients hold those."""
        return self._listed.hold(len(directory.table.packed))

    async def _look(self, cap: Key, known: Known | None) -> Known:
        """Return what there is now."""
        version: Prefix | None = None
        packed: bytes | None
        if isinstance(cap, ChkReadCap):
            check_table_size(cap.size)
            opened = await self._downloader.open(cap)
            packed = await opened.read(0, cap.size).rest()
        else:
            before = None if known is None else known.version
            version, packed = await self._files.reader.read_newer(cap, before)
            if packed is None and known is not None:
                return known
        assert packed is not None
        table = await self.cpu.run(parse_table, packed)
        self._cache.found(cap, table, version)
        return Known(table, version)

    async def make(
        self,
        format: str = "SSK",
        links: Mapping[str, Link] | None = None,
        private_key: bytes | None = None,
    ) -> DirectoryCap:
        """
        Return the write cap of a new directory with *links*, whose metadata stays as it is.

        :raises BadMetadata: :raises FileTooLarge: and what ``MutableFiles.create`` raises
        """

        def make(cap: MutableWriteCap) -> Body:
            return Body.of(_checked(pack_mutable(links or {}, cap.write_key)))

        return DirectoryCap(await self._files.create_from(format, make, private_key))

    async def make_child(
        self, parent: DirectoryCap, name: str, format: str = "SSK"
    ) -> DirectoryCap:
        """
        Return the directory *name* in *parent*: a new one, unless another is there by now.

        :raises ReadOnlyDirectory: :raises NotADirectory: when there is something else
        """
        if not isinstance(parent.inner, MutableWriteCap):
            raise ReadOnlyDirectory
        there = (await self.read(parent)).link(name)
        if there is not None:
            return directory_of(there.child, name)
        made = await self.make(format)
        found = [made]

        def link(directory: Directory) -> DirectoryTable | None:
            there = directory.link(name)
            if there is not None:
                found[:] = [directory_of(there.child, name)]
                return None  # by somebody else, or by an earlier try
            found[:] = [made]
            given = GivenChild.of(made)
            return directory.table.changed([directory.with_link(name, given, self.now())])

        await self.change(parent, link)
        return found[0]

    async def make_immutable(self, table: NewTable) -> DirectoryCap:
        """
        Return the cap of a directory that never changes.

        :raises DirectoryTooLarge:
        """
        await self.cpu.run(table.sort)
        check_table_size(table.size)
        pieces = self._pieces(table.pieces())
        async with aclosing(pieces):
            return DirectoryCap(await self._store(pieces, table.size))

    async def _pieces(self, pieces: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
        while piece := await self.cpu.run(next, pieces, b""):
            yield piece

    async def change(self, cap: DirectoryCap, change: Change) -> None:
        """
        Make of a directory what *change* makes of it, maybe together with other changes.

        :raises ReadOnlyDirectory: :raises UncoordinatedWrite: :raises FileTooLarge: What
            *change* raises is raised too, and nothing is changed.
        """
        if not isinstance(cap.inner, MutableWriteCap):
            raise ReadOnlyDirectory
        await self._changes.make(cap, change)

    async def _write(self, cap: DirectoryCap, asked: list[Asked[Change]]) -> None:
        """Make several changes in one write."""
        inner = cap.inner
        assert isinstance(inner, MutableWriteCap)
        key = inner.read_cap()
        tables: list[DirectoryTable] = []
        known = self._cache.get(key)
        had = None
        if known is not None and known.version is not None:
            had = known.version, known.table.packed

        def rewrite(packed: bytes) -> bytes | None:
            if len(packed) >= _LONG:
                give_back()
            # It may be what was written last, and is parsed then.
            parsed = known is not None and known.table.packed is packed
            table = known.table if known and parsed else parse_table(packed)
            changed = _changed(Directory(cap, table), asked)
            tables[:] = [table if changed is None else changed]
            return None if changed is None else changed.packed

        try:
            version = await self._files.modify(inner, rewrite, had=had)
        except Exception:
            self._cache.drop(key)
            self._numbers.changed(key)
            raise
        if version is not None:
            self._cache.wrote(key, tables[0], version)
            self._numbers.changed(key)


def _changed(directory: Directory, asked: list[Asked[Change]]) -> DirectoryTable | None:
    """Return the table with all changes that can be made; None: it stays as it is."""
    found: DirectoryTable | None = None
    for each in asked:
        each.error = None
        try:
            table = each.change(directory)
            if table is not None:
                check_table_size(len(table.packed))
        except Exception as error:
            each.error = error
            continue
        if table is not None:
            found, directory = table, Directory(directory.cap, table)
    return found


def directory_of(child: Child, name: str) -> DirectoryCap:
    """Return the directory that *child*, called *name*, is.  :raises NotADirectory:"""
    if not isinstance(child.cap, DirectoryCap):
        raise NotADirectory(name)
    return child.cap


def _checked(packed: bytes) -> bytes:
    """Return a table that can be read again.  :raises DirectoryTooLarge:"""
    check_table_size(len(packed))
    return packed


def check_table_size(size: int) -> None:
    """:raises DirectoryTooLarge: when a table of so many bytes could not be read"""
    if size > MAX_WHOLE:
        raise DirectoryTooLarge(MAX_WHOLE)
