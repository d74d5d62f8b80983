"""Jobs that are done at once, a bounded number of them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from truckee.cli.problems import Unreachable

T = TypeVar("T")
Job = Callable[[], Coroutine[Deferred[Any], Any, T]]

_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds between attempts to reach the gateway
_TURN = 64  # jobs after which the reactor gets its turn, whatever they do


@define(eq=False)
class Crew:
    """Does at most so many jobs at once; what one of them raises ends them all."""

    reactor: Any
    _most: int
    _slots: DeferredSemaphore = field(init=False)
    _running: set[Deferred[Any]] = field(factory=set, init=False)
    _failure: BaseException | None = field(default=None, init=False)
    _begun: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._slots = DeferredSemaphore(self._most)

    async def start(self, job: Job[None]) -> None:
        """Begin *job*, once there is room for it.  :raises Exception: of an earlier one."""
        await self._slots.acquire()
        if self._failure is not None:
            self._slots.release()
            raise self._failure
        self._begun += 1
        if self._begun % _TURN == 0:
            # Jobs that find nothing to do end at once, and a signal waits to be heard.
            await deferLater(self.reactor, 0)
        doing = Deferred.fromCoroutine(job())
        self._running.add(doing)
        doing.addBoth(self._ended, doing)

    def _ended(self, result: Any, doing: Deferred[Any]) -> None:
        self._running.discard(doing)
        if isinstance(result, Failure) and self._failure is None:
            self._failure = result.value
            for other in list(self._running):
                other.cancel()
        self._slots.release()

    async def finish(self) -> None:
        """Return when all jobs are done.  :raises Exception: what one of them raised."""
        for _ in range(self._most):
            await self._slots.acquire()
        for _ in range(self._most):
            self._slots.release()
        if self._failure is not None:
            raise self._failure

    async def attempt(self, work: Job[T]) -> T:
        """
        Return what *work* does, which may be done more than once.

        It is tried again when the gateway does not answer.  :raises Unreachable: at last.
        """
        for wait in _WAITS:
            try:
                return await work()
            except Unreachable:
                if self._failure is not None:
                    raise CancelledError from None
                await deferLater(self.reactor, wait)
        return await work()
