"""The plaintext of one upload, on its way through memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from attrs import define, field

from truckee.codec.segments import Segmenter
from truckee.errors import Misuse
from truckee.immutable.upload.sinks import WrongSize

# Content that is in memory is given in pieces of so many bytes.
_PIECE = 256 << 10


@define
class FileTooLarge(Misuse):
    """The file is larger than the {limit} bytes that this gateway takes."""

    limit: int


@define
class UnknownTooLarge(FileTooLarge):
    """
    The file is larger than the {limit} bytes that one of unannounced length may have
    here. Send a Content-Length or a larger size-limit=, or raise [client]
    upload.max-unknown-size in tahoe.cfg.
    """


@define(eq=False)
class Body:
    """Chunks of any size, counted, with a look at the first ones ahead of time."""

    _chunks: AsyncIterator[bytes]
    _limit: int  # bytes
    _promised: int | None = None  # bytes that it must have
    _too_large: type[FileTooLarge] = FileTooLarge
    size: int = field(default=0, init=False)  # bytes that came so far
    ended: bool = field(default=False, init=False)
    _head: list[bytes] = field(factory=list, init=False, repr=False)

    @property
    def most(self) -> int:
        """How many bytes it has at most."""
        return self._limit if self._promised is None else self._promised

    @classmethod
    def of(cls, content: bytes) -> Body:
        """Return *content*, which is in memory, as a body."""
        return cls(_in_pieces(content), len(content), len(content))

    @classmethod
    def whole(cls, content: bytes) -> Body:
        """Return *content* as a body that has ended: to be taken as it is, not copied."""
        body = cls(_in_pieces(b""), len(content), len(content))
        body.size, body.ended, body._head = len(content), True, [content]
        return body

    async def peek(self, size: int) -> None:
        """Wait for the first *size* bytes, or the end; they are still given later."""
        while self.size < size and not self.ended:
            chunk = await self._next()
            if chunk is not None:
                self._head.append(chunk)

    def take_all(self) -> bytes:
        """Return everything, once ``ended`` is true after a peek."""
        head, self._head = self._head, []
        return b"".join(head)

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        chunk = self._head.pop(0) if self._head else await self._next()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def _next(self) -> bytes | None:
        if self.ended:
            return None
        try:
            chunk = await self._chunks.__anext__()
        except StopAsyncIteration:
            self.ended = True
            if self._promised not in (None, self.size):
                raise WrongSize(self.size, self._promised or 0) from None
            return None
        self.size += len(chunk)
        if self._promised is not None and self.size > self._promised:
            raise WrongSize(self.size, self._promised)
        if self.size > self._limit:
            raise self._too_large(self._limit)
        return chunk


async def _in_pieces(content: bytes) -> AsyncIterator[bytes]:
    if len(content) <= _PIECE:
        yield content
        return
    for start in range(0, len(content), _PIECE):
        yield content[start : start + _PIECE]


@define(eq=False)
class Pieces:
    """
    A stream of chunks as pieces; the last one may be shorter.

    How large they are is asked before each chunk, and counts from the next piece.
    """

    _chunks: AsyncIterator[bytes]
    _size: Callable[[], int]  # bytes of the next piece
    _segmenter: Segmenter = field(init=False)
    _ready: list[bytearray] = field(factory=list, init=False, repr=False)
    _ended: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._segmenter = Segmenter(self._size())

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytearray:
        while not self._ready and not self._ended:
            self._segmenter.piece_size = self._size()
            try:
                self._ready = self._segmenter.feed(await self._chunks.__anext__())
            except StopAsyncIteration:
                self._ended = True
                rest = self._segmenter.finish()
                self._ready = [rest] if rest else []
        if not self._ready:
            raise StopAsyncIteration
        return self._ready.pop(0)
