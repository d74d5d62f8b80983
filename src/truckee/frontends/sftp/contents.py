"""Files that are read at any place, mostly in order."""

from __future__ import annotations

from typing import Protocol

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from truckee.codec.caps import ChkReadCap, LiteralCap, MutableReadCap, MutableWriteCap
from truckee.codec.children import Child
from truckee.flow.limits import Exclusive
from truckee.flow.timer import Timer
from truckee.frontends.sftp.errors import NotDone
from truckee.immutable.download.downloader import Downloader
from truckee.immutable.download.read_ahead import Download
from truckee.mutable.reader import MutableReader

# One who reads on so far behind the place he went to reads on, and is read ahead for.
_READS_ON = 1 << 20  # bytes
# What was read ahead is forgotten when nobody asks for so long.
_IDLE = 2.0  # seconds


class FileContent(Protocol):
    """A file that can be read."""

    @property
    def size(self) -> int:
        """How many bytes it has."""

    async def read(self, offset: int, length: int) -> bytes:
        """Return *length* bytes at *offset*, fewer at the end."""

    async def close(self) -> None:
        """Forget what was read ahead, when all that was asked for is read."""


@define(eq=False)
class Literal:
    """A file that is in its cap."""

    _data: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return len(self._data)

    async def read(self, offset: int, length: int) -> bytes:
        """Return some of them."""
        return self._data[offset : offset + length]

    async def close(self) -> None:
        """There is nothing to forget."""


@define(eq=False)
class Downloaded:
    """A file on servers.  Reads are served in the order in which they come."""

    size: int
    _download: Download
    _clock: IReactorTime
    _turns: Exclusive = field(factory=Exclusive, init=False)
    _piece: memoryview = field(default=memoryview(b""), init=False, repr=False)
    _piece_at: int = field(default=0, init=False)  # its place in the file
    _next: int = field(default=0, init=False)  # where the download goes on
    # Where the range of a read ends that did not go on: what follows may not be wanted.
    _limit: int = field(default=-1, init=False)
    _began: int = field(default=0, init=False)  # where one who reads on began to
    _open_ended: bool = field(default=False, init=False)
    _idle: Timer = field(factory=Timer, init=False, repr=False)

    async def read(self, offset: int, length: int) -> bytes:
        """Return *length* bytes at *offset*, fewer at the end.  :raises TruckeeError:"""
        end, parts = min(offset + length, self.size), list[memoryview]()
        async with self._turns.hold(None):
            self._busy()
            try:
                while offset < end:
                    at = offset - self._piece_at
                    if not 0 <= at < len(self._piece):
                        await self._fetch(offset, end)
                        at = 0
                    part = self._piece[at : at + end - offset]
                    parts.append(part)
                    offset += len(part)
            finally:
                self._idle.start(self._clock.callLater, _IDLE, self._rest)
        return parts[0].tobytes() if len(parts) == 1 else b"".join(parts)

    async def _fetch(self, offset: int, end: int) -> None:
        """Have the bytes at *offset* at hand, of those up to *end* that are asked for."""
        if offset != self._next:
            self._limit, self._open_ended = end, False
            self._download.go_on(offset, end)
        elif offset == self._limit:
            self._began, self._limit, self._open_ended = offset, self.size, True
            self._download.go_on(offset, self.size, open_ended=True)
        elif self._open_ended and offset - self._began >= _READS_ON:
            self._open_ended = False
            self._download.go_on(offset, self.size)
        # Should this fail, the next one goes where it wants to be.
        self._piece, self._next = memoryview(b""), -1
        try:
            piece = await self._download.__anext__()
        except BaseException:
            # What has failed, or was cancelled, is asked for anew by the next one.
            self._download.let_go()
            raise
        self._piece, self._piece_at = memoryview(piece), offset
        self._next = offset + len(piece)

    async def close(self) -> None:
        """Forget what was read ahead, when all that was asked for is read."""
        async with self._turns.hold(None):
            self._busy()
            self._piece = memoryview(b"")
            self._download.stop()

    def _busy(self) -> None:
        self._idle.cancel()

    def _rest(self) -> None:
        self._piece = memoryview(b"")
        self._download.let_go()


@define(eq=False)
class Contents:
    """Opens files."""

    _downloader: Downloader
    mutable: MutableReader
    _clock: IReactorTime

    async def open(self, child: Child) -> FileContent:
        """Return the content of a file.  :raises NotDone: of what is none"""
        cap = child.cap
        if isinstance(cap, LiteralCap):
            return Literal(cap.data)
        if isinstance(cap, ChkReadCap):
            file = await self._downloader.open(cap)
            return Downloaded(cap.size, file.read(0, cap.size), self._clock)
        if isinstance(cap, MutableReadCap | MutableWriteCap):
            version = await self.mutable.open(cap.read_cap())
            size = version.geometry.size
            if size:
                return Downloaded(size, version.read(0, size), self._clock)
            return Literal(b"")
        raise NotDone("reading what is no file")

    async def size(self, child: Child) -> int | None:
        """Return the size of a file in bytes; None: nobody knows."""
        cap = child.cap
        if isinstance(cap, LiteralCap | ChkReadCap):
            return cap.size
        if isinstance(cap, MutableReadCap | MutableWriteCap):
            best = (await self.mutable.look(cap.read_cap())).best
            return None if best is None else best.geometry.size
        return None
