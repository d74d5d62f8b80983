"""Opening, changing and moving files and directories for one session."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, frozen

from truckee.codec.caps import ChkReadCap, LiteralCap, MutableWriteCap
from truckee.frontends.sftp.attributes import Attributes
from truckee.frontends.sftp.contents import FileContent
from truckee.frontends.sftp.errors import IsADirectory, NoSuchFile, SpaceUnknown
from truckee.frontends.sftp.requests import Open
from truckee.frontends.sftp.view import View
from truckee.frontends.sftp.writing import Writing
from truckee.tree.directories import ReadOnlyDirectory
from truckee.tree.links import NameTaken
from truckee.tree.paths import Place
from truckee.uploads.written_files import WrittenFiles

Names = tuple[str, ...]

_PIECE = 256 << 10  # bytes that are copied at once
_BLOCK = 4096  # bytes; what ``df`` counts in
_LONGEST_NAME = 255  # characters, as programs believe it; there is no such limit


@frozen(eq=False)
class Reading:
    """A file that was opened to be read."""

    content: FileContent
    attributes: Attributes
    cap: ChkReadCap | LiteralCap | None  # None: it may change


@define(eq=False)
class Files:
    """What one session does in its tree."""

    view: View
    _written: WrittenFiles
    # Bytes that are free and that are used; None: nobody knows.
    _quota: Callable[[], tuple[int, int] | None]
    _owner: str = ""  # who has logged in

    # Opening

    async def open_to_read(self, names: Names) -> Reading | Writing:
        """Return a file as it is now, or as it is being written by this session."""
        place = await self.file_place(names)
        writing = self.view.writings.at(place.parent.cap, place.name)
        if writing is not None and not writing.closing:
            writing.handles += 1
            return writing
        if writing is not None:
            await self.view.writings.until_closed(place.parent.cap, place.name)
            place = await self.file_place(names)
        if place.link is None:
            raise NoSuchFile
        child = place.link.child
        content = await self.view.contents.open(child)
        attributes = self.view.of_file(content.size, place)
        cap = child.cap if isinstance(child.cap, ChkReadCap | LiteralCap) else None
        return Reading(content, attributes, cap)

    async def open_to_write(self, names: Names, flags: Open) -> Writing:
        """
        Return a file that can be written, and read as it is then.

        :raises NoSuchFile: :raises NameTaken: :raises IsADirectory:
        :raises ReadOnlyDirectory:
        """
        place = await self.file_place(names)
        if not isinstance(place.parent.cap.inner, MutableWriteCap):
            raise ReadOnlyDirectory
        await self.view.writings.until_closed(place.parent.cap, place.name)
        place = await self.file_place(names)
        writing = self.view.writings.at(place.parent.cap, place.name)
        exists = writing is not None or place.link is not None
        if exists and flags & Open.CREATE and flags & Open.EXCLUSIVE:
            raise NameTaken(place.name)
        if not exists and not flags & Open.CREATE:
            raise NoSuchFile
        if writing is None:
            return await self._begin(place, flags)
        writing.handles += 1
        if flags & Open.TRUNCATE:
            await writing.file.resize(0)
        return writing

    async def _begin(self, place: Place, flags: Open) -> Writing:
        base, link = None, place.link
        if link is not None and not flags & Open.TRUNCATE:
            base = await self.view.contents.open(link.child)
        mutable = link is not None and isinstance(link.child.cap, MutableWriteCap)
        file = self._written.open(base, not mutable, self._owner)
        exclusive = bool(flags & Open.EXCLUSIVE)
        writing = Writing(file, place.parent.cap, place.name, link, exclusive, base)
        writing.pending = base is None
        self.view.writings.add(writing)
        return writing

    async def file_place(self, names: Names) -> Place:
        """Return where a file may be.  :raises IsADirectory: when something else is"""
        if not names:
            raise IsADirectory
        place = await self.view.place(names)
        if place.link is not None and place.link.child.is_directory:
            raise IsADirectory
        return place

    async def copy(
        self, source: Reading | Writing, offset: int, length: int, target: Writing, at: int
    ) -> None:
        """
        Copy *length* bytes at *offset* to *at*; 0: all up to the end.

        A whole file that never changes becomes another name for the same one.
        """
        file = target.file
        if isinstance(source, Reading):
            size, read = source.content.size, source.content.read
            whole = offset == 0 and (length == 0 or length >= size) and at == 0
            fresh = file.size == 0 and target.mutable is None
            if whole and fresh and source.cap is not None:
                file.adopt(source.cap, source.content)
                target.pending = True
                return
        else:
            await source.file.settle()
            size, read = source.file.size, source.file.read
        end = size if length == 0 else min(size, offset + length)
        while offset < end:
            data = await read(offset, min(_PIECE, end - offset))
            await file.write(at, data)
            offset, at = offset + len(data), at + len(data)

    def space(self) -> list[int]:
        """Return what ``statvfs`` says, in its order.  :raises SpaceUnknown:"""
        quota = self._quota()
        if quota is None:
            raise SpaceUnknown
        free, used = (each // _BLOCK for each in quota)
        many = 1 << 32  # files: there is no limit
        return [
            _BLOCK,
            _BLOCK,
            free + used,
            free,
            free,
            many,
            many,
            many,
            0,
            0,
            _LONGEST_NAME,
        ]
