"""
The one place where other threads run.

Hashing, coding, ciphers and file I/O go through ``Workers``, so that the event loop never
waits for them.  A node has three: as wide as the machine for arithmetic and for new keys,
and one for disks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, ParamSpec, TypeVar

from attrs import Factory, define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorFromThreads

from truckee.flow.handover import Handover

P = ParamSpec("P")
T = TypeVar("T")

Job = Callable[[], None]


@define(eq=False)
class _Outcome:
    """What becomes of some work, once it is *ended*."""

    work: Callable[[], object] | None
    ended: bool = False
    result: Any = None
    error: BaseException | None = None
    waiting: Deferred[None] = field(factory=Deferred)

    def take(self) -> None:
        """Do the work; in a thread."""
        work, self.work = self.work, None
        assert work is not None
        try:
            self.result = work()
        except BaseException as error:
            self.error = error
        finally:
            del work

    def tell(self) -> None:
        """Wake who waits for it; where the reactor runs."""
        self.ended = True
        if not self.waiting.called:
            self.waiting.callback(None)


@define(eq=False)
class Workers:
    """
    A pool of *threads* threads with a queue in front.

    A segment of an upload is a dozen jobs: Twisted's pool takes several times as long for
    each, for it keeps a context, a coordinator and a Failure, and wakes the reactor every
    time.
    """

    _reactor: IReactorFromThreads
    threads: int
    name: str
    _jobs: SimpleQueue[Job | None] = field(factory=SimpleQueue, init=False, repr=False)
    _running: list[Thread] = field(factory=list, init=False, repr=False)
    _handover: Handover = field(
        default=Factory(lambda self: Handover(self._reactor), takes_self=True),
        init=False,
        repr=False,
    )

    def start(self) -> None:
        """Start the threads."""
        for number in range(self.threads):
            thread = self._thread(f"{self.name}-{number}")
            self._running.append(thread)
            thread.start()

    def stop(self) -> None:
        """Finish what is queued, then end the threads; blocks until that is done."""
        threads, self._running = self._running, []
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            thread.join()

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Return what *work* returns, or raise what it raises.

        Cancelling this waits until the thread has ended, so that nothing is closed or
        changed under it; then ``CancelledError`` is raised.
        """
        outcome = _Outcome(partial(work, *args, **kwargs))
        # Nothing here keeps what the work was given: the queue has it, then the thread.
        self._jobs.put(partial(self._do, outcome))
        del args, kwargs
        cancelled: CancelledError | None = None
        while not outcome.ended:
            try:
                await outcome.waiting
            except CancelledError as error:
                cancelled = error
                outcome.waiting = Deferred()
        # An error has this frame in its traceback, and the frame has the error: until a
        # garbage collection both would stay, and what the frame has with them.
        raised, result = cancelled or outcome.error, outcome.result
        # The thread may still have it, for as long as it waits for the interpreter.
        outcome.error = outcome.result = None
        del outcome, cancelled
        if raised is None:
            return result  # type: ignore[no-any-return]
        del result
        try:
            raise raised
        finally:
            del raised

    def _thread(self, name: str) -> Thread:
        return Thread(target=self._work, name=name)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            # The next one may be long in coming: nothing of this one is kept.
            del job

    def _do(self, outcome: _Outcome) -> None:
        outcome.take()
        self._handover.give(outcome.tell)
