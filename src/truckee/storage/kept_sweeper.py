"""Removes shares in progress that nobody continued, again and again."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.flow.timer import Timer
from truckee.flow.together import Group
from truckee.storage.kept_shares import KeptShares, KeptTotals

log = Logger()


@define(eq=False)
class KeptSweeper:
    """
    Sweeps all kept shares of a node, one directory after the other.

    ``start`` it, and ``stop`` it in the end.
    """

    _clock: IReactorTime
    first: float = 300.0  # seconds after the start
    every: float = 3600.0  # seconds from the end of a sweep to the next one
    _all: list[KeptShares] = field(factory=list, init=False)
    _call: Timer = field(factory=Timer, init=False)
    _work: Group = field(factory=Group, init=False, repr=False)

    def add(self, kept: KeptShares) -> None:
        """Sweep *kept* too, from now on."""
        self._all.append(kept)

    @property
    def totals(self) -> KeptTotals | None:
        """What there is in all directories; None: there are none."""
        if not self._all:
            return None
        found = [kept.totals for kept in self._all]
        return KeptTotals(
            sum(each.shares for each in found),
            sum(each.size for each in found),
            sum(each.removed for each in found),
        )

    def start(self) -> None:
        """Sweep for the first time in a while."""
        self._later(self.first)

    async def stop(self) -> None:
        """Return when nothing is running any more; may be called twice."""
        self._call.cancel()
        await self._work.stop()

    def _later(self, seconds: float) -> None:
        self._call.start(self._clock.callLater, seconds, self._begin)

    def _begin(self) -> None:
        self._work.start(self._turn())

    async def _turn(self) -> None:
        for kept in list(self._all):
            try:
                await kept.sweep()
            except CancelledError:
                raise
            except Exception as error:
                # Most likely the disk.  The next sweep finds what this one left.
                log.warn("Shares in progress were not looked at: {error}", error=str(error))
        self._later(self.every)
