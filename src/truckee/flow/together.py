"""Work side by side, ended together."""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Iterable
from functools import partial
from types import coroutine
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from truckee.flow.changes import Changes

T = TypeVar("T")
Work = Coroutine[Deferred[Any], Any, T]


@define(eq=False)
class _Member:
    """
    One coroutine of a group, which can be cancelled from within.

    What a coroutine calls can end the group, while Twisted can only cancel one that waits:
    then it is cancelled where it waits next.
    """

    _work: Work[None]
    _runs: bool = field(default=False, init=False)
    _due: bool = field(default=False, init=False)
    _ended: Deferred[None] | None = field(default=None, init=False)

    def start(self) -> Deferred[None]:
        """Run up to the first wait; return what fires at the end."""
        self._ended = Deferred.fromCoroutine(self._run())
        return self._ended

    def cancel(self) -> None:
        """Cancel it now or, if it is running, as soon as it waits."""
        if self._runs or self._ended is None:
            self._due = True
        else:
            self._ended.cancel()

    @coroutine
    def _run(self) -> Generator[Deferred[Any], Any, None]:
        step = partial(self._work.send, None)
        while True:
            self._runs = True
            try:
                awaited = step()
            except StopIteration:
                return
            finally:
                self._runs = False
            if self._due:
                self._due = False
                awaited.cancel()
            try:
                step = partial(self._work.send, (yield awaited))
            except GeneratorExit:  # nobody will wake it any more
                self._work.close()
                raise
            except BaseException as error:
                step = partial(self._work.throw, error)


@define(eq=False)
class Group:
    """
    Coroutines that run side by side for one purpose.

    The first that fails cancels the others.  ``join`` and ``stop`` return when all have
    ended, never before, so that whoever cleans up next finds nobody still at work.
    """

    failure: Failure | None = field(default=None, init=False)
    _running: dict[_Member, None] = field(factory=dict, init=False, repr=False)
    _ends: Changes = field(factory=Changes, init=False, repr=False)

    def start(self, work: Work[None]) -> None:
        """Let *work* run; after a failure it is closed unused."""
        if self.failure is not None:
            work.close()
            return
        member = _Member(work)
        self._running[member] = None
        ended = member.start()
        ended.addErrback(self._fail)
        ended.addCallback(self._end, member)

    def check(self) -> None:
        """:raises Exception: the first failure, if there was one."""
        if self.failure is not None:
            self.failure.raiseException()

    async def join(self) -> None:
        """Return when all have ended well; raise the first failure when all have ended."""
        while self._running:
            try:
                await self._ends.once()
            except CancelledError:
                await self.stop()
                raise
        self.check()

    async def stop(self) -> None:
        """Cancel all, and return when they have ended; does not raise their errors."""
        while self._running:
            self._cancel()
            if self._running:
                try:
                    await self._ends.once()
                except CancelledError:
                    continue

    def _fail(self, failure: Failure) -> None:
        if self.failure is None:
            self.failure = failure
            self._cancel()

    def _cancel(self) -> None:
        for member in list(self._running):
            member.cancel()

    def _end(self, _: object, member: _Member) -> None:
        del self._running[member]
        if not self._running:
            self._ends.wake()


def by_itself(work: Work[None], log: Logger, what: str) -> None:
    """Let *work* go on; that it failed is *what* the log is told, and nobody else."""
    going = Deferred.fromCoroutine(work)
    going.addErrback(lambda failure: log.failure(what, failure=failure))


async def together(work: Iterable[Work[T]]) -> list[T]:
    """Run all of *work* as one ``Group`` and return the results in its order."""
    group = Group()
    results: dict[int, T] = {}

    async def keep(number: int, each: Work[T]) -> None:
        results[number] = await each

    for number, each in enumerate(work):
        if group.failure is None:
            group.start(keep(number, each))
        else:
            each.close()
    await group.join()
    return [results[number] for number in sorted(results)]


@define(eq=False)
class Turns:
    """Things numbered from 0 that start side by side and pass one point in order."""

    _next: int = field(default=0, init=False)
    _waiting: dict[int, Deferred[None]] = field(factory=dict, init=False)

    async def wait(self, number: int) -> None:
        """Return when it is *number*'s turn; it calls ``done`` when it has passed."""
        if number != self._next:
            turn: Deferred[None] = Deferred()
            self._waiting[number] = turn
            await turn

    def are_at(self, number: int) -> bool:
        """Tell, to any thread, whether it is *number*'s turn."""
        return number == self._next

    def done(self) -> None:
        """Let the next one pass."""
        self._next += 1
        turn = self._waiting.pop(self._next, None)
        if turn is not None and not turn.called:
            turn.callback(None)
