"""Walks of whole trees that are begun with one request and asked for with others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from truckee.codec.caps import DirectoryCap
from truckee.errors import Misuse, TruckeeError
from truckee.flow.in_order import InOrder
from truckee.frontends.web.checking import wish_of
from truckee.frontends.web.deep_checks import AHEAD, CHECKS, DeepChecks
from truckee.frontends.web.deep_results import Checked, Manifest, Numbers, Results
from truckee.frontends.web.deep_units import index_in
from truckee.status.progress import Progress
from truckee.status.run import TaskCancelled, run_task
from truckee.status.task import Task
from truckee.status.tasks import TaskIdInUse, Tasks, UnknownTask
from truckee.tree.object_check import Wish
from truckee.tree.walk import Walk, Walked, Walker, one_by_one
from truckee.tree.walks import Walks

log = Logger()

KINDS = ("deep-check", "manifest", "deep-size", "deep-stats")
STARTS = tuple(f"start-{kind}" for kind in KINDS)


@define
class NoHandle(Misuse):
    """
    A handle is missing: choose 16 random characters or more and give them as ophandle=, to
    ask for the result at /operations/HANDLE.
    """


@define(eq=False)
class Operation:
    """One walk for a handle, and what it found."""

    walk: Walk
    results: Results
    progress: Progress
    _checks: DeepChecks
    _wish: Wish | None  # None: nothing is checked
    _stops: bool
    error: TruckeeError | None = field(default=None, init=False)  # what it failed of

    async def run(self) -> None:
        """Walk the tree.  :raises TruckeeError: which is *error*, too"""
        try:
            async with aclosing(self.walk.batches()) as batches:
                if self._wish is None:
                    async for batch in batches:
                        for walked in batch:
                            await self._add(walked, {})
                else:
                    await self._check_all(batches, self._wish)
        except TruckeeError as error:
            self.error = error
            raise

    async def _check_all(self, batches: AsyncIterator[list[Walked]], wish: Wish) -> None:
        async def look(walked: Walked) -> tuple[Walked, dict[str, object]]:
            return walked, await self._checks.check(walked.child, wish)

        checked = InOrder(one_by_one(batches), look, CHECKS, AHEAD)
        async with aclosing(checked.results()) as results:
            async for some in results:
                for walked, found in some:
                    await self._add(walked, found)

    async def _add(self, walked: Walked, found: dict[str, object]) -> None:
        await self.results.add(walked, found)
        self.progress.objects += 1
        if walked.error is not None and self._stops:
            raise walked.error


@define(eq=False)
class DeepOperations:
    """Begins walks, and finds them by their tasks as long as these are known."""

    _walker: Walker
    _checks: DeepChecks
    _tasks: Tasks
    _walks: Walks
    _known: dict[Task, Operation] = field(factory=dict, init=False, repr=False)
    _running: dict[Task, Deferred[None]] = field(factory=dict, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._tasks.on_forget.append(self._forget)
        self._tasks.on_stop.append(self._stop)

    def of(self, task: Task) -> Operation | None:
        """Return the walk of *task*, if it is one."""
        return self._known.get(task)

    async def start(
        self, cap: DirectoryCap, kind: str, args: Mapping[str, str], stops: bool
    ) -> Task:
        """
        Begin a walk of *kind* below *cap*; it takes the place of one with this handle.

        :raises NoHandle: :raises BadTaskId: :raises TaskIdInUse: :raises TooManyWalks:
        """
        handle = args.get("ophandle")
        if not handle:
            raise NoHandle
        wish = wish_of(args) if kind == "deep-check" else None
        await self._replace(handle)
        self._tasks.check_id(handle)
        walk = self._walker.walk(cap)
        results = self._results(walk, cap, kind, wish)
        progress = Progress(phase="walking" if wish is None else "checking")
        operation = Operation(walk, results, progress, self._checks, wish, stops)
        begun: list[Task] = []

        async def work(task: Task) -> None:
            begun.append(task)
            self._known[task] = operation
            await operation.run()

        self._walks.take()
        done = Deferred.fromCoroutine(run_task(self._tasks, kind, handle, progress, work))
        [task] = begun
        self._running[task] = done
        done.addErrback(_log)
        done.addBoth(self._end, task)
        return task

    async def _replace(self, handle: str) -> None:
        """Let *handle* be free, if an operation has it."""
        try:
            task = self._tasks.find(handle)
        except UnknownTask:
            return
        if task not in self._known:
            if task.ended is None:
                raise TaskIdInUse
            return
        task.cancel()
        await task.over()
        self._tasks.forget(task)

    def _results(
        self, walk: Walk, cap: DirectoryCap, kind: str, wish: Wish | None
    ) -> Results:
        origin = index_in(str(cap.verify_cap() or ""))
        told, new_spool = walk.statistics, self._walker.new_spool
        if wish is not None:
            return Checked(told, origin, new_spool, wish.repair)
        if kind == "manifest":
            return Manifest(told, origin, new_spool)
        return Numbers(told, kind == "deep-size")

    def _end(self, _: object, task: Task) -> None:
        self._walks.give()
        self._running.pop(task, None)

    def _forget(self, task: Task) -> None:
        operation = self._known.pop(task, None)
        if operation is not None:
            operation.results.close()

    def _stop(self) -> None:
        for task in list(self._running):
            task.cancel("the gateway was stopped")


def _log(failure: Failure) -> None:
    # What the operator can do something about, the end of the task has told.
    if failure.check(TruckeeError, TaskCancelled, CancelledError) is None:
        log.failure("A walk failed", failure=failure)
