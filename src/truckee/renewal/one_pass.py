"""
One walk of a tree that renews the leases of all that is met, from its cursor on.

A network outage must not look like a lost tree.  When no server has a share of an object,
either the object is lost or the grid is unreachable.  The object counts as lost only after
a server returned a share of a later object; until then the cursor stays in front of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from attrs import define, evolve, field, frozen

from truckee.codec.caps import DirectoryCap, LiteralCap
from truckee.codec.walk_cursor import CursorKey
from truckee.errors import TruckeeError, Unavailable
from truckee.flow.in_order import InOrder
from truckee.immutable.check import CheckReport
from truckee.immutable.repair import RepairReport
from truckee.mutable.check import MutableReport
from truckee.mutable.repair import MutableRepairReport
from truckee.renewal.server_watch import ServerWatch
from truckee.renewal.state import Pass, RenewalState, Unhealthy
from truckee.tree.object_check import Checkable, ObjectChecker, Report, Wish
from truckee.tree.walk import Walk, Walked, one_by_one

# Objects checked in parallel; a deep-check, whose client waits for it, checks more.
AT_ONCE = 4
# Consecutive objects without any share that are treated as an outage.
MAX_MISSING = 50
# Bound on results that are not counted yet; beyond it they are counted as they are.
_MAX_WAITING = 2000

_MOST_REASON = 300  # characters


@define
class NoServers(Unavailable):
    """No storage server can be reached."""


@define
class GridSilent(Unavailable):
    """The storage servers have nothing of {count} objects in a row."""

    count: int


@frozen
class Outcome:
    """The result of checking one object."""

    walked: Walked
    checked: bool = True  # it has shares
    found: bool = True  # a server has one of them
    reason: str = ""  # why it is unhealthy; empty: it is not
    lost: bool = False
    repaired: bool = False
    unrenewed: bool = False


@define(eq=False)
class OnePass:
    """One part of a pass: from the cursor to the end, or to what stops it."""

    _root: DirectoryCap
    _walk: Walk
    _key: CursorKey
    _checker: ObjectChecker
    _wish: Wish
    _state: RenewalState
    _servers: ServerWatch
    # Returns when the next object may be checked.
    _turn: Callable[[], Awaitable[None]]
    # Called after each step, when the state is up to date.
    _noted: Callable[[], Awaitable[None]]
    _max_missing: int | None  # None: an object without any share is lost
    _waiting: list[Outcome] = field(factory=list, init=False)
    _missing: int = field(default=0, init=False)  # of these, those that no server has

    async def run(self) -> None:
        """
        Return when the end was reached.

        :raises NoServers: :raises GridSilent: when the grid seems to be away.
        :raises TruckeeError: when the root cannot be read, or the walk does not find the
            way back to its cursor.
        """
        async with aclosing(self._walk.batches()) as batches:
            await self._check_all(one_by_one(batches))
        await self._confirm()
        self._count()
        await self._noted()

    async def _check_all(self, objects: AsyncIterator[Walked]) -> None:
        outcomes = InOrder(objects, self._check_one, AT_ONCE)
        async with aclosing(outcomes.results()) as results:
            async for some in results:
                for each in some:
                    self._take(each)
                await self._noted()

    async def _check_one(self, walked: Walked) -> Outcome:
        await self._turn()
        self._check_servers()
        cap = walked.child.cap
        inner = cap.inner if isinstance(cap, DirectoryCap) else cap
        if walked.error is not None and not walked.path:
            raise walked.error
        if inner is None or isinstance(inner, LiteralCap):
            return Outcome(walked, checked=False)
        outcome = await self._check(walked, inner)
        if walked.error is None:
            return outcome
        return evolve(outcome, reason=_short(walked.error))

    async def _check(self, walked: Walked, cap: Checkable) -> Outcome:
        """Return what was found; an error of the repair is a reason."""
        # Shares on a server that comes back need not be made again.
        if self._wish.repair and not self._servers.complete():
            outcome = await self._check_only(walked, cap)
            if outcome.reason:
                reason = f"{outcome.reason}; not repaired, since a server went away lately"
                outcome = evolve(outcome, reason=reason)
            return outcome
        if not self._wish.repair:
            return await self._check_only(walked, cap)
        try:
            return outcome_of(walked, await self._checker.check(cap, self._wish))
        except TruckeeError as error:
            outcome = await self._check_only(walked, cap)
            return evolve(outcome, reason=_short(error))

    async def _check_only(self, walked: Walked, cap: Checkable) -> Outcome:
        wish = evolve(self._wish, repair=False)
        try:
            return outcome_of(walked, await self._checker.check(cap, wish))
        except TruckeeError as error:
            return Outcome(walked, True, False, _short(error))

    def _take(self, outcome: Outcome) -> None:
        """Count *outcome*, or defer that until the grid is known to be reachable."""
        self._waiting.append(outcome)
        if outcome.checked and not outcome.found:
            self._missing += 1
            self._check_servers()
            if self._max_missing is not None and self._missing >= self._max_missing:
                raise GridSilent(self._missing)
        elif outcome.checked or not self._missing or len(self._waiting) > _MAX_WAITING:
            self._count()

    def _count(self) -> None:
        """Count the deferred outcomes, and move the cursor behind them."""
        waiting, self._waiting, self._missing = self._waiting, [], 0
        if not waiting:
            return
        now = self._state.now
        assert now is not None
        for outcome in waiting:
            count(now, outcome)
        self._state.cursor = self._key.seal(waiting[-1].walked.cursor)

    async def _confirm(self) -> None:
        """:raises GridSilent: if the last objects were missing, and the root is as well."""
        self._check_servers()
        root = self._root.inner
        if not self._missing or self._max_missing is None or isinstance(root, LiteralCap):
            return
        report = await self._checker.check(root, evolve(self._wish, repair=False))
        if report is not None and not shares_in(report):
            self._check_servers()
            raise GridSilent(self._missing)

    def _check_servers(self) -> None:
        if not self._servers.reachable():
            raise NoServers


def count(now: Pass, outcome: Outcome) -> None:
    """Count one object of a pass, and list it if it is unhealthy."""
    counts = now.counts
    counts.objects += 1
    counts.checked += outcome.checked
    counts.repaired += outcome.repaired
    counts.unrenewed += outcome.unrenewed
    if outcome.walked.error is not None:
        counts.unreadable += 1
    if outcome.reason:
        counts.unhealthy += 1
        counts.lost += outcome.lost
        now.add(Unhealthy(outcome.walked.path, outcome.reason))


def outcome_of(walked: Walked, report: Report) -> Outcome:
    """Return what *report* says of an object."""
    if report is None:
        return Outcome(walked, checked=False)
    attempted = False
    before = after = report
    if isinstance(report, RepairReport | MutableRepairReport):
        attempted, before, after = report.attempted, report.before, report.after
    assert isinstance(before, CheckReport | MutableReport)
    assert isinstance(after, CheckReport | MutableReport)
    healthy = after.healthy
    return Outcome(
        walked,
        found=bool(shares_in(before)),
        reason="" if healthy else _why(after, attempted),
        lost=not after.recoverable,
        repaired=attempted and healthy,
        unrenewed=bool(before.unrenewed),
    )


def shares_in(
    report: CheckReport | MutableReport | RepairReport | MutableRepairReport,
) -> int:
    """Return how many shares servers have, or had before a repair, good or bad."""
    if isinstance(report, RepairReport | MutableRepairReport):
        return shares_in(report.before)
    if isinstance(report, CheckReport):
        return len(report.good) + len(report.corrupt) + len(report.unreadable)
    return len(report.versions.shares) + len(report.versions.damaged)


def _why(report: CheckReport | MutableReport, attempted: bool) -> str:
    """Return in which way an object is unhealthy."""
    if isinstance(report, CheckReport):
        good, needed, total = len(report.good), report.cap.needed, report.cap.total
    else:
        good = len({place.number for place in report.good})
        needed, total = report.needed, report.total
    text = f"{good} of {total} shares are good, {needed} are needed"
    if good >= total:
        text = "there are corrupt shares, or shares of another version"
    if not report.recoverable:
        text = f"it cannot be read: {text}"
    return f"{text}; the repair did not succeed" if attempted else text


def _short(error: TruckeeError) -> str:
    text = " ".join(str(error).split())
    return text[:_MOST_REASON] or type(error).__name__
