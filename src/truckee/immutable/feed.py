"""A stream whose bytes are handed over one chunk at a time, by one giver after another."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred


@define(eq=False)
class Feed:
    """
    Chunks, as an asynchronous iterator that holds none of them.

    A chunk goes from its giver to the consumer when that asks for it.  There is one giver
    at a time; another may follow when it was cancelled.
    """

    taken: int = field(default=0, init=False)  # bytes that the consumer has
    _ended: bool = field(default=False, init=False)
    _error: Exception | None = field(default=None, init=False)
    _consumer: Deferred[bytes | None] | None = field(default=None, init=False)
    _giver: Deferred[None] | None = field(default=None, init=False)

    # From the giver

    async def give(self, chunk: bytes) -> None:
        """
        Hand *chunk* over; returns when the consumer asks for the next one.

        Cancelled before, it has given all of the chunk or nothing: see ``taken``.
        """
        await self.ready()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            self.taken += len(chunk)
            consumer.callback(chunk)
        await self.ready()

    async def ready(self) -> None:
        """Return when the consumer waits; raise the error it ended with, if it did."""
        while self._consumer is None:
            if self._error is not None:
                raise self._error.with_traceback(None)
            giver = self._giver = Deferred()
            await giver

    def end(self) -> None:
        """No more chunks will come."""
        self._ended = True
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.callback(None)

    # From the consumer

    def gone(self, error: Exception) -> None:
        """The consumer ended with *error*, and takes no more."""
        self._consumer = None
        self._error = error
        self._wake_giver()

    def __aiter__(self) -> Feed:
        return self

    async def __anext__(self) -> bytes:
        chunk = None
        if not self._ended:
            asked = self._consumer = Deferred()
            self._wake_giver()
            try:
                chunk = await asked
            finally:
                if self._consumer is asked:  # it was cancelled
                    self._consumer = None
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    def _wake_giver(self) -> None:
        giver, self._giver = self._giver, None
        if giver is not None and not giver.called:
            giver.callback(None)
