"""Trees in memory whose leases are renewed, by a clock that the test sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.grids import REACTOR, new_directory
from tests.tree.forest import Forest, directory, file
from truckee.codec.caps import DirectoryCap
from truckee.errors import TruckeeError
from truckee.flow.cpu import Workers
from truckee.immutable.check import CheckReport
from truckee.immutable.repair import RepairReport
from truckee.renewal.plan import RenewedTree
from truckee.renewal.renewals import Renewals
from truckee.renewal.server_watch import ServerWatch
from truckee.renewal.tree_renewal import Tools, TreeRenewal
from truckee.renewal.yielding import Yielding
from truckee.status.problems import Problems
from truckee.status.tasks import Tasks
from truckee.tree.ahead import Settling
from truckee.tree.object_check import Checkable, Wish
from truckee.tree.walk import Walker

P = ParamSpec("P")
T = TypeVar("T")

DAY = 86400.0
NOW = 1_800_000_000.0  # Unix seconds, at the clock's 0


@define(eq=False)
class DirectWorkers(Workers):
    """Those that do everything at once."""

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return work(*args, **kwargs)


@define(eq=False)
class FakeChecker:
    """Says of files what the test wants, and notes whose leases were renewed."""

    renewed: list[str] = field(factory=list)  # verify caps
    shares: dict[str, int] = field(factory=dict)  # good ones, by verify cap; of 10
    errors: dict[str, TruckeeError] = field(factory=dict)  # of repairs
    unwilling: set[str] = field(factory=set)  # whose leases a server does not renew
    holds: bool = False  # checks wait until they are released
    away: bool = False  # the grid
    _waiting: list[Deferred[None]] = field(factory=list)

    async def check(self, cap: Checkable, wish: Wish) -> CheckReport | RepairReport:
        """See ``ObjectChecker``."""
        name = str(cap.verify_cap())
        if self.holds:
            waiting: Deferred[None] = Deferred(self._waiting.remove)
            self._waiting.append(waiting)
            await waiting
        assert wish.add_lease and not wish.verify
        count = 0 if self.away else self.shares.get(name, 10)
        if count:
            self.renewed.append(name)
        before = self._report(name, count)
        if not wish.repair:
            return before
        if name in self.errors:
            raise self.errors[name]
        if count in (0, 10):
            return RepairReport(before, False, before)
        self.shares.pop(name)
        return RepairReport(before, True, self._report(name, 10))

    def release(self) -> None:
        """Let the checks go on that wait, and those that come."""
        self.holds = False
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def _report(self, name: str, count: int) -> CheckReport:
        cap, server = file("any").verify_cap(), object()
        good: Any = {number: {server: None} for number in range(count)}
        unrenewed: Any = [server] if name in self.unwilling else []
        return CheckReport(cap, False, [], good, [], [], unrenewed)


@define(eq=False)
class RenewedForest:
    """Directories, and the node that renews their leases."""

    case: SynchronousTestCase
    place: Path
    repair: bool = False
    clock: Clock = field(factory=Clock)
    skew: float = 0.0  # seconds that the clock of the machine is wrong
    servers: int = 10
    busy: bool = False
    checker: FakeChecker = field(factory=FakeChecker)
    forest: Forest = field(init=False)
    problems: Problems = field(init=False)
    tasks: Tasks = field(init=False)
    caps: dict[str, DirectoryCap] = field(factory=dict)
    cpu: Workers = field(init=False)

    @classmethod
    def new(cls, case: SynchronousTestCase, **more: Any) -> RenewedForest:
        """Return one that lives as long as the test."""
        return cls(case, new_directory(case), **more)

    def __attrs_post_init__(self) -> None:
        self.cpu = DirectWorkers(REACTOR, 1, "test")
        self.forest = Forest(self.cpu)
        self.problems = Problems(self.now)
        self.tasks = Tasks(self.clock, self.now, bytes)
        self.case.addCleanup(self.tasks.stop)

    def now(self) -> float:
        """Return what the clock of the machine says."""
        return NOW + self.clock.seconds() + self.skew

    def plant(self, alias: str, files: int) -> list[str]:
        """Plant a tree; return the verify caps of its directory and files, in order."""
        caps = {f"f{number:03}": file(f"{alias}-{number}") for number in range(files)}
        self.caps[alias] = self.forest.plant(alias, caps)
        root = str(directory(alias).inner.verify_cap())
        return [root, *(str(cap.verify_cap()) for cap in caps.values())]

    def cap_of(self, alias: str) -> DirectoryCap:
        """Return what an alias stands for."""
        return self.caps[alias]

    def start(self, *trees: RenewedTree) -> Renewals:
        """Start a node; it stops with the test."""
        settled = Settling(self.clock, 0.0)
        walker = Walker(
            self.forest, self.cpu, str(self.place), lambda _: bytes(32), settled
        )
        checker: Any = self.checker
        tools = Tools(
            walker,
            checker,
            self.repair,
            self.cap_of,
            self.place / "renewal",
            self.tasks,
            self.problems,
            ServerWatch(lambda: self.servers, self.clock),
            Yielding(lambda: self.busy, self.clock),
            self.cpu,
            self.clock,
            self.now,
            lambda: 0.0,
        )
        made = [TreeRenewal(each, tools) for each in trees]
        renewals = Renewals.of(made, self.clock, 0.0)
        renewals.start()
        self.case.addCleanup(self.stop, renewals)
        return renewals

    def stop(self, renewals: Renewals) -> None:
        """Stop a node."""
        Deferred.fromCoroutine(renewals.stop())

    def advance(self, seconds: float, step: float = 60.0) -> None:
        """Let time pass."""
        end = self.clock.seconds() + seconds
        while (left := end - self.clock.seconds()) > 0:
            self.clock.advance(min(step, left))
