"""Turns in the order in which they are asked for; some of them may be side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import define, field
from twisted.internet.defer import Deferred


@define(eq=False)
class SharedTurns:
    """
    Who looks, beside others who look; and who changes something, alone.

    Each comes after all who asked before and may not run beside it.
    """

    _looking: int = field(default=0, init=False)
    _changing: bool = field(default=False, init=False)
    _waiting: deque[tuple[bool, Deferred[None]]] = field(factory=deque, init=False)
    _serving: bool = field(default=False, init=False)

    @asynccontextmanager
    async def look(self) -> AsyncIterator[None]:
        """Have a turn beside others who look."""
        await self._enter(False)
        try:
            yield
        finally:
            self._looking -= 1
            self._serve()

    @asynccontextmanager
    async def change(self) -> AsyncIterator[None]:
        """Have a turn alone."""
        await self._enter(True)
        try:
            yield
        finally:
            self._changing = False
            self._serve()

    async def _enter(self, alone: bool) -> None:
        if self._waiting or not self._fits(alone):
            turn: Deferred[None] = Deferred(self._leave)
            self._waiting.append((alone, turn))
            await turn
        else:
            self._take(alone)

    def _fits(self, alone: bool) -> bool:
        return not (self._changing or (alone and self._looking))

    def _take(self, alone: bool) -> None:
        if alone:
            self._changing = True
        else:
            self._looking += 1

    def _serve(self) -> None:
        if self._serving:
            # The loop that served one who has ended already goes on; a loop in a loop for
            # everybody who waits would be too deep.
            return
        self._serving = True
        try:
            while self._waiting and self._fits(self._waiting[0][0]):
                alone, turn = self._waiting.popleft()
                self._take(alone)
                turn.callback(None)
        finally:
            self._serving = False

    def _leave(self, turn: Deferred[None]) -> None:
        for entry in self._waiting:
            if entry[1] is turn:
                self._waiting.remove(entry)
                break
        self._serve()
