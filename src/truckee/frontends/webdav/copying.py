"""
Copies of trees, of which nobody sees a part: they are linked when they are whole.

What cannot change is linked again, whatever its size.  What can change is copied, so that a
change of the one is none of the other: a mutable file into a new one of its format, a
directory into a new one with copies of what is in it.

Source: ``docs/reference/webdav.md``, "Copies".
"""

from __future__ import annotations

from attrs import define, field

from truckee.codec.caps import (
    DirectoryCap,
    MutableReadCap,
    MutableWriteCap,
)
from truckee.codec.children import Child, new_child
from truckee.codec.children_json import GivenChild
from truckee.codec.directory_children import Link
from truckee.codec.link_metadata import Metadata, is_read_only
from truckee.frontends.webdav.errors import LoopFound, TooMuchToCopy
from truckee.frontends.webdav.way import Way
from truckee.mutable.files import MutableFiles
from truckee.tree.directories import Directories
from truckee.tree.link_times import identity, moved_to
from truckee.tree.paths import MAX_DEPTH, TooDeep

# Each of them takes an RSA key, and writes to servers.
MOST = 1000


@define(eq=False)
class Copies:
    """One COPY."""

    _directories: Directories
    _files: MutableFiles
    _most: int = MOST
    _made: int = field(default=0, init=False)
    # What was copied already, by what it is a copy of: what stands twice is copied once.
    _done: dict[str, Child] = field(factory=dict, init=False, repr=False)
    _open: set[str] = field(factory=set, init=False)

    async def link(self, source: Way, deep: bool) -> GivenChild:
        """
        Return what is to be linked for a copy of *source*.

        :raises LoopFound: :raises TooMuchToCopy: :raises TooDeep: and what reading and
            storing raise; nothing is linked then.
        """
        child = new_child(str(source.root), None) if source.link is None else source.child
        metadata: Metadata = {} if source.link is None else source.link.metadata
        if child.is_directory and not deep:
            made = new_child(str(await self._directories.make()), None)
        else:
            made = await self._copy(child, 0)
        metadata = {key: value for key, value in metadata.items() if key != "tahoe"}
        return GivenChild(made, moved_to(metadata, child, made))

    async def _copy(self, child: Child, depth: int) -> Child:
        if not child.is_mutable or child.cap is None:
            return child
        name = identity(child)
        if name in self._open:
            raise LoopFound
        if name in self._done:
            return self._done[name]
        if depth > MAX_DEPTH // 10:
            raise TooDeep(MAX_DEPTH // 10)
        if self._made >= self._most:
            raise TooMuchToCopy(self._most)
        self._made += 1
        self._open.add(name)
        if isinstance(child.cap, DirectoryCap):
            made = str(await self._directory(child.cap, depth))
        else:
            assert isinstance(child.cap, MutableReadCap | MutableWriteCap)
            made = str(await self._file(child.cap))
        self._open.discard(name)
        self._done[name] = new_child(made, None)
        return self._done[name]

    async def _directory(self, cap: DirectoryCap, depth: int) -> DirectoryCap:
        directory = await self._directories.read(cap)
        links: dict[str, Link] = {}
        for name, link in directory.links():
            child = await self._copy(link.child, depth + 1)
            metadata = moved_to(link.metadata, link.child, child)
            if is_read_only(metadata):
                child = child.read_only()
            links[name] = Link(child, metadata)
        return await self._directories.make(cap.inner.format, links)  # type: ignore[union-attr]

    async def _file(self, cap: MutableReadCap | MutableWriteCap) -> MutableWriteCap:
        opened = await self._files.reader.open(cap.read_cap())
        size = opened.geometry.size
        chunks = opened.read(0, size)
        try:
            body = self._files.body(chunks, cap.format, size)
            return await self._files.create(cap.format, body)
        finally:
            chunks.stop()
