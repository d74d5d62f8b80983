"""Files that one session writes, and the names under which they are linked when closed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import define, field
from twisted.logger import Logger

from truckee.codec.caps import DirectoryCap, MutableWriteCap
from truckee.codec.children import Child
from truckee.codec.children_json import GivenChild
from truckee.codec.directory_children import Link
from truckee.codec.directory_name import normalize_name
from truckee.codec.link_metadata import Metadata
from truckee.flow.changes import Changes
from truckee.flow.together import together
from truckee.frontends.sftp.contents import FileContent
from truckee.frontends.sftp.errors import IsADirectory
from truckee.mutable.files import MutableFiles
from truckee.tree.directories import Directories
from truckee.tree.link_changes import link_change
from truckee.tree.link_times import with_modified
from truckee.tree.links import NameTaken
from truckee.uploads.written_file import WrittenFile

log = Logger()

Key = tuple[str, str]  # the directory, whoever has which cap of it, and the name


@define(eq=False)
class Writing:
    """One file that is being written, by one or more handles of a session."""

    file: WrittenFile
    parent: DirectoryCap
    name: str
    link: Link | None  # what stood there when it was opened
    exclusive: bool  # nothing may stand there when it is linked
    base: FileContent | None = None  # what it had when it was opened
    handles: int = field(default=1, init=False)
    modified: float | None = field(default=None, init=False)  # as the client says
    # Whether its link is to be set though nothing was written, or not again.
    pending: bool = field(default=False, init=False)
    removed: bool = field(default=False, init=False)
    closing: bool = field(default=False, init=False)  # the last handle was closed
    storing: int = field(default=0, init=False)  # other handles that are being closed
    changes: Changes = field(factory=Changes, init=False, repr=False)

    @property
    def mutable(self) -> MutableWriteCap | None:
        """The mutable file whose content this replaces; None: it becomes a new file."""
        cap = None if self.link is None else self.link.child.cap
        return cap if isinstance(cap, MutableWriteCap) else None

    @property
    def key(self) -> Key:
        """What it is found by."""
        return key_of(self.parent, self.name)

    async def end(self, error: Exception | None = None) -> None:
        """Free all that it has; what is not stored is given up, for *error*."""
        await self.file.close(error)
        if self.base is not None:
            await self.base.close()


def key_of(parent: DirectoryCap, name: str) -> Key:
    """Return what tells whether two writings are of one place."""
    return str(parent.verify_cap() or parent), normalize_name(name)


@define(eq=False)
class Writings:
    """Those of one session, by where they are linked when they are closed."""

    _directories: Directories
    _mutable: MutableFiles
    _by_key: dict[Key, Writing] = field(factory=dict, init=False, repr=False)

    def at(self, parent: DirectoryCap, name: str) -> Writing | None:
        """Return what is being written at a place."""
        return self._by_key.get(key_of(parent, name))

    def within(self, parent: DirectoryCap) -> Iterator[Writing]:
        """Give what is being written in a directory."""
        directory, _ = key_of(parent, "")
        for (place, _), writing in list(self._by_key.items()):
            if place == directory:
                yield writing

    def add(self, writing: Writing) -> None:
        """There is one more."""
        self._by_key[writing.key] = writing

    def remove(self, writing: Writing) -> None:
        """It is not found any more: it is stored, or to be linked nowhere."""
        if self._by_key.get(writing.key) is writing:
            del self._by_key[writing.key]

    def move(self, writing: Writing, parent: DirectoryCap, name: str) -> None:
        """Link it elsewhere when it is closed."""
        self.remove(writing)
        writing.parent, writing.name = parent, name
        self.add(writing)

    async def until_closed(self, parent: DirectoryCap, name: str) -> None:
        """Return when nothing is being closed at a place."""
        writing = self.at(parent, name)
        if writing is not None and writing.closing:
            await writing.changes.until(
                lambda: self._by_key.get(writing.key) is not writing
            )

    async def close(self, writing: Writing, wrote: bool = True) -> None:
        """
        Close one handle; return when what was written is stored *and* linked.

        A handle that only reads stores nothing, unless it is the last.

        :raises TruckeeError: when it is not; nothing of it is left then if this was the
            last handle, and what stood there stands there as before.
        """
        writing.handles -= 1
        last = not writing.handles
        writing.closing = last
        writing.storing += 1
        try:
            if wrote or last:
                await self.store(writing)
        except Exception as error:
            if last:
                await writing.end(error)
            raise
        finally:
            writing.storing -= 1
            if last:
                self.remove(writing)
            writing.changes.wake()
        if last:
            await writing.end()

    async def store(self, writing: Writing) -> None:
        """Store and link what was written, if anything was.  :raises TruckeeError:"""
        await writing.file.rest()
        if writing.removed or not (writing.file.changed or writing.pending):
            return
        writing.pending = True
        cap = writing.mutable
        if cap is None:
            child = GivenChild.of(await writing.file.store()).child
        else:
            size = writing.file.size
            self._mutable.check_size(cap.format, size)
            with writing.file.whole() as chunks:
                body = self._mutable.body(chunks, cap.format, size)
                await self._mutable.overwrite(cap, body)
            assert writing.link is not None
            child = writing.link.child
        if not writing.removed:  # meanwhile
            await self._link(writing, child)
        writing.pending = False

    async def _link(self, writing: Writing, child: Child) -> None:
        def edit(metadata: Metadata) -> Metadata:
            return with_modified(metadata, child, writing.modified)

        def check(old: Link | None) -> None:
            if old is not None and writing.exclusive:
                raise NameTaken(writing.name)
            if old is not None and old.child.is_directory:
                raise IsADirectory

        now = self._directories.now
        change = link_change(writing.name, child, edit, check, now)
        await self._directories.change(writing.parent, change)
        writing.exclusive = False
        writing.link = Link(child, {})

    async def abandon(self, opened: Iterable[Writing]) -> None:
        """The client is gone: what it has not closed, all that is *opened*, is given up."""
        # What was removed while it was open is found by no name.
        every = dict.fromkeys((*self._by_key.values(), *opened))
        await together(self._give_up(each) for each in every if not each.closing)

    async def _give_up(self, writing: Writing) -> None:
        self.remove(writing)
        # Another handle of it that is being closed has what was written until then stored.
        await writing.changes.until(lambda: not writing.storing)
        try:
            await writing.end()
        except Exception:
            log.failure("A written file failed")
