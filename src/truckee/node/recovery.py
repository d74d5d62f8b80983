"""
Work that a disk may refuse: done again by itself until it succeeds.

A node that cannot write does what it can without, says so, and goes on when it can.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from truckee.errors import Unavailable
from truckee.flow.cpu import Workers
from truckee.flow.durable import fault_of
from truckee.status.problems import Problem, Problems

log = Logger()

# Until the first retry, and the most between two: a retry costs a few system calls.
FIRST = 1.0  # seconds
LONGEST = 15.0  # seconds

RECOVERS = "The node recovers by itself when the problem is solved."  # ends what users read


def log_problem(problem: Problem, begins: bool) -> None:
    """Write to the log that a problem began, or is solved."""
    if begins:
        log.error("{name}: {text}", name=problem.name, text=problem.text)
    else:
        log.warn("{name}: this works again", name=problem.name)


def reason_of(error: Exception) -> str:
    """Return why the disk refused, as the operator reads it."""
    fault = fault_of(error)
    if fault is not None:
        return fault.value
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


@define(eq=False)
class Recovery:
    """
    Attempts work, and retries what the disk refused; ``stop`` it in the end.

    Work is retried as a whole, so it must stand being done twice.
    """

    problems: Problems
    _disk: Workers
    _clock: IReactorTime
    _retries: dict[str, IDelayedCall] = field(factory=dict, init=False)
    _stopped: bool = field(default=False, init=False)

    async def attempt(
        self,
        name: str,
        consequence: str,
        work: Callable[[], Awaitable[object]],
        delay: float = FIRST,
    ) -> bool:
        """
        Await *work*; return whether it succeeded now.

        If not, the problem *name* is reported with the reason and the *consequence*, a
        sentence, and it is attempted again after *delay* seconds, then less often.

        :raises Exception: any but ``OSError`` and ``Unavailable``, at the first attempt.
        """
        try:
            await work()
        except (OSError, Unavailable) as error:
            self.problems.report(name, f"{_sentence(reason_of(error))} {consequence}")
            self._retry(name, consequence, work, delay)
            return False
        self.problems.resolve(name)
        return True

    async def attempt_on_disk(
        self, name: str, consequence: str, work: Callable[[], object]
    ) -> bool:
        """Do the same with *work* that blocks, in a disk worker."""
        return await self.attempt(name, consequence, lambda: self._disk.run(work))

    def stop(self) -> None:
        """Attempt nothing more."""
        self._stopped = True
        for call in self._retries.values():
            call.cancel()
        self._retries.clear()

    def _retry(
        self,
        name: str,
        consequence: str,
        work: Callable[[], Awaitable[object]],
        delay: float,
    ) -> None:
        if self._stopped or name in self._retries:
            return
        longer = min(2 * delay, LONGEST)

        def failed(failure: object) -> None:
            log.error("{name} failed: {error}", name=name, error=str(failure))
            self._retry(name, consequence, work, longer)

        def again() -> None:
            del self._retries[name]
            trying = Deferred.fromCoroutine(self.attempt(name, consequence, work, longer))
            trying.addErrback(failed)

        self._retries[name] = self._clock.callLater(delay, again)


def _sentence(text: str) -> str:
    """Return *text* with a capital letter and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
