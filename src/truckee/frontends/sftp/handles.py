"""What one client has open, and what it does with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from truckee.flow.together import together
from truckee.frontends.sftp.attributes import Attributes
from truckee.frontends.sftp.errors import (
    NotDone,
    NotWritable,
    TooManyHandles,
    UnknownHandle,
)
from truckee.frontends.sftp.files import Files, Reading
from truckee.frontends.sftp.listing import Listing
from truckee.frontends.sftp.names import names_of
from truckee.frontends.sftp.requests import (
    Close,
    CopyData,
    Open,
    OpenDirectory,
    OpenFile,
    SetStatHandle,
    Sync,
    Write,
)
from truckee.frontends.sftp.wire import u32
from truckee.frontends.sftp.writing import Writing
from truckee.uploads.written_content import AT_END

MOST_HANDLES = 1000


@define(eq=False)
class OpenWriting:
    """A handle of a file that is being written."""

    writing: Writing
    flags: Open


Handle = Reading | OpenWriting | Listing


@define(eq=False)
class Handles:
    """Those of one session.  All methods raise ``UnknownHandle`` for what is not open."""

    _files: Files
    _clock: IReactorTime
    _open: dict[bytes, Handle] = field(factory=dict, init=False, repr=False)
    _number: int = field(default=0, init=False)
    _opening: int = field(default=0, init=False)
    _lost: bool = field(default=False, init=False)

    async def open_directory(self, request: OpenDirectory) -> bytes:
        """Return the handle of a directory."""
        with self._one_more():
            names = names_of(request.path)
            return await self._new(await Listing.open(self._files.view, names, self._clock))

    async def open_to_read(self, request: OpenFile) -> bytes:
        """Return the handle of a file."""
        with self._one_more():
            found = await self._files.open_to_read(names_of(request.path))
            if isinstance(found, Writing):
                return await self._new(OpenWriting(found, request.flags))
            return await self._new(found)

    async def open_to_write(self, request: OpenFile) -> bytes:
        """Return the handle of a file that may be changed."""
        with self._one_more():
            names, flags = names_of(request.path), request.flags
            writing = await self._files.open_to_write(names, flags)
            return await self._new(OpenWriting(writing, flags | Open.WRITE))

    @contextmanager
    def _one_more(self) -> Iterator[None]:
        if len(self._open) + self._opening >= MOST_HANDLES:
            raise TooManyHandles(MOST_HANDLES)
        self._opening += 1
        try:
            yield
        finally:
            self._opening -= 1

    async def _new(self, handle: Handle) -> bytes:
        self._number += 1
        value = u32(self._number)
        self._open[value] = handle
        if self._lost:
            # It was opened too late for its client.
            await self.lose()
        return value

    async def lose(self) -> None:
        """The client is gone: what it has not closed is given up."""
        self._lost = True
        handles, self._open = self._open, {}
        written = [e.writing for e in handles.values() if isinstance(e, OpenWriting)]
        await self._files.view.writings.abandon(written)
        await together(_close_reader(each) for each in handles.values())

    def _find(self, value: bytes) -> Handle:
        try:
            return self._open[value]
        except KeyError:
            raise UnknownHandle from None

    def _writing(self, value: bytes) -> OpenWriting:
        handle = self._find(value)
        if not isinstance(handle, OpenWriting) or not handle.flags & Open.WRITE:
            raise NotWritable
        return handle

    async def close(self, request: Close) -> None:
        """Close it; a file that was written is stored and linked then."""
        handle = self._find(request.handle)
        del self._open[request.handle]
        if isinstance(handle, OpenWriting):
            wrote = bool(handle.flags & Open.WRITE)
            await self._files.view.writings.close(handle.writing, wrote)
        else:
            await _close_reader(handle)

    async def sync(self, request: Sync) -> None:
        """Return when what was written is stored on servers and linked."""
        await self._files.view.writings.store(self._writing(request.handle).writing)

    async def write(self, request: Write) -> None:
        """Write to a file."""
        handle = self._writing(request.handle)
        handle.writing.modified = None
        offset = AT_END if handle.flags & Open.APPEND else request.offset
        await handle.writing.file.write(offset, request.data)

    async def read(self, value: bytes, offset: int, length: int) -> bytes:
        """Return bytes of a file, none behind its end."""
        handle = self._find(value)
        if isinstance(handle, Listing):
            raise UnknownHandle
        if isinstance(handle, Reading):
            return await handle.content.read(offset, length)
        file = handle.writing.file
        await file.settle()
        return await file.read(offset, length)

    async def next_entries(self, value: bytes) -> list[bytes]:
        """Return the next names of a directory; none: that was all."""
        handle = self._find(value)
        if not isinstance(handle, Listing):
            raise UnknownHandle
        return await handle.next()

    async def attributes(self, value: bytes) -> Attributes:
        """Return what is known of what is open."""
        handle = self._find(value)
        if isinstance(handle, OpenWriting):
            await handle.writing.file.settle()
            return self._files.view.of_writing(handle.writing)
        return handle.attributes

    async def set_attributes(self, request: SetStatHandle) -> None:
        """Set the size or the time; the rest is passed over."""
        attributes, handle = request.attributes, self._find(request.handle)
        if attributes.size is not None:
            await self._writing(request.handle).writing.file.resize(attributes.size)
        if attributes.times is not None and isinstance(handle, OpenWriting):
            await handle.writing.file.settle()
            handle.writing.modified = attributes.times[1]
            handle.writing.pending = True

    async def copy(self, request: CopyData) -> None:
        """Copy from one to another."""
        source, target = self._find(request.source), self._writing(request.target).writing
        if isinstance(source, Listing):
            raise UnknownHandle
        found = source.writing if isinstance(source, OpenWriting) else source
        if found is target:
            raise NotDone("copying within one file")
        await self._files.copy(
            found, request.offset, request.length, target, request.target_offset
        )


async def _close_reader(handle: Handle) -> None:
    if isinstance(handle, Reading):
        await handle.content.close()
    elif isinstance(handle, Listing):
        await handle.close()
