"""Where something waits while it is paused."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred


@define(eq=False)
class Gate:
    """Open at first unless *shut*; whoever comes while it is shut waits."""

    _shut: bool = False
    _waiting: list[Deferred[None]] = field(factory=list, init=False, repr=False)

    def shut(self) -> None:
        """Let nobody pass from now on."""
        self._shut = True

    def open(self) -> None:
        """Let all pass."""
        self._shut = False
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:  # by a cancellation
                each.callback(None)

    async def passing(self) -> None:
        """Return when it is open."""
        while self._shut:
            turn: Deferred[None] = Deferred(self._waiting.remove)
            self._waiting.append(turn)
            await turn
