"""Work that waits for others, and goes on slowly while there always are some."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from truckee.flow.limits import Budget

# Between two looks whether others still work; and what is waited for them at most.
_LOOK, _MOST = 0.1, 0.5  # seconds


@define(eq=False)
class Yielding:
    """Lets one after the other through, with pauses, while others are *busy*."""

    _busy: Callable[[], bool]
    _clock: IReactorTime
    _one: Budget = field(factory=lambda: Budget(1), init=False)

    async def turn(self) -> None:
        """Return at once if nobody else works, or after a pause."""
        if not self._busy():
            return
        async with self._one.hold(1):
            end = self._clock.seconds() + _MOST
            while self._busy() and self._clock.seconds() < end:
                await deferLater(self._clock, _LOOK)
