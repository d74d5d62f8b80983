"""Waiting at a gate that opens and shuts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import Deferred


@define(eq=False)
class Gate:
    """
    Whoever waits goes through in the order of arrival, one by one, while it is open.

    Each may shut it behind himself; then the others are not woken.
    """

    _is_open: Callable[[], bool]
    _waiting: deque[Deferred[None]] = field(factory=deque, init=False, repr=False)

    async def go_through(self) -> None:
        """Return when it is open, and all who came before went through."""
        if self._waiting or not self._is_open():
            turn: Deferred[None] = Deferred(self._waiting.remove)
            self._waiting.append(turn)
            await turn

    def look(self) -> None:
        """It may have been opened: let through who waits."""
        while self._waiting and self._is_open():
            self._waiting.popleft().callback(None)
