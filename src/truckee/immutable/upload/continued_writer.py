"""
A share that outlives cuts: written on from where it is, on the server that kept it.

Source: ``docs/formats/kept-shares.md``.  What the server has is compared by hash with what
would be sent, and sent from the first difference on; so is, after a cut, what it has taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from truckee.codec.hashes import Buffer
from truckee.errors import Corrupt, TruckeeError, Unavailable
from truckee.flow.parts import take
from truckee.flow.together import Work
from truckee.storage.interfaces import (
    BadAnswer,
    CallFailed,
    IKeptWriter,
    IShareWriter,
    NoSpace,
    NotConnected,
    ShareClosed,
)
from truckee.storage.ranges import RangeSet

T = TypeVar("T")

# How long a server that is cut off is waited for.
RETURN = 120.0  # seconds
_FIRST_PAUSE = 0.25  # seconds, doubled each time
_LONGEST_PAUSE = 4.0  # seconds
# Hashes of one question: 8 KiB of them stand for 11 MiB at 3-of-10.
_AT_ONCE = 256
# What one call brings: as much as goes in so many seconds, within these bounds.
_SHORT = 0.5  # seconds
_LEAST, _MOST = 64 << 10, 2 << 20  # bytes


@define
class NotKept(Corrupt):
    """{server} has other bytes of a share than it had taken before it was cut off."""

    server: str


@define(eq=False)
class _Hashes:
    """The hashes that the server sent of some blocks, one behind the other."""

    start: int = 0  # the offset of the first
    piece: int = 1  # bytes of each
    hashes: Sequence[bytes] = ()

    def at(self, offset: int, size: int) -> bytes | None:
        """Return that of *size* bytes at *offset*; None: it is not among them."""
        place, between = divmod(offset - self.start, self.piece)
        if size != self.piece or between or not 0 <= place < len(self.hashes):
            return None
        return self.hashes[place]


def _is_full(error: TruckeeError) -> bool:
    """Tell whether a server refused bytes for want of room."""
    return isinstance(error, CallFailed) and error.kind in ("NoSpace", "NotWritable")


async def _write(offset: int, parts: Sequence[Buffer], writer: IKeptWriter) -> None:
    await writer.write(offset, parts)


@implementer(IShareWriter)
@define(eq=False)
class ContinuedWriter:
    """
    See ``IShareWriter``; whoever uses it makes one call at a time.

    *reopen* returns a writer that continues the share, None when it is finished.  *hash_of*
    takes offset and size of bytes and returns their hash; None when they are no block.
    """

    _server: str
    _writer: IKeptWriter
    _reopen: Callable[[], Work[IKeptWriter | None]]
    _hash_of: Callable[[int, int], bytes | None]
    _clock: IReactorTime
    away: bool = field(default=False, init=False)  # it is cut off, and waited for
    _most: int = field(default=_MOST, init=False)  # bytes that the next call brings
    _there: int = field(init=False)  # up to here there may be blocks that need not be sent
    _told: _Hashes = field(factory=_Hashes, init=False, repr=False)
    _blocks: dict[int, RangeSet] = field(factory=dict, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._there = self._writer.length

    async def write(self, offset: int, parts: Sequence[Buffer]) -> None:
        """See ``IShareWriter``.  :raises NotKept:"""
        for done, part in enumerate(parts):
            if not await self._is_there(offset, len(part)):
                await self._send(offset, parts[done:])
                return
            self._note(offset, len(part))
            offset += len(part)

    async def _send(self, offset: int, parts: Sequence[Buffer]) -> None:
        await self._send_in_calls(offset, parts)
        for part in parts:
            self._note(offset, len(part))
            offset += len(part)

    async def _send_in_calls(self, offset: int, parts: Sequence[Buffer]) -> None:
        """Send *parts* in short calls: what one brings is lost when it is cut."""
        rest = [memoryview(part) for part in parts]
        while rest:
            some = take(rest, self._most)
            size, began = sum(map(len, some)), self._clock.seconds()
            await self._lasting(partial(_write, offset, some))
            seconds = self._clock.seconds() - began
            fitting = size * _SHORT / seconds if seconds > _SHORT else 2 * self._most
            self._most = round(min(max(fitting, _LEAST), _MOST))
            offset += size

    async def close(self, size: int) -> None:
        """See ``IShareWriter``."""
        await self._lasting(lambda writer: writer.close(size))

    async def abort(self) -> None:
        """See ``IShareWriter``."""
        await self._writer.abort()

    async def leave(self) -> None:
        """Write no more; the server keeps what is there."""
        await self._writer.leave()

    # What need not be sent

    async def _is_there(self, offset: int, size: int) -> bool:
        """Tell whether the server has the block of *size* bytes at *offset* already."""
        if offset + size > self._there or not size:
            return False
        wanted = self._hash_of(offset, size)
        if wanted is None:
            return False
        if self._told.at(offset, size) is None:
            count = min(_AT_ONCE, (self._there - offset) // size)
            self._told = await self._ask(offset, size, count)
        if self._told.at(offset, size) == wanted:
            return True
        self._there = offset
        return False

    async def _ask(self, offset: int, piece: int, count: int) -> _Hashes:
        found = await self._lasting(lambda writer: writer.hashes(offset, piece, count))
        return _Hashes(offset, piece, found or ())

    # What was sent, and is to be there after a cut

    def _note(self, offset: int, size: int) -> None:
        """Remember a block that is there; blocks of one size are one behind the other."""
        if self._hash_of(offset, size) is not None:
            self._blocks.setdefault(size, RangeSet()).add(offset, offset + size)

    async def _check(self, writer: IKeptWriter) -> None:
        """Compare what *writer* has with what the server had taken.  :raises NotKept:"""
        for size, blocks in self._blocks.items():
            for begin, end in blocks.ranges:
                for offset in range(begin, end, size * _AT_ONCE):
                    count = min(_AT_ONCE, (end - offset) // size)
                    places = range(offset, offset + count * size, size)
                    wanted = [self._hash_of(place, size) for place in places]
                    if list(await writer.hashes(offset, size, count)) != wanted:
                        raise NotKept(self._server)

    # Cuts

    async def _lasting(self, ask: Callable[[IKeptWriter], Work[T]]) -> T | None:
        """
        Return what *ask* returns, after a cut that of the writer that continues.

        None when the share is finished meanwhile.
        """
        try:
            return await ask(self._writer)
        except (NotConnected, CallFailed, ShareClosed) as error:
            if _is_full(error):
                # Opened again it would be refused, and stay where there is no room.
                raise NoSpace(self._server) from None
            cut: TruckeeError = error
        while True:
            writer = await self._return(cut)
            if writer is None:
                return None
            try:
                return await ask(writer)
            except NotConnected as error:
                cut = error

    async def _return(self, cut: TruckeeError) -> IKeptWriter | None:
        """Wait for the server; return the writer that continues.  :raises NotKept:"""
        self.away = True
        try:
            end, pause = self._clock.seconds() + RETURN, _FIRST_PAUSE
            while True:
                try:
                    return await self._again()
                except (Unavailable, BadAnswer) as error:
                    # One that is there and refuses will not take it later either.
                    away = isinstance(cut, NotConnected) or isinstance(error, NotConnected)
                    if not away or self._clock.seconds() + pause > end:
                        raise cut from None
                await deferLater(self._clock, pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        finally:
            self.away = False

    async def _again(self) -> IKeptWriter | None:
        writer = await self._reopen()
        if writer is not None:
            self._writer = writer
            await self._check(writer)
        return writer
