"""Turns in the order in which they are asked for; some of them may be side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import Enum, auto

from attrs import define, field
from twisted.internet.defer import Deferred


class _Kind(Enum):
    """What somebody does in a turn."""

    LOOK = auto()
    ADD = auto()
    CHANGE = auto()


@define(eq=False)
class SharedTurns:
    """
    Who looks, beside others who look; who adds, beside others who add; and who changes
    something, alone.

    Each comes after all who asked before and may not run beside it.
    """

    _kind: _Kind = field(default=_Kind.LOOK, init=False)  # of those who have a turn
    _running: int = field(default=0, init=False)
    _waiting: deque[tuple[_Kind, Deferred[None]]] = field(factory=deque, init=False)
    _serving: bool = field(default=False, init=False)

    def look(self) -> AbstractAsyncContextManager[None]:
        """Have a turn beside others who look."""
        return self._turn(_Kind.LOOK)

    def add(self) -> AbstractAsyncContextManager[None]:
        """Have a turn beside others who add: what they do must not matter to each other."""
        return self._turn(_Kind.ADD)

    def change(self) -> AbstractAsyncContextManager[None]:
        """Have a turn alone."""
        return self._turn(_Kind.CHANGE)

    @asynccontextmanager
    async def _turn(self, kind: _Kind) -> AsyncIterator[None]:
        await self._enter(kind)
        try:
            yield
        finally:
            self._running -= 1
            self._serve()

    async def _enter(self, kind: _Kind) -> None:
        if self._waiting or not self._fits(kind):
            turn: Deferred[None] = Deferred(self._leave)
            self._waiting.append((kind, turn))
            await turn
        else:
            self._take(kind)

    def _fits(self, kind: _Kind) -> bool:
        shared = kind is self._kind and kind is not _Kind.CHANGE
        return not self._running or shared

    def _take(self, kind: _Kind) -> None:
        self._kind = kind
        self._running += 1

    def _serve(self) -> None:
        if self._serving:
            # The loop that served one who has ended already goes on; a loop in a loop for
            # everybody who waits would be too deep.
            return
        self._serving = True
        try:
            while self._waiting and self._fits(self._waiting[0][0]):
                kind, turn = self._waiting.popleft()
                self._take(kind)
                turn.callback(None)
        finally:
            self._serving = False

    def _leave(self, turn: Deferred[None]) -> None:
        for entry in self._waiting:
            if entry[1] is turn:
                self._waiting.remove(entry)
                break
        self._serve()
