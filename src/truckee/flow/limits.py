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

    Those who come soon have a queue of their own, and are served in turns with the others:
    neither queue can starve the other.

    A request larger than the limit is granted when nothing else is outstanding, so no
    caller blocks forever.
    """

    limit: int  # bytes
    used: int = field(default=0, init=False)
    peak: int = field(default=0, init=False)  # the most ever used at once
    _taken: int = field(default=0, init=False)  # of what is used; the rest is reserved
    _soon: deque[tuple[int, Deferred[None]]] = field(factory=deque, init=False)
    _others: deque[tuple[int, Deferred[None]]] = field(factory=deque, init=False)
    _was_soon: bool = field(default=False, init=False)  # the last who was served
    _serving: bool = field(default=False, init=False)

    @property
    def _waiting(self) -> deque[tuple[int, Deferred[None]]]:
        """The queue whose turn it is; it is empty when nobody waits."""
        if self._soon and not (self._others and self._was_soon):
            return self._soon
        return self._others

    async def take(self, amount: int, soon: bool = False) -> None:
        """Return when *amount* bytes are the caller's, who gives them back."""
        if not self.try_take(amount):
            turn: Deferred[None] = Deferred(self._leave)
            (self._soon if soon else self._others).append((amount, turn))
            await turn

    def try_take(self, amount: int) -> bool:
        """Take *amount* bytes if that needs no wait."""
        if self._waiting or not self._fits(amount):
            return False
        self._take(amount)
        return True

    @asynccontextmanager
    async def hold(self, amount: int) -> AsyncIterator[None]:
        """Have *amount* bytes for as long as the caller is in here."""
        await self.take(amount)
        try:
            yield
        finally:
            self.give(amount)

    def give(self, amount: int) -> None:
        """Give back *amount* bytes that were taken."""
        self._taken -= amount
        self.release(amount)

    def keep(self, amount: int) -> None:
        """Go on counting *amount* bytes that were taken, as reserved ones."""
        self._taken -= amount
        self._serve()

    def reserve(self, amount: int) -> None:
        """Count *amount* bytes at once that are held for longer; nobody waits for these."""
        self.used += amount
        self.peak = max(self.peak, self.used)

    def release(self, amount: int) -> None:
        """Give back *amount* bytes that were reserved."""
        self.used -= amount
        self._serve()

    def _fits(self, amount: int) -> bool:
        return not self._taken or self.used + amount <= self.limit

    def _take(self, amount: int) -> None:
        self._taken += amount
        self.reserve(amount)

    def _serve(self) -> None:
        if self._serving:
            # One who was just served gave it back at once.  The loop that served it goes
            # on; a loop in a loop for everybody who waits would be too deep.
            return
        self._serving = True
        try:
            while (queue := self._waiting) and self._fits(queue[0][0]):
                amount, turn = queue.popleft()
                self._was_soon = queue is self._soon
                self._take(amount)
                turn.callback(None)
        finally:
            self._serving = False

    def _leave(self, turn: Deferred[None]) -> None:
        for queue in (self._soon, self._others):
            for entry in queue:
                if entry[1] is turn:
                    queue.remove(entry)
                    break
        self._serve()


@define(eq=False)
class Exclusive:
    """One holder at a time for each key."""

    _queues: dict[Hashable, deque[Deferred[None]]] = field(factory=dict, init=False)
    # Whose holder was called by ``_pass_on``, and whether that one has ended already.
    _passing: dict[Hashable, bool] = field(factory=dict, init=False)

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
            self._pass_on(key)

    def _pass_on(self, key: Hashable) -> None:
        if key in self._passing:
            # One after the other: a call in a call for all who wait would be too deep.
            self._passing[key] = True
            return
        self._passing[key] = True
        try:
            while self._passing[key] and (queue := self._queues[key]):
                self._passing[key] = False
                queue.popleft().callback(None)
            if self._passing[key]:
                del self._queues[key]
        finally:
            del self._passing[key]
