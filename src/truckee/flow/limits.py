"""Bounds that make callers wait: a budget of bytes, one holder for each name."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from attrs import define, field
from twisted.internet.defer import Deferred


@define(eq=False)
class Budget:
    """
    So many bytes for all who share it; those who wait are served in their order.

    One who asks for more than the whole gets the whole: nothing waits for ever.
    """

    limit: int  # bytes
    used: int = field(default=0, init=False)
    peak: int = field(default=0, init=False)  # the most ever used at once
    _waiting: deque[tuple[int, Deferred[None]]] = field(factory=deque, init=False)

    async def take(self, amount: int) -> None:
        """Return when *amount* bytes are the caller's, who gives them back."""
        if not self.try_take(amount):
            turn: Deferred[None] = Deferred(self._leave)
            self._waiting.append((self._possible(amount), turn))
            await turn

    def try_take(self, amount: int) -> bool:
        """Take *amount* bytes if that needs no wait."""
        amount = self._possible(amount)
        if self._waiting or self.used + amount > self.limit:
            return False
        self._use(amount)
        return True

    def reserve(self, amount: int) -> None:
        """Take *amount* bytes at once; the caller knows that others can still go on."""
        self._use(self._possible(amount))

    def give(self, amount: int) -> None:
        """Give *amount* bytes back, as taken or reserved."""
        self.used -= self._possible(amount)
        self._serve()

    def _possible(self, amount: int) -> int:
        return min(amount, self.limit)

    def _use(self, amount: int) -> None:
        self.used += amount
        self.peak = max(self.peak, self.used)

    def _serve(self) -> None:
        while self._waiting and self.used + self._waiting[0][0] <= self.limit:
            amount, turn = self._waiting.popleft()
            self._use(amount)
            turn.callback(None)

    def _leave(self, turn: Deferred[None]) -> None:
        self._waiting = deque(entry for entry in self._waiting if entry[1] is not turn)
        self._serve()


@define(eq=False)
class Exclusive:
    """One holder at a time for each key."""

    _queues: dict[Hashable, deque[Deferred[None]]] = field(factory=dict, init=False)

    @asynccontextmanager
    async def hold(self, key: Hashable) -> AsyncIterator[None]:
        """Hold *key*, after all who asked before."""
        queue = self._queues.get(key)
        if queue is None:
            self._queues[key] = deque()
        else:
            turn: Deferred[None] = Deferred(queue.remove)
            queue.append(turn)
            await turn
        try:
            yield
        finally:
            queue = self._queues[key]
            if queue:
                queue.popleft().callback(None)
            else:
                del self._queues[key]
