"""What all downloads together hold in memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from truckee.flow.limits import Budget

# One whose client took nothing for so long gives way to one who waits.
PATIENCE = 0.5  # seconds


class Holder(Protocol):
    """Somebody who holds what can be had again."""

    def let_go(self) -> None:
        """Give back all that is held, for now."""


@define(eq=False)
class Holdings:
    """
    A budget out of which nobody is kept for long by those who do not use what they hold.

    When somebody waits, holders that are idle let go, those first that are so for longest.
    """

    budget: Budget
    _clock: IReactorTime
    _idle: OrderedDict[Holder, float] = field(factory=OrderedDict, init=False, repr=False)
    _waiting: int = field(default=0, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)

    async def take(self, amount: int) -> None:
        """Return when *amount* bytes are the caller's, who gives them back."""
        if self.budget.try_take(amount):
            return
        self._waiting += 1
        self._watch()
        try:
            await self.budget.take(amount)
        finally:
            self._waiting -= 1
            if not self._waiting and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def try_take(self, amount: int) -> bool:
        """Take *amount* bytes if that needs no wait."""
        return self.budget.try_take(amount)

    @property
    def is_roomy(self) -> bool:
        """Whether there is enough for all who are here, and as many again."""
        return 2 * self.budget.used <= self.budget.limit

    def give(self, amount: int) -> None:
        """Give back *amount* bytes."""
        self.budget.give(amount)

    def is_idle(self, holder: Holder) -> None:
        """*holder* waits for its client from now on."""
        self._idle[holder] = self._clock.seconds()
        self._idle.move_to_end(holder)

    def is_busy(self, holder: Holder) -> None:
        """*holder* waits for nobody outside any more, or is gone."""
        self._idle.pop(holder, None)

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = self._clock.callLater(PATIENCE / 2, self._make_way)

    def _make_way(self) -> None:
        self._timer = None
        latest = self._clock.seconds() - PATIENCE
        for holder, since in list(self._idle.items()):
            if not self._waiting or since > latest:
                break
            if self._idle.pop(holder, None) is not None:
                holder.let_go()
        if self._waiting:
            self._watch()
