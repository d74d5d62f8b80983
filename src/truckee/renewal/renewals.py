"""The job of the node that renews the leases of its trees, one tree after the other."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from truckee.errors import Misuse
from truckee.flow.timer import Timer
from truckee.flow.together import Group
from truckee.renewal.tree_renewal import RenewalStatus, TreeRenewal
from truckee.status.task import BY_REQUEST

# Delay after the start, and the most that is added at random: servers connect first, and
# many nodes may start at the same time.  In seconds.
_FIRST, _JITTER = 300.0, 300.0
# Longest and shortest wait between two checks whether a pass is due.
_LONGEST, _SHORTEST = 600.0, 1.0  # seconds


@define
class NotRenewed(Misuse):
    """The leases of no such tree are renewed here: {known}."""

    known: str


@define(eq=False)
class Renewals:
    """``start`` it, and ``stop`` it in the end."""

    trees: Sequence[TreeRenewal]
    _clock: IReactorTime
    _first: float  # seconds until the first pass
    _call: Timer = field(factory=Timer, init=False)
    _work: Group = field(factory=Group, init=False, repr=False)
    _busy: bool = field(default=True, init=False)  # loading, or running passes
    _soon: bool = field(default=False, init=False)

    @classmethod
    def of(
        cls, trees: Sequence[TreeRenewal], clock: IReactorTime, random: float
    ) -> Renewals:
        """Return the job for *trees*; *random* is from 0 to 1."""
        return cls(trees, clock, _FIRST + _JITTER * random)

    def start(self) -> None:
        """Continue where an earlier process was, in a while."""
        self._work.start(self._load())

    async def stop(self) -> None:
        """Return when nothing goes on any more; how far it is, is on disk then."""
        for tree in self.trees:
            tree.cancel("the gateway was stopped")
        await self._work.stop()
        self._wait_no_more()

    def run_now(self, alias: str | None = None) -> None:
        """Renew all trees soon, or that of *alias*.  :raises NotRenewed:"""
        for tree in self._chosen(alias):
            tree.request()
        self._soon = True
        if not self._busy:
            self._later(0.0)

    def cancel(self, alias: str | None = None) -> None:
        """
        End the pass under way, or that of *alias*; it is not continued.

        The next one comes when it is due.  :raises NotRenewed:
        """
        for tree in self._chosen(alias):
            tree.cancel(BY_REQUEST)

    def _chosen(self, alias: str | None) -> list[TreeRenewal]:
        chosen = [each for each in self.trees if alias in (None, each.tree.alias)]
        if not chosen:
            known = ", ".join(each.tree.alias for each in self.trees)
            raise NotRenewed(known or "name one as renew in tahoe.cfg, section [client]")
        return chosen

    def status(self) -> list[RenewalStatus]:
        """Return how each tree is, in the order of the configuration."""
        return [tree.status() for tree in self.trees]

    async def _load(self) -> None:
        for tree in self.trees:
            await tree.load(self._first)
        self._schedule()

    def _schedule(self) -> None:
        """Wait until a pass is due; the clock may be set, so wake up before that, too."""
        self._busy = False
        waits = [tree.wait() for tree in self.trees]
        self._later(0.0 if self._soon else max(_SHORTEST, min(_LONGEST, *waits)))

    def _wait_no_more(self) -> None:
        self._call.cancel()

    def _later(self, seconds: float) -> None:
        self._wait_no_more()
        self._call.start(self._clock.callLater, seconds, self._begin)

    def _begin(self) -> None:
        self._busy = True
        self._work.start(self._run_due())

    async def _run_due(self) -> None:
        """Run the passes that are due, one after the other."""
        self._soon = False
        for tree in self.trees:
            if await tree.update() <= 0:
                await tree.attempt()
        self._schedule()
