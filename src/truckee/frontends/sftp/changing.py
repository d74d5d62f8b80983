"""Changing and moving files and directories for one session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from attrs import define, field

from truckee.codec.caps import DirectoryCap
from truckee.codec.children_json import GivenChild
from truckee.codec.directory_name import normalize_name
from truckee.codec.link_metadata import Metadata
from truckee.flow.limits import Exclusive
from truckee.frontends.sftp.attributes import Attributes
from truckee.frontends.sftp.errors import (
    IntoItself,
    IsADirectory,
    NoSuchFile,
    NotEmpty,
    RootStays,
)
from truckee.frontends.sftp.files import Files, Names
from truckee.frontends.sftp.requests import Open
from truckee.frontends.sftp.view import View
from truckee.frontends.sftp.writing import Writing
from truckee.tree.directories import (
    Directories,
    Directory,
    NotADirectory,
    ReadOnlyDirectory,
)
from truckee.tree.link_changes import metadata_change
from truckee.tree.link_times import with_modified
from truckee.tree.links import Links, NameTaken, Replace
from truckee.tree.paths import Place


@define(eq=False)
class Changing:
    """What one session changes in its tree, one after the other but for new directories."""

    _files: Files
    _new: Exclusive = field(factory=Exclusive, init=False, repr=False)  # by their names
    view: View = field(init=False)
    _directories: Directories = field(init=False)
    _links: Links = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.view = self._files.view
        self._directories = self.view.seen.directories
        self._links = Links(self._directories)

    async def make_directory(self, names: Names) -> None:
        """Make a directory.  :raises NameTaken: when there is something"""
        if not names:
            raise NameTaken("/")
        async with self._in_order(names):
            place = await self._writable(names)
            writing = self.view.writings.at(place.parent.cap, place.name)
            if place.link is not None or writing is not None:
                raise NameTaken(place.name)
            made = GivenChild.of(await self._directories.make())
            await self._links.set(place.parent.cap, {place.name: made}, Replace.NOTHING)

    @asynccontextmanager
    async def _in_order(self, names: Names) -> AsyncIterator[None]:
        """Make a directory after those of its name, or on the way to it, begun before."""
        path = tuple(map(normalize_name, names))
        async with self._new.hold(path):
            for length in range(1, len(path)):
                async with self._new.hold(path[:length]):
                    pass
            yield

    async def remove_directory(self, names: Names) -> None:
        """Remove an empty directory.  :raises NotEmpty: :raises NotADirectory:"""
        place = await self._writable(names)
        cap = place.child.cap
        if not isinstance(cap, DirectoryCap):
            raise NotADirectory(place.name)
        await self._check_empty(await self._directories.read(cap))
        await self._links.remove(place.parent.cap, place.name)

    async def _check_empty(self, directory: Directory) -> None:
        if len(directory.table) or any(self.view.writings.within(directory.cap)):
            raise NotEmpty

    async def remove(self, names: Names) -> None:
        """Remove a file, also one that is being written: it is linked nowhere then."""
        place = await self._writable(names)
        await self.view.writings.until_closed(place.parent.cap, place.name)
        place = await self._writable(names)
        if place.link is not None and place.link.child.is_directory:
            raise IsADirectory
        writing = self.view.writings.at(place.parent.cap, place.name)
        if writing is not None:
            writing.removed = True
            self.view.writings.remove(writing)
        elif place.link is None:
            raise NoSuchFile
        if place.link is not None:
            await self._links.remove(place.parent.cap, place.name)

    async def rename(self, old: Names, new: Names, replace: bool) -> None:
        """
        Give a file or directory another place; *replace*: in that of what is there.

        A file replaces a file, a directory one that is empty.  What is being written is
        linked in its new place when it is closed.

        :raises NameTaken: :raises IntoItself: :raises NotEmpty: :raises NotADirectory:
        """
        source, target = await self._writable(old), await self._writable(new)
        for each in (source, target):
            await self.view.writings.until_closed(each.parent.cap, each.name)
        source, target = await self._writable(old), await self._writable(new)
        if old == new[: len(old)] and old != new:
            raise IntoItself
        writing = self.view.writings.at(source.parent.cap, source.name)
        if source.link is None and writing is None:
            raise NoSuchFile
        if _same(source, target):
            return
        other = self.view.writings.at(target.parent.cap, target.name)
        await self._check_target(source, target, other, replace)
        if other is not None:
            other.removed = True
            self.view.writings.remove(other)
        if source.link is not None:
            await self._links.move(
                source.parent.cap, source.name, target.parent.cap, target.name
            )
        if writing is not None:
            writing.exclusive = False
            self.view.writings.move(writing, target.parent.cap, target.name)

    async def _check_target(
        self, source: Place, target: Place, other: Writing | None, replace: bool
    ) -> None:
        if (target.link is not None or other is not None) and not replace:
            raise NameTaken(target.name)
        there = None if target.link is None else target.link.child.cap
        moves_directory = source.link is not None and source.link.child.is_directory
        if isinstance(there, DirectoryCap):
            if not moves_directory:
                raise IsADirectory
            await self._check_empty(await self._directories.read(there))
        elif moves_directory and (target.link is not None or other is not None):
            raise NotADirectory(target.name)

    async def link(self, old: Names, new: Names) -> None:
        """Give a file a second name.  :raises NameTaken: :raises IsADirectory:"""
        source = await self._files.file_place(old)
        await self.view.writings.until_closed(source.parent.cap, source.name)
        source, target = await self._files.file_place(old), await self._writable(new)
        if target.link is not None:
            raise NameTaken(target.name)
        link = source.link
        if link is None:
            raise NoSuchFile
        metadata = {key: value for key, value in link.metadata.items() if key != "tahoe"}
        given = GivenChild(link.child, metadata)
        await self._links.set(target.parent.cap, {target.name: given}, Replace.NOTHING)

    async def set_attributes(self, names: Names, attributes: Attributes) -> None:
        """
        Set the size or the time of what *names* lead to.

        Who owns it and what they may is not kept here, and is passed over.
        """
        if attributes.size is not None:
            writing = await self._files.open_to_write(names, Open.WRITE)
            try:
                await writing.file.resize(attributes.size)
            finally:
                await self.view.writings.close(writing)
        if attributes.times is None:
            if attributes.size is None:
                await self.view.attributes(names)  # it must be there
            return
        if not names:
            return
        place = await self._writable(names)
        writing_there = self.view.writings.at(place.parent.cap, place.name)
        if writing_there is not None:
            writing_there.modified = attributes.times[1]
            await self.view.writings.until_closed(place.parent.cap, place.name)
            if not writing_there.closing:
                return
        await self._set_time(await self._writable(names), attributes.times[1])

    async def _set_time(self, place: Place, seconds: int) -> None:
        child = place.child

        def edit(metadata: Metadata) -> Metadata:
            return with_modified(metadata, child, seconds)

        await self._directories.change(place.parent.cap, metadata_change(place.name, edit))

    async def _writable(self, names: Sequence[str]) -> Place:
        """Return a place that may change.  :raises RootStays: :raises ReadOnlyDirectory:"""
        if not names:
            raise RootStays
        self.view.seen.changed()
        place = await self.view.place(names)
        if place.parent.write_key is None:
            raise ReadOnlyDirectory
        return place


def _same(one: Place, other: Place) -> bool:
    same = one.parent.cap.verify_cap() == other.parent.cap.verify_cap()
    return same and normalize_name(one.name) == normalize_name(other.name)
