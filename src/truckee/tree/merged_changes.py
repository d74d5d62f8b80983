"""
Changes of directories that come while another one is written: all of them in one write.

Source: ``docs/directories.md``, "Many changes at once".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from truckee.flow.limits import Exclusive
from truckee.flow.shared import Shared
from truckee.flow.together import Work

# A directory is not written more often than this.
_INTERVAL = 0.05  # seconds from one beginning to the next

K = TypeVar("K")
C = TypeVar("C")


@define(eq=False)
class Asked(Generic[C]):
    """One change that somebody waits for."""

    change: C
    # Why it was not made, though others were.  The last try counts.
    error: Exception | None = None


@define(eq=False)
class _Batch(Generic[C]):
    """Changes that are made together."""

    asked: list[Asked[C]] = field(factory=list)
    has_begun: bool = False


@define(eq=False)
class MergedChanges(Generic[K, C]):
    """
    Hands changes of one thing over together, and one after another.

    *write* makes those that it is given, and says in each which could not be made; what it
    raises is raised for all of them.
    """

    _write: Callable[[K, list[Asked[C]]], Work[None]]
    _clock: IReactorTime
    _waiting: dict[K, _Batch[C]] = field(factory=dict, init=False)
    _turns: Exclusive = field(factory=Exclusive, init=False)
    _shared: Shared[_Batch[C], None] = field(factory=Shared, init=False)
    _begun: dict[K, float] = field(factory=dict, init=False)  # by the clock

    async def make(self, key: K, change: C) -> None:
        """Return when *change* was made; raise what it raised."""
        batch = self._waiting.get(key)
        if batch is None:
            batch = self._waiting[key] = _Batch()
        asked = Asked(change)
        batch.asked.append(asked)
        try:
            await self._shared.run(batch, lambda: self._run(key, batch))
        finally:
            # Whoever is gone before it began has changed nothing.
            if not batch.has_begun:
                batch.asked.remove(asked)
        if asked.error is not None:
            raise asked.error

    async def _run(self, key: K, batch: _Batch[C]) -> None:
        try:
            async with self._turns.hold(key):
                await self._rest(key)
                self._close(key, batch)
                batch.has_begun = True
                self._begun[key] = self._clock.seconds()
                await self._write(key, batch.asked)
        finally:
            self._close(key, batch)

    def _close(self, key: K, batch: _Batch[C]) -> None:
        """Let those who come now be in another batch."""
        if self._waiting.get(key) is batch:
            del self._waiting[key]

    async def _rest(self, key: K) -> None:
        now = self._clock.seconds()
        self._begun = {k: at for k, at in self._begun.items() if now - at < _INTERVAL}
        begun = self._begun.get(key)
        if begun is not None:
            await deferLater(self._clock, begun + _INTERVAL - now)
