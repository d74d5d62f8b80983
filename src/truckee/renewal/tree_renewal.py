"""The renewal of one tree: pass after pass, each in as many attempts as it takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from truckee.codec.caps import DirectoryCap
from truckee.codec.walk_cursor import BadCursor, Cursor, CursorKey
from truckee.errors import TruckeeError
from truckee.flow.cpu import Workers
from truckee.renewal.one_pass import MAX_MISSING, GridSilent, NoServers, OnePass
from truckee.renewal.plan import RenewedTree
from truckee.renewal.schedule import note_clock, seconds_left
from truckee.renewal.server_watch import ServerWatch
from truckee.renewal.state import Pass, RenewalState
from truckee.renewal.state_file import load_state, save_state
from truckee.renewal.yielding import Yielding
from truckee.status.problems import Problems
from truckee.status.progress import Progress
from truckee.status.run import TaskCancelled, run_task
from truckee.status.task import Task
from truckee.status.tasks import Tasks
from truckee.tree.object_check import ObjectChecker, Wish
from truckee.tree.walk import Walker

log = Logger()

KIND = "renewal"  # of its tasks

# Of the interval: what is between two passes at least, however long the first took.
_REST = 0.1
_SAVE_EVERY = 2.0  # seconds
_RETRY, _MOST_RETRY = 60.0, 3600.0  # seconds after the first failure, and after many
# Attempts that fail without progress before an object without any share counts as lost;
# before the cursor is dropped, since a directory in front of it stays unreadable; and
# before the failure is reported as a problem of the node.
_ACCEPT_LOSS, _DROP_CURSOR, _REPORT = 3, 6, 3


@frozen(eq=False)
class Tools:
    """What renewing a tree takes."""

    walker: Walker
    checker: ObjectChecker
    repair: bool
    cap_of: Callable[[str], DirectoryCap]  # of an alias; blocks
    directory: Path  # of the states
    tasks: Tasks
    problems: Problems
    servers: ServerWatch
    yielding: Yielding
    disk: Workers
    clock: IReactorTime
    now: Callable[[], float]  # Unix seconds
    random: Callable[[], float]  # from 0 to 1


@frozen(eq=False)
class RenewalStatus:
    """One tree, as it is now.  Times are Unix seconds."""

    alias: str
    every: float  # seconds
    running: bool
    next_at: float | None  # when it continues or starts over; None: it is running
    now: Pass | None  # the pass under way
    last: Pass | None  # the last one that came to its end
    failures: int  # one after the other
    error: str  # the last of these; empty: there is none


@define(eq=False)
class TreeRenewal:
    """One tree.  ``load`` once; then ``attempt`` whenever ``wait`` says so."""

    tree: RenewedTree
    _tools: Tools
    state: RenewalState = field(factory=RenewalState, init=False)
    _task: Task | None = field(default=None, init=False)
    _failures: int = field(default=0, init=False)  # without progress between
    _silent: int = field(default=0, init=False)  # of these, with servers and no answer
    _error: str = field(default="", init=False)
    _requested: bool = field(default=False, init=False)  # now
    # By the clock: when this process began, or its last pass; and what is waited for.
    _began: float = field(default=0.0, init=False)
    _not_before: float = field(default=0.0, init=False)
    _saved: float = field(default=0.0, init=False)

    @property
    def _path(self) -> Path:
        return self._tools.directory / self.tree.file_name

    async def load(self, delay: float) -> None:
        """Take up what a process before left, to continue it after so many seconds."""
        tools = self._tools
        self._began = tools.clock.seconds()
        self._not_before = self._began + delay
        try:
            self.state = await tools.disk.run(load_state, self._path)
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            log.warn("A renewal of leases starts over: {error}", error=str(error))
        self._report()

    def request(self) -> None:
        """Make the next attempt due now, if none is under way."""
        self._requested = self._task is None

    async def update(self) -> float:
        """Note what the clock of the machine says, and who is there; return ``wait``."""
        self._tools.servers.reachable()
        if note_clock(self.state, self._tools.now()):
            await self._save()
        return self.wait()

    def wait(self) -> float:
        """Return in how many seconds the next attempt is due; 0 or less: it is."""
        if self._requested:
            return 0.0
        seconds = self._tools.clock.seconds()
        left = 0.0
        if self.state.now is None:
            running = seconds - self._began
            left = seconds_left(self.state, self.tree.every, self._tools.now(), running)
        return max(left, self._not_before - seconds)

    def status(self) -> RenewalStatus:
        """Return how it is."""
        running = self._task is not None
        return RenewalStatus(
            self.tree.alias,
            self.tree.every,
            running,
            None if running else self._tools.now() + max(0.0, self.wait()),
            self.state.now,
            self.state.last,
            self._failures,
            self._error,
        )

    def cancel(self, why: str) -> None:
        """End the attempt under way; unless by request, another process continues it."""
        if self._task is not None:
            self._task.cancel(why)

    async def attempt(self) -> None:
        """Continue the pass under way, or begin one, as far as that goes."""
        tools, state = self._tools, self.state
        self._requested = False
        if state.now is None:
            self._begin()
        assert state.now is not None
        before = state.cursor
        progress = Progress(phase="renewing", objects=state.now.counts.objects)

        async def work(task: Task) -> None:
            self._task = task
            await self._run_pass(progress)

        try:
            await run_task(tools.tasks, KIND, None, progress, work)
        except CancelledError:
            raise
        except TaskCancelled:
            state.give_up()
            self._rest()
        except TruckeeError as error:
            self._fail(error, state.cursor != before)
        except Exception as error:
            log.failure("A renewal of leases failed")
            self._fail(error, state.cursor != before)
        else:
            self._finish()
        finally:
            self._task = None
            await self._save()
        self._report()

    def _begin(self) -> None:
        self.state.begin(self._tools.now())
        self._began = self._tools.clock.seconds()

    async def _run_pass(self, progress: Progress) -> None:
        tools = self._tools
        cap = await tools.disk.run(tools.cap_of, self.tree.alias)
        key = CursorKey.of(cap)

        async def noted() -> None:
            assert self.state.now is not None
            progress.objects = self.state.now.counts.objects
            if tools.clock.seconds() - self._saved >= _SAVE_EVERY:
                await self._save()

        await OnePass(
            cap,
            tools.walker.walk(cap, self._cursor(key)),
            key,
            tools.checker,
            Wish(verify=False, repair=tools.repair, add_lease=True),
            self.state,
            tools.servers,
            tools.yielding.turn,
            noted,
            None if self._silent >= _ACCEPT_LOSS else MAX_MISSING,
        ).run()

    def _cursor(self, key: CursorKey) -> Cursor | None:
        """Return where the pass continues; None: at the root."""
        try:
            return key.open(self.state.cursor) if self.state.cursor else None
        except BadCursor:
            # The alias is another directory now.
            self._begin()
            return None

    def _finish(self) -> None:
        done = self.state.finish(self._tools.now())
        self._failures, self._silent, self._error = 0, 0, ""
        self._rest()
        worth = done.counts.unhealthy or done.counts.unrenewed
        log.emit(
            LogLevel.warn if worth else LogLevel.info,
            "Leases below the alias {alias} were renewed in {seconds:.0f} s: {objects} "
            "objects, {unhealthy} unhealthy, {unreadable} directories unreadable, "
            "{repaired} repaired, {unrenewed} not confirmed by all servers",
            alias=self.tree.alias,
            seconds=max(0.0, (done.ended or 0.0) - done.started),
            objects=done.counts.objects,
            unhealthy=done.counts.unhealthy,
            unreadable=done.counts.unreadable,
            repaired=done.counts.repaired,
            unrenewed=done.counts.unrenewed,
        )

    def _rest(self) -> None:
        self._not_before = self._tools.clock.seconds() + _REST * self.tree.every

    def _fail(self, error: Exception, moved: bool) -> None:
        """Note a failure; *moved*: there was progress before it."""
        tools = self._tools
        self._error = "Something went wrong inside the gateway."
        if isinstance(error, TruckeeError):
            self._error = str(error)
        if moved:
            self._failures = self._silent = 0
        self._failures += 1
        self._silent = self._silent + 1 if isinstance(error, GridSilent) else 0
        away = isinstance(error, NoServers | GridSilent)
        if self.state.cursor and not away and self._failures >= _DROP_CURSOR:
            # What is in front of the cursor does not come back: it is met as it is now.
            self._begin()
        wait = min(_MOST_RETRY, _RETRY * 2 ** min(self._failures - 1, 10))
        self._not_before = tools.clock.seconds() + wait * (1 + tools.random() / 4)
        # Why it stopped is logged as the end of its task.
        log.info(
            "The renewal of leases below the alias {alias} continues in {wait:.0f} s",
            alias=self.tree.alias,
            wait=wait,
        )

    async def _save(self) -> None:
        self._saved = self._tools.clock.seconds()
        name, tools = f"private/renewal/{self.tree.file_name}", self._tools
        try:
            await tools.disk.run(save_state, self._path, self.state)
        except OSError as error:
            why = error.strerror or str(error)
            tools.problems.report(
                name,
                f"It cannot be written ({why}). Leases are renewed all the same, and from "
                "the root of the tree after a restart.",
            )
        else:
            tools.problems.resolve(name)

    def _report(self) -> None:
        """Report what the operator has to know as a problem, or resolve that."""
        name, text = f"renewal of {self.tree.alias}", self._problem()
        if text:
            self._tools.problems.report(name, text)
        else:
            self._tools.problems.resolve(name)

    def _problem(self) -> str:
        last, alias = self.state.last, self.tree.alias
        if self._failures >= _REPORT:
            return (
                f"The leases below the alias {alias} are not renewed: {self._error} It is "
                "tried again; truckee renew shows when."
            )
        if last is not None and last.counts.unhealthy:
            return (
                f"{last.counts.unhealthy} of {last.counts.objects} objects below the alias "
                f"{alias} were unhealthy when their leases were renewed; truckee renew "
                "lists them."
            )
        return ""
