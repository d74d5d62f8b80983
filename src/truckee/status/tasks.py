"""
All tasks of a gateway, by their ids.

Whoever does something for a client says so::

    task = tasks.begin("upload", progress, Hooks(cancel, gate.shut, gate.open), wanted_id)
    ...                         # carriers fill in *progress*
    task.end(cap=str(cap))      # or: task.end(error=str(error))

``run.run_task`` does so for one coroutine.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from itertools import chain, islice

from attrs import define, field, frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from truckee.errors import Misuse, Refused
from truckee.status.progress import Progress
from truckee.status.task import Hooks, Task

ID_SIZE = 18  # bytes, 24 characters
_ID = re.compile(r"[A-Za-z0-9._~-]{16,128}")

# How often what runs is looked at: one part of its age, so that a rate is known early and
# what is old costs nothing.
LOOK = 0.05
SHORTEST, LONGEST = 0.05, 0.5  # seconds


@define
class BadTaskId(Misuse):
    """
    The id of a task has 16 to 128 characters of A-Z a-z 0-9 - _ . ~ and should be random:
    whoever has it can read the cap.
    """


@define
class UnknownTask(Misuse):
    """
    No task has this id: there was none, or it is forgotten, or the gateway was restarted.
    """


@define
class TaskIdInUse(Refused):
    """Another task runs under this id. Choose another one."""


@frozen
class TaskLimits:
    """How long tasks that are over can be asked for, in seconds, and how many."""

    chosen: float = 4 * 86400.0  # since the end, of one whose client chose the id
    made: float = 3600.0  # of others
    collected: float = 86400.0  # since its holder heard of the end
    retain: float = 30 * 86400.0  # the most that a holder can ask for
    kept: int = 500  # of each kind; the oldest goes


@define(eq=False)
class Tasks:
    """Begins tasks, finds them, and forgets those that are over."""

    _clock: IReactorTime
    _now: Callable[[], float]  # seconds since 1970
    _random: Callable[[int], bytes]
    limits: TaskLimits = field(factory=TaskLimits)
    changes: int = field(default=0, init=False)  # of states; who sees another looks again
    on_begin: list[Callable[[Task], None]] = field(factory=list, init=False)
    on_end: list[Callable[[Task], None]] = field(factory=list, init=False)
    on_forget: list[Callable[[Task], None]] = field(factory=list, init=False)
    on_stop: list[Callable[[], None]] = field(factory=list, init=False)
    _active: dict[str, Task] = field(factory=dict, init=False, repr=False)
    # By kind and id, those that ended first.
    _over: dict[str, dict[str, Task]] = field(factory=dict, init=False, repr=False)
    _count: int = field(default=0, init=False)
    _looked: float = field(default=float("-inf"), init=False)  # when that was
    _looking: IDelayedCall | None = field(default=None, init=False)

    def check_id(self, wanted: str | None) -> None:
        """:raises BadTaskId: :raises TaskIdInUse: if ``begin`` would not take it."""
        if wanted is None:
            return
        if not _ID.fullmatch(wanted):
            raise BadTaskId
        if wanted in self._active:
            raise TaskIdInUse

    def begin(
        self, kind: str, progress: Progress, hooks: Hooks, wanted: str | None = None
    ) -> Task:
        """
        Return a new task under the id that the client *wanted*, or one of our own.

        :raises BadTaskId: :raises TaskIdInUse:
        """
        self.check_id(wanted)
        made = urlsafe_b64encode(self._random(ID_SIZE)).decode("ascii")
        task_id = wanted or made
        for over in self._over.values():
            if task_id in over:
                self._drop(over, task_id)
        self._forget_old()
        self._count += 1
        task = Task(
            task_id,
            wanted is not None,
            self._count,
            kind,
            progress,
            hooks,
            self._now(),
            self._clock,
            self._now,
            self._changed,
        )
        self._active[task_id] = task
        self.changes += 1
        for hear in self.on_begin:
            hear(task)
        self._watch()
        return task

    def find(self, task_id: str) -> Task:
        """Return the task of *task_id*.  :raises UnknownTask:"""
        self._forget_old()
        for known in (self._active, *self._over.values()):
            task = known.get(task_id)
            if task is not None and not self._is_due(task):
                return task
        raise UnknownTask

    def numbered(self, kind: str, number: int) -> Task | None:
        """Return the task of this kind and number; None: there is none any more."""
        known = (self._active, self._over.get(kind, {}))
        for task in chain.from_iterable(each.values() for each in known):
            if (task.kind, task.number) == (kind, number) and not self._is_due(task):
                return task
        return None

    def active(self) -> list[Task]:
        """Return those that run, those that began last first."""
        return list(reversed(self._active.values()))

    def recent(self, most: int) -> list[Task]:
        """Return those that are over, *most* of each kind, those that began last first."""
        found: list[Task] = []
        for over in self._over.values():
            there = (task for task in reversed(over.values()) if not self._is_due(task))
            found += islice(there, most)
        return sorted(found, key=lambda task: task.number, reverse=True)

    def __iter__(self) -> Iterator[Task]:
        over = chain.from_iterable(each.values() for each in self._over.values())
        return iter([*over, *self._active.values()])

    def told_end(self, task: Task) -> None:
        """Keep *task* for a day, or as it was asked: its holder heard of its end."""
        if task.ended is not None and task.retain is None:
            self._keep(task, self.limits.collected)
            task.retain = self.limits.collected

    def retain(self, task: Task, seconds: float) -> None:
        """Keep *task* so long from now, or from its end."""
        task.retain = min(seconds, self.limits.retain)
        if task.ended is not None:
            self._keep(task, task.retain)

    def forget(self, task: Task) -> None:
        """Know nothing of *task* any more, if it is over."""
        over = self._over.get(task.kind, {})
        if over.get(task.id) is task:
            self._drop(over, task.id)
            self.changes += 1

    def stop(self) -> None:
        """Look no more, and let those end that nobody waits for."""
        for hear in self.on_stop:
            hear()
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _changed(self, task: Task) -> None:
        self.changes += 1
        if task.ended is not None and self._active.get(task.id) is task:
            del self._active[task.id]
            over = self._over.setdefault(task.kind, {})
            over[task.id] = task
            if len(over) > self.limits.kept:
                self._drop(over, next(iter(over)))
            usual = self.limits.chosen if task.chosen else self.limits.made
            usual = max(usual, task.elapsed)
            self._keep(task, usual if task.retain is None else task.retain)
            for hear in self.on_end:
                hear(task)

    def _keep(self, task: Task, seconds: float) -> None:
        task.forgotten_at = self._clock.seconds() + seconds

    def _is_due(self, task: Task) -> bool:
        return task.forgotten_at is not None and task.forgotten_at <= self._clock.seconds()

    def _forget_old(self) -> None:
        """Forget what is due: now and then, since all are looked at."""
        now = self._clock.seconds()
        if now < self._looked + LONGEST:
            return
        self._looked = now
        for over in self._over.values():
            for task in [task for task in over.values() if self._is_due(task)]:
                self._drop(over, task.id)

    def _drop(self, over: dict[str, Task], task_id: str) -> None:
        task = over.pop(task_id)
        for hear in self.on_forget:
            hear(task)

    def _watch(self) -> None:
        if self._looking is None and self._active:
            youngest = next(reversed(self._active.values()))
            self._looking = self._clock.callLater(self._gap(youngest), self._look)

    def _gap(self, task: Task) -> float:
        """Return the seconds between two looks at *task*."""
        return min(LONGEST, max(SHORTEST, (self._clock.seconds() - task.began) * LOOK))

    def _look(self) -> None:
        self._looking = None
        now = self._clock.seconds()
        for task in self._active.values():
            if task.look_at <= now:
                task.look()
                task.look_at = now + self._gap(task)
        self._watch()
