"""Servers that are not connected, and that are likely to be so in a moment."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from truckee.flow.changes import Changes

# A server has so long to connect after it became known or was cut off; in seconds.
PATIENCE = 15.0


@define(eq=False)
class Arrivals:
    """
    Who is expected, each for ``PATIENCE``.

    An upload that an earlier run began waits for them: they may keep its shares, and what
    goes to others instead is sent again.
    """

    _clock: IReactorTime
    _until: dict[str, float] = field(factory=dict, init=False)  # by server id
    _changes: Changes = field(factory=Changes, init=False, repr=False)

    def expect(self, server_id: str) -> None:
        """A server began to be looked for, now or again."""
        self._until[server_id] = self._clock.seconds() + PATIENCE

    def settled(self, server_id: str) -> None:
        """A server is connected, or is looked for no more."""
        if self._until.pop(server_id, None) is not None and not self._until:
            self._changes.wake()

    async def all(self) -> None:
        """Return when nobody is expected any more."""
        while self._until:
            now = self._clock.seconds()
            late = [name for name, until in self._until.items() if until <= now]
            for name in late:
                self.settled(name)
            if self._until:
                soon = min(self._until.values()) - now
                await self._changes.once_within(self._clock, soon)
