"""
The one place where a full consumer becomes a paused transport.

A protocol feeds an ``Inbound`` from outside; a coroutine iterates over it.
"""

from __future__ import annotations

from typing import Protocol

from attrs import define, field

from truckee.flow.changes import Changes

# Bytes held before the source is paused.  One more read of the transport can follow.
HIGH_WATER = 256 * 1024


class Source(Protocol):
    """What can be told to stop and go: a network transport, or a file."""

    def pauseProducing(self) -> None:
        """Send nothing until told."""

    def resumeProducing(self) -> None:
        """Send again."""


@define(eq=False)
class Inbound:
    """
    Bytes from outside, as an asynchronous iterator.

    The source starts paused: the first ``__anext__`` lets it go.  Each step gives all
    that came since the last one, at most *high_water* bytes and one transport read, so a
    slow consumer gets large chunks and a fast one gets each read as it arrives.
    """

    _source: Source
    _high_water: int = HIGH_WATER
    _held: list[bytes] = field(factory=list, init=False, repr=False)
    _size: int = field(default=0, init=False)
    _paused: bool = field(default=True, init=False)
    _ended: bool = field(default=False, init=False)
    _error: Exception | None = field(default=None, init=False)
    _changes: Changes = field(factory=Changes, init=False, repr=False)

    # From outside

    def received(self, data: bytes) -> None:
        """Take the next bytes; empty ones and those after the end are dropped."""
        if not data or self._ended:
            return
        self._held.append(data)
        self._size += len(data)
        if self._size >= self._high_water and not self._paused:
            self._paused = True
            self._source.pauseProducing()
        self._changes.wake()

    def finished(self) -> None:
        """No more bytes will come, and all that came are good."""
        self._ended = True
        self._changes.wake()

    def failed(self, error: Exception) -> None:
        """No more bytes will come; the iterator raises *error* now, not what is held."""
        if not self._ended:
            self._ended = True
            self._error = error
            self._held.clear()
            self._size = 0
            self._changes.wake()

    def broken(self, error: Exception) -> None:
        """No more bytes will come; the iterator raises *error* behind what is held."""
        if not self._ended:
            self._ended = True
            self._error = error
            self._changes.wake()

    @property
    def held(self) -> int:
        """Bytes that wait for the consumer."""
        return self._size

    # To the consumer

    def __aiter__(self) -> Inbound:
        return self

    async def __anext__(self) -> bytes:
        while not self._held:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            if self._paused:
                self._paused = False
                self._source.resumeProducing()
                continue
            await self._changes.once()
        chunk = b"".join(self._held) if len(self._held) > 1 else self._held[0]
        self._held.clear()
        self._size = 0
        if self._paused and not self._ended:
            self._paused = False
            self._source.resumeProducing()
        return chunk
