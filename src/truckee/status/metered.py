"""The body of an upload, counted, and held up while its task is paused."""

from __future__ import annotations

from collections.abc import AsyncIterator

from attrs import define

from truckee.status.progress import Progress


@define(eq=False)
class Metered:
    """
    The same chunks, each of them counted as received.

    While the gate is shut none is asked for, which is what holds the client up.
    """

    _chunks: AsyncIterator[bytes]
    _progress: Progress

    def __aiter__(self) -> Metered:
        return self

    async def __anext__(self) -> bytes:
        await self._progress.gate.passing()
        chunk = await self._chunks.__anext__()
        self._progress.received += len(chunk)
        return chunk
