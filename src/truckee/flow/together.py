"""Work side by side, ended together."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


async def together(work: Iterable[Coroutine[Deferred[Any], Any, T]]) -> list[T]:
    """
    Run all of *work* side by side and return the results in its order.

    This returns or raises when all have ended, never before, so that whoever cleans up
    next finds nobody still at work.  The first error is raised; the others go on to
    their own end.  Cancelling this cancels all of them.
    """
    running = [Deferred.fromCoroutine(each) for each in work]
    results: dict[int, T] = {}
    failures: list[Failure] = []
    waiting: Deferred[None] = Deferred()

    def ended() -> None:
        if len(results) + len(failures) == len(running) and not waiting.called:
            waiting.callback(None)

    def succeed(result: T, number: int) -> None:
        results[number] = result
        ended()

    def fail(failure: Failure) -> None:
        failures.append(failure)
        ended()

    for number, each in enumerate(running):
        each.addCallbacks(succeed, fail, callbackArgs=(number,))
    cancelled: CancelledError | None = None
    while len(results) + len(failures) < len(running):
        try:
            await waiting
        except CancelledError as error:
            cancelled = error
            waiting = Deferred()
            for each in running:
                each.cancel()
    if cancelled is not None:
        raise cancelled
    if failures:
        failures[0].raiseException()
    return [results[number] for number in range(len(running))]
