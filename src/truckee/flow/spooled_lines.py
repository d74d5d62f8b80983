"""Lines that are written one after the other and read from the first one on, often."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence

from attrs import define, field

from truckee.flow.spool import Spool

# What is shorter is in memory alone.
IN_MEMORY = 64 << 10  # bytes
_PIECE = 64 << 10  # bytes that are read at once

NewSpool = Callable[[], Spool]


@define(eq=False)
class SpooledLines:
    """
    Lines of bytes, in memory or, if they are long, on disk.  Whoever makes one closes it.

    What is on disk is encrypted, under a key that is in memory alone.
    """

    _new_spool: NewSpool
    _spool: Spool | None = field(default=None, init=False)
    _last: list[bytes] = field(factory=list, init=False, repr=False)  # not on disk yet
    _size: int = field(default=0, init=False)  # bytes of these
    _closed: bool = field(default=False, init=False)
    _readers: int = field(default=0, init=False)

    async def append(self, lines: Sequence[bytes]) -> None:
        """
        Add *lines*, which have no line breaks in them; one caller at a time.

        :raises SpoolFull: :raises SpoolDiskFull:
        """
        self._last += lines
        self._size += sum(map(len, lines))
        if self._size > IN_MEMORY and not self._closed:
            if self._spool is None:
                self._spool = self._new_spool()
            whole = b"".join(line + b"\n" for line in self._last)
            self._last, self._size = [], 0
            await self._spool.append(whole)

    async def read(self) -> AsyncGenerator[list[bytes], None]:
        """Give the lines that there are at the start, some at a time."""
        last, spool = list(self._last), self._spool
        self._readers += 1
        try:
            rest = b""
            pieces = _nothing() if spool is None else spool.read(_PIECE)
            async for piece in pieces:
                *lines, rest = (rest + piece).split(b"\n")
                if lines:
                    yield lines
            if last:
                yield last
        finally:
            self._readers -= 1
            self._give_back()

    def close(self) -> None:
        """Give memory and disk back, once nobody reads; may be called twice."""
        self._closed = True
        self._last.clear()
        self._give_back()

    def _give_back(self) -> None:
        if self._closed and not self._readers and self._spool is not None:
            spool, self._spool = self._spool, None
            spool.close()


async def _nothing() -> AsyncGenerator[bytes, None]:
    return
    yield b""
