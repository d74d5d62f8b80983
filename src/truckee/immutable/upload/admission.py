"""
Who may upload at the same time, and who gives way.

An upload that waits for its client takes the memory of a segment and of what piles up
behind it, and only so many of these fit.  One of which little has come takes little, so it
needs no such place yet: a small file never does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred

from truckee.errors import Unavailable
from truckee.flow.fair import Debt, slowest
from truckee.flow.limits import Budget

# Bytes that come before an upload takes a place, and before servers are asked for room:
# what a connection may have in memory anyway.  There are no more of these than connections.
SMALL = 16 * 1024

# Seconds that a client may owe and keep its place; see ``flow.fair``.
_GRACE = 2.0


@define
class TooManyUploads(Unavailable):
    """
    {count} uploads are under way, and there is no memory for another one. Try again when
    one has ended, or raise [client] upload.memory-limit in tahoe.cfg.
    """

    count: int


@define
class GaveWay(Unavailable):
    """
    This upload was given up for another one: so many were under way that there was no more
    memory, and it was the slowest. Send it again, or in pieces, which can be resumed.
    """


@define(eq=False)
class Place:
    """One upload among the others, and the chunks that its client brings."""

    _admission: Admission
    _chunks: AsyncIterator[bytes]
    client: str  # empty: none waits for us, and it never gives way
    debt: Debt
    reserved: int
    full: bool = field(default=False, init=False)
    gave_way: bool = field(default=False, init=False)
    _pending: Deferred[bytes] | None = field(default=None, init=False)

    @property
    def owed(self) -> float:
        """Seconds for which the client was waited for; see ``Debt``."""
        return self.debt.seconds

    def grow(self) -> None:
        """Take the memory of an upload that is more than small.  :raises TooManyUploads:"""
        self._admission.grow(self)

    def give_way(self) -> None:
        """Have the next chunk, or the one that is waited for, be an error."""
        self.gave_way = True
        if self._pending is not None:
            self._pending.cancel()

    def __aiter__(self) -> Place:
        return self

    async def __anext__(self) -> bytes:
        if self.gave_way:
            raise GaveWay
        self.debt.wait()
        pending = self._pending = Deferred.fromCoroutine(_next(self._chunks))
        try:
            chunk = await pending
        except CancelledError:
            if self.gave_way:
                raise GaveWay from None
            raise
        finally:
            self._pending = None
            self.debt.rest()
        self.debt.pay(len(chunk))
        return chunk


async def _next(chunks: AsyncIterator[bytes]) -> bytes:
    return await chunks.__anext__()


@define(eq=False)
class Admission:
    """Counts the uploads, and their memory."""

    _budget: Budget
    _size: int  # bytes of an upload that waits for its client
    most: int  # of these
    _now: Callable[[], float]
    _places: set[Place] = field(factory=set, init=False, repr=False)

    @property
    def count(self) -> int:
        """How many uploads there are, small ones too."""
        return len(self._places)

    @property
    def is_full(self) -> bool:
        """Whether all places for more than small ones are taken."""
        return len(self._taken()) >= self.most

    @contextmanager
    def admit(self, chunks: AsyncIterator[bytes], client: str) -> Iterator[Place]:
        """Let an upload in, which is small at first."""
        place = Place(self, chunks, client, Debt(self._now), min(SMALL, self._size))
        self._places.add(place)
        self._budget.reserve(place.reserved)
        try:
            yield place
        finally:
            self._places.discard(place)
            self._budget.release(place.reserved)

    def grow(self, place: Place) -> None:
        """See ``Place``."""
        if self.is_full:
            droppable = [each for each in self._taken() if each.client]
            for each in slowest(droppable, 1, _GRACE):
                each.give_way()
        taken = self._taken()
        if len(taken) >= self.most:
            raise TooManyUploads(len(taken))
        place.full = True
        self._budget.reserve(self._size - place.reserved)
        place.reserved = self._size

    def _taken(self) -> list[Place]:
        return [each for each in self._places if each.full and not each.gave_way]
