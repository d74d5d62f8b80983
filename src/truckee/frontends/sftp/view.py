"""What one session sees of a tree: files, directories, and what it writes itself."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Sequence

from attrs import define, evolve, field, frozen
from twisted.internet.interfaces import IReactorTime

from truckee.codec.caps import DirectoryCap, MutableReadCap, MutableWriteCap
from truckee.codec.children import Child
from truckee.codec.directory_children import Link
from truckee.codec.directory_name import normalize_name
from truckee.errors import TruckeeError
from truckee.flow.recently_used import RecentlyUsed
from truckee.flow.together import together
from truckee.frontends.sftp.attributes import Attributes
from truckee.frontends.sftp.contents import Contents
from truckee.frontends.sftp.errors import NoSuchFile
from truckee.frontends.sftp.writing import Writing, Writings
from truckee.tree.directories import Directories, Directory
from truckee.tree.link_times import modified
from truckee.tree.paths import Paths, Place

# A directory that this session has read is not read again for so long: programs ask for
# the attributes of each file that they have just listed.
_FRESH = 1.0  # seconds
_MOST_FRESH = 16 << 20  # bytes of tables
# Names of a listing that are made at once, and looks at mutable files.
BATCH = 100
_LOOKS = 8


@frozen
class _Seen:
    directory: Directory
    at: float
    change: int  # the last one of this gateway before it was read


@define(eq=False)
class SeenDirectories:
    """Directories as one session has read them lately."""

    directories: Directories
    _clock: IReactorTime
    _seen: RecentlyUsed[DirectoryCap, _Seen] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._seen = RecentlyUsed(
            _MOST_FRESH, lambda seen: len(seen.directory.table.packed)
        )

    async def read(self, cap: DirectoryCap, recent: bool = False) -> Directory:
        """Return what a directory holds, or held a moment ago; see ``Directories``."""
        seen = self._seen.get(cap)
        now = self._clock.seconds()
        fresh = seen is not None and now - seen.at < _FRESH
        # Other sessions, and programs that use the web API, change it here, too.
        if seen and fresh and not self.directories.changed_since(cap, seen.change):
            return seen.directory
        change = self.directories.latest_change
        directory = await self.directories.read(cap, recent=True)
        self._seen.put(cap, _Seen(directory, now, change))
        return directory

    async def make_child(
        self, parent: DirectoryCap, name: str, format: str = "SSK"
    ) -> DirectoryCap:
        """See ``Directories``."""
        self.changed()
        return await self.directories.make_child(parent, name, format)

    def changed(self) -> None:
        """This session changes something: look again."""
        self._seen.clear()


@define(eq=False)
class View:
    """Looks things up by names from the root of an account."""

    root: DirectoryCap
    seen: SeenDirectories
    contents: Contents
    writings: Writings
    _owner: tuple[int, int]
    now: Callable[[], float]  # Unix seconds
    _paths: Paths = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._paths = Paths(self.seen)

    async def place(self, names: Sequence[str]) -> Place:
        """Return where at least one name leads.  :raises NoSuchChild: on the way"""
        return await self._paths.find(self.root, names)

    async def directory(self, names: Sequence[str]) -> Directory:
        """Return the directory at *names*.  :raises NotADirectory: :raises NoSuchFile:"""
        if not names:
            return await self.seen.read(self.root)
        place = await self.place(names)
        if place.link is None:
            raise NoSuchFile
        cap = place.link.child.cap
        if not isinstance(cap, DirectoryCap):
            raise NoSuchFile
        return await self.seen.read(cap)

    async def attributes(self, names: Sequence[str]) -> Attributes:
        """Return what is known of what *names* lead to.  :raises NoSuchFile:"""
        if not names:
            return self._of_directory(self.root, None)
        place = await self.place(names)
        writing = self.writings.at(place.parent.cap, place.name)
        if writing is not None:
            await writing.file.settle()
            return self.of_writing(writing)
        if place.link is None:
            raise NoSuchFile
        found = self._of_link(place.parent, place.link)
        return await self._with_size(place.link.child, found)

    def of_writing(self, writing: Writing) -> Attributes:
        """Return what is known of a file that is being written."""
        when = int(self.now() if writing.modified is None else writing.modified)
        mode = stat.S_IFREG | 0o644
        return Attributes(writing.file.size, self._owner, mode, (when, when))

    def of_file(self, size: int, place: Place) -> Attributes:
        """Return what is known of a file of *size* bytes that was opened at *place*."""
        assert place.link is not None
        return evolve(self._of_link(place.parent, place.link), size=size)

    def _of_directory(self, cap: DirectoryCap, link: Link | None) -> Attributes:
        mode = stat.S_IFDIR | (0o755 if isinstance(cap.inner, MutableWriteCap) else 0o555)
        when = int((link and modified(link)) or 0)
        return Attributes(None, self._owner, mode, (when, when))

    def _of_link(self, parent: Directory, link: Link) -> Attributes:
        child = link.child
        if isinstance(child.cap, DirectoryCap):
            return self._of_directory(child.cap, link)
        fixed = parent.write_key is None or isinstance(child.cap, MutableReadCap)
        mode = stat.S_IFREG | (0o444 if fixed else 0o644)
        when = int(modified(link, parent.is_immutable) or 0)
        size = getattr(child.cap, "size", None)
        return Attributes(size, self._owner, mode, (when, when))

    async def _with_size(self, child: Child, found: Attributes) -> Attributes:
        if found.size is not None or found.is_directory or not child.is_mutable:
            return found
        try:
            return evolve(found, size=await self.contents.size(child))
        except TruckeeError:
            return found

    def links(self, directory: Directory) -> Iterator[list[tuple[str, Link]]]:
        """Give the names in *directory*, some at a time, in the order of their bytes."""
        batch: list[tuple[str, Link]] = []
        for named in directory.links():
            batch.append(named)
            if len(batch) == BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    async def listed(
        self, directory: Directory, batch: Sequence[tuple[str, Link]]
    ) -> list[tuple[str, Attributes]]:
        """Return names with what is known of what they lead to."""
        found: dict[str, Attributes] = {}
        mutable = list[tuple[str, Child]]()
        for name, link in batch:
            writing = self.writings.at(directory.cap, name)
            if writing is not None:
                await writing.file.settle()
                found[name] = self.of_writing(writing)
                continue
            found[name] = self._of_link(directory, link)
            if link.child.is_mutable and not link.child.is_directory:
                mutable.append((name, link.child))
        for start in range(0, len(mutable), _LOOKS):
            some = mutable[start : start + _LOOKS]
            sizes = await together(self._with_size(c, found[n]) for n, c in some)
            for (name, _), attributes in zip(some, sizes, strict=True):
                found[name] = attributes
        return list(found.items())

    async def new_names(self, directory: Directory) -> list[tuple[str, Attributes]]:
        """Return what is written in *directory* and stands there in no link yet."""
        there, found = directory.table, list[tuple[str, Attributes]]()
        for writing in self.writings.within(directory.cap):
            if normalize_name(writing.name) not in there:
                await writing.file.settle()
                found.append((writing.name, self.of_writing(writing)))
        return found
