"""
The one place where other threads run.

Hashing, coding, ciphers and file I/O go through ``Workers``, so that the event loop never
waits for them.  A node has three: as wide as the machine for arithmetic and for new keys,
and one for disks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

P = ParamSpec("P")
T = TypeVar("T")


@define(eq=False)
class Workers:
    """A pool of *threads* threads with a queue in front."""

    _reactor: IReactorFromThreads
    threads: int
    name: str
    _pool: ThreadPool = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._pool = ThreadPool(self.threads, self.threads, self.name)

    def start(self) -> None:
        """Start the threads."""
        self._pool.start()

    def stop(self) -> None:
        """Finish what is queued, then end the threads; blocks until that is done."""
        self._pool.stop()

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Return what *work* returns, or raise what it raises.

        Cancelling this waits until the thread has ended, so that nothing is closed or
        changed under it; then ``CancelledError`` is raised.
        """
        outcome: list[tuple[bool, T | Failure]] = []
        waiting: Deferred[None] = Deferred()

        def finish(success: bool, result: T | Failure) -> None:
            outcome.append((success, result))
            if not waiting.called:
                waiting.callback(None)

        # A thread keeps its last job until the next one comes: leave it nothing to keep.
        jobs = [partial(work, *args, **kwargs)]
        del args, kwargs
        self._pool.callInThreadWithCallback(
            lambda success, result: self._reactor.callFromThread(finish, success, result),
            lambda: jobs.pop()(),
        )
        cancelled: CancelledError | None = None
        while not outcome:
            try:
                await waiting
            except CancelledError as error:
                cancelled = error
                waiting = Deferred()
        if cancelled is not None:
            # The error has this frame in its traceback, and the frame has the error: until
            # a garbage collection both stay, and what the frame has with them.
            outcome.clear()
            try:
                raise cancelled
            finally:
                del cancelled
        success, result = outcome[0]
        if isinstance(result, Failure) and not success:
            result.raiseException()
        return result  # type: ignore[return-value]
