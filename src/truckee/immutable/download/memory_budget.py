"""What all downloads together hold in memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from truckee.flow.limits import Budget
from truckee.flow.turns import MOST

# One whose client took nothing for so long gives way to one who waits; where many wait, to
# each of them after as much less, so that a crowd that takes nothing is soon through.
PATIENCE = 0.1  # seconds
# What a client that does take needs to do so.
_LEAST_PATIENCE = 0.02


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

    async def take(self, amount: int, soon: bool = False) -> None:
        """
        Return when *amount* bytes are the caller's, who gives them back.

        Those who took all that they were given so far, or want little, come *soon*.
        """
        if self.budget.try_take(amount):
            return
        self._waiting += 1
        self._watch()
        try:
            await self.budget.take(amount, soon)
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

    @property
    def _patience(self) -> float:
        return max(_LEAST_PATIENCE, PATIENCE / max(1, self._waiting))

    def _watch(self) -> None:
        wait = self._patience / 2
        if self._timer is None:
            self._timer = self._clock.callLater(wait, self._make_way)
        elif self._timer.getTime() > self._clock.seconds() + wait:
            self._timer.reset(wait)

    def _make_way(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        for holder, since in list(self._idle.items()):
            if not self._waiting or since > now - self._patience:
                break
            if self._clock.seconds() - now > MOST:
                # Each who waited begins at once, and others have work for this turn too.
                self._timer = self._clock.callLater(0, self._make_way)
                return
            if self._idle.pop(holder, None) is not None:
                holder.let_go()
        if self._waiting:
            self._watch()
