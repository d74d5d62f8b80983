"""Work side by side, ended together."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

T = TypeVar("T")
Work = Coroutine[Deferred[Any], Any, T]


@define(eq=False)
class Group:
    """
    Coroutines that run side by side for one purpose.

    The first that fails cancels the others.  ``join`` and ``stop`` return when all have
    ended, never before, so that whoever cleans up next finds nobody still at work.
    """

    failure: Failure | None = field(default=None, init=False)
    _running: dict[Deferred[None], None] = field(factory=dict, init=False, repr=False)
    _waiting: list[Deferred[None]] = field(factory=list, init=False)

    def start(self, work: Work[None]) -> None:
        """Let *work* run; after a failure it is closed unused."""
        if self.failure is not None:
            work.close()
            return
        running = Deferred.fromCoroutine(work)
        self._running[running] = None
        running.addErrback(self._fail)
        running.addCallback(self._end, running)

    def check(self) -> None:
        """:raises Exception: the first failure, if there was one."""
        if self.failure is not None:
            self.failure.raiseException()

    async def join(self) -> None:
        """Return when all have ended well; raise the first failure when all have ended."""
        while self._running:
            try:
                await self._all_ended()
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
                    await self._all_ended()
                except CancelledError:
                    continue

    def _fail(self, failure: Failure) -> None:
        if self.failure is None:
            self.failure = failure
            self._cancel()

    def _cancel(self) -> None:
        for running in list(self._running):
            running.cancel()

    def _all_ended(self) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def _end(self, _: object, running: Deferred[None]) -> None:
        del self._running[running]
        if not self._running:
            ended, self._waiting = self._waiting, []
            for waiting in ended:
                if not waiting.called:  # by a cancellation
                    waiting.callback(None)


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

    def done(self) -> None:
        """Let the next one pass."""
        self._next += 1
        turn = self._waiting.pop(self._next, None)
        if turn is not None and not turn.called:
            turn.callback(None)
