"""From a cap and names to what stands there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import define, frozen

from truckee.codec.caps import DirectoryCap
from truckee.codec.children import Child
from truckee.codec.directory_children import Link
from truckee.errors import Misuse
from truckee.tree.directories import Directory, directory_of

MAX_DEPTH = 1000  # names of one path


@define
class NoSuchChild(Misuse):
    """There is no child named {name!r}."""

    name: str


@define
class TooDeep(Misuse):
    """A path has at most {most} names."""

    most: int = MAX_DEPTH


@frozen(eq=False)
class Place:
    """The last name of a path, in its directory."""

    parent: Directory
    name: str
    link: Link | None  # None: nothing stands there
    passed: tuple[DirectoryCap, ...]  # of each name its directory, the parent the last

    @property
    def child(self) -> Child:
        """What stands there.  :raises NoSuchChild:"""
        if self.link is None:
            raise NoSuchChild(self.name)
        return self.link.child


class Readable(Protocol):
    """Reads directories, and makes some; see ``Directories``."""

    async def read(self, cap: DirectoryCap, recent: bool = False) -> Directory:
        """Return what a directory holds."""

    async def make_child(
        self, parent: DirectoryCap, name: str, format: str = "SSK"
    ) -> DirectoryCap:
        """Return the directory *name* in *parent*, a new one unless it is there."""


@define(eq=False)
class Paths:
    """Goes along paths."""

    _directories: Readable

    async def find(
        self, start: DirectoryCap, names: Sequence[str], recent: bool = False
    ) -> Place:
        """
        Return where a path of at least one name leads, whether something is there or not.

        *recent* is as for ``Directories.read``.

        :raises NoSuchChild: :raises NotADirectory: on the way; what a directory on the way
            raises that cannot be read.
        """
        _check(names)
        passed = [start]
        for name in names[:-1]:
            passed.append(directory_at(await self._step(passed, name, recent)))
        return await self._step(passed, names[-1], recent)

    async def make_way(
        self, start: DirectoryCap, names: Sequence[str], format: str = "SSK"
    ) -> DirectoryCap:
        """
        Return the directory at the end of *names*; those that are missing are made.

        :raises NotADirectory: :raises ReadOnlyDirectory:
        """
        _check(names)
        cap = start
        for name in names:
            place = await self._step([cap], name, recent=True)
            if place.link is not None and not place.link.child.is_directory:
                place = await self._step([cap], name)
            if place.link is None:
                cap = await self._directories.make_child(cap, name, format)
            else:
                cap = directory_at(place)
        return cap

    async def _step(
        self, passed: Sequence[DirectoryCap], name: str, recent: bool = False
    ) -> Place:
        """Look for *name* in the last directory of those that were *passed*."""
        directory = await self._directories.read(passed[-1], recent)
        return Place(directory, name, directory.link(name), tuple(passed))


def directory_at(place: Place) -> DirectoryCap:
    """Return the directory that stands somewhere.  :raises NotADirectory:"""
    return directory_of(place.child, place.name)


def _check(names: Sequence[str]) -> None:
    if len(names) > MAX_DEPTH:
        raise TooDeep
