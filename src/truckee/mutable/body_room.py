"""What the bodies of all clients that write mutable files have in memory together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import define

from truckee.flow.limits import Budget
from truckee.immutable.upload.body import Body, FileTooLarge

# A body that is no longer waits for nobody.
_SMALL = 64 << 10  # bytes


@define(eq=False)
class BodyRoom:
    """Long bodies take their turn, however slow their clients are."""

    _room: Budget  # bytes

    @asynccontextmanager
    async def hold(
        self, body: Body, most: int, *, streams: bool = False
    ) -> AsyncIterator[None]:
        """
        Have the first *most* bytes of *body* in memory; one that *streams* may have more.

        :raises FileTooLarge: when it has more and does not stream.
        """
        await body.peek(_SMALL + 1)
        room = 0 if body.ended else min(body.most, most)
        if room:
            await self._room.take(room)
        try:
            await body.peek(most + 1)
            if not (body.ended or streams):
                raise FileTooLarge(most)
            yield
        finally:
            if room:
                self._room.give(room)
