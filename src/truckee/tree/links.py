"""
Links that are set, removed and moved.

Each is one change of a directory, which may be made again when others write at the same
time: what a try before has done already is no error.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from attrs import define

from truckee.codec.caps import DirectoryCap
from truckee.codec.children import Child
from truckee.codec.children_json import GivenChild
from truckee.codec.directory_children import Link
from truckee.codec.directory_name import normalize_name
from truckee.codec.directory_table import DirectoryTable
from truckee.errors import Misuse
from truckee.tree.directories import Directories, Directory
from truckee.tree.paths import NoSuchChild


class Replace(Enum):
    """What a new link may take the place of."""

    ANYTHING = "true"
    NOTHING = "false"
    FILES = "only-files"


@define
class NameTaken(Misuse):
    """There is something named {name!r} already, and it is not to be replaced."""

    name: str


@define
class DirectoryInTheWay(Misuse):
    """{name!r} is a directory, which only-files does not replace."""

    name: str


def check_replace(old: Link | None, name: str, replace: Replace) -> None:
    """:raises NameTaken: :raises DirectoryInTheWay: when *old* is to stay"""
    if old is None or replace is Replace.ANYTHING:
        return
    if replace is Replace.NOTHING:
        raise NameTaken(name)
    if old.child.is_directory:
        raise DirectoryInTheWay(name)


@define(eq=False)
class Links:
    """Changes the links of directories."""

    _directories: Directories

    async def set(
        self,
        cap: DirectoryCap,
        children: Mapping[str, GivenChild],
        replace: Replace = Replace.ANYTHING,
    ) -> None:
        """
        Link all *children*, by name, or none of them.

        :raises NameTaken: :raises DirectoryInTheWay: :raises ReadOnlyDirectory:
        :raises BadMetadata: :raises UncoordinatedWrite:
        """

        tried = False

        def change(directory: Directory) -> DirectoryTable | None:
            nonlocal tried
            entries = []
            for name, given in children.items():
                old = directory.link(name)
                # An earlier try may have set it.
                if not tried or old is None or old.child != given.child:
                    check_replace(old, name, replace)
                entries.append(directory.with_link(name, given, self._directories.now()))
            tried = True
            return directory.table.changed(entries) if entries else None

        await self._directories.change(cap, change)

    async def remove(self, cap: DirectoryCap, name: str) -> Child:
        """
        Remove the link *name*; return what it led to.

        :raises NoSuchChild: :raises ReadOnlyDirectory: :raises UncoordinatedWrite:
        """
        removed: list[Child] = []

        def change(directory: Directory) -> DirectoryTable | None:
            link = directory.link(name)
            # One that breaks the rules is not listed, and can be removed.
            if link is None and name not in directory.table:
                if not removed:
                    raise NoSuchChild(name)
                return None  # an earlier try has removed it
            removed[:] = [Child(None, None, None) if link is None else link.child]
            return directory.table.changed(removed=[name])

        await self._directories.change(cap, change)
        return removed[0]

    async def move(
        self,
        source: DirectoryCap,
        name: str,
        target: DirectoryCap,
        new_name: str,
        replace: Replace = Replace.ANYTHING,
    ) -> None:
        """
        Link what *name* in *source* leads to under *new_name* in *target*, and not there.

        In one directory that is one change; else the new link is set before the old one is
        removed.  Metadata goes with it.

        :raises NoSuchChild: :raises NameTaken: :raises DirectoryInTheWay:
        :raises ReadOnlyDirectory: :raises UncoordinatedWrite:
        """
        same = source.verify_cap() == target.verify_cap()
        if same and normalize_name(name) == normalize_name(new_name):
            return
        if same:
            await self._rename(source, name, new_name, replace)
            return
        directory = await self._directories.read(source)
        link = directory.link(name)
        if link is None:
            raise NoSuchChild(name)
        await self.set(target, {new_name: _given(link)}, replace)
        await self.remove(source, name)

    async def _rename(
        self, cap: DirectoryCap, name: str, new_name: str, replace: Replace
    ) -> None:
        moved: list[Link] = []

        def change(directory: Directory) -> DirectoryTable | None:
            link, there = directory.link(name), directory.link(new_name)
            if link is None:
                if moved and there is not None and there.child == moved[0].child:
                    return None  # an earlier try has moved it
                raise NoSuchChild(name)
            moved[:] = [link]
            if there is None or there.child != link.child:
                check_replace(there, new_name, replace)
            entry = directory.with_link(new_name, _given(link), self._directories.now())
            return directory.table.changed([entry], [name])

        await self._directories.change(cap, change)


def _given(link: Link) -> GivenChild:
    """Return what is linked elsewhere; its times begin anew there."""
    metadata = {key: value for key, value in link.metadata.items() if key != "tahoe"}
    return GivenChild(link.child, metadata)
