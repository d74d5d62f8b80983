"""One coroutine as a task."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from attrs import define
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from truckee.errors import Refused, TruckeeError
from truckee.status.gate import Gate
from truckee.status.progress import Progress
from truckee.status.task import BY_REQUEST, CLIENT_GONE, Hooks, State, Task
from truckee.status.tasks import Tasks

T = TypeVar("T")


@define
class TaskCancelled(Refused):
    """This was cancelled by request, and nothing of it is kept."""


async def run_task(
    tasks: Tasks,
    kind: str,
    wanted: str | None,
    progress: Progress,
    work: Callable[[Task], Coroutine[Deferred[Any], Any, T]],
    cap_of: Callable[[T], str | None] = lambda _: None,
) -> T:
    """
    Return what *work* does as a task of *kind*, which ends with it.

    It is cancelled at most once, whoever wants that and however often, so that it can
    clean up; this returns when it has, also when it is cancelled itself.

    :raises TaskCancelled: if it was cancelled by request.
    """
    running: list[Deferred[T]] = []
    gate = progress.gate
    pauses = (gate.shut, gate.open) if kind == "upload" else (None, None)
    task = tasks.begin(kind, progress, Hooks(lambda: running[0].cancel(), *pauses), wanted)
    try:
        running.append(Deferred.fromCoroutine(work(task)))
        result = await _uncut(task, running[0])
    except Exception as error:
        task.end(error=_text(error))
        if isinstance(error, CancelledError) and task.error == BY_REQUEST:
            raise TaskCancelled from None
        raise
    task.end(cap=cap_of(result))
    return result


async def _uncut(task: Task, running: Deferred[T]) -> T:
    """Return the result, however often this is cancelled meanwhile."""
    results: list[T | Failure] = []
    end = Gate(shut=True)

    def ended(result: T | Failure) -> None:
        results.append(result)
        end.open()

    running.addBoth(ended)
    while not results:
        try:
            await end.passing()
        except CancelledError:
            task.cancel(CLIENT_GONE)
    [result] = results
    if isinstance(result, Failure):
        result.raiseException()
    assert not isinstance(result, Failure)
    return result


def _text(error: Exception) -> str:
    if isinstance(error, TruckeeError):
        return str(error)
    return "Something went wrong inside the gateway. Its log says more."


__all__ = ["State", "TaskCancelled", "run_task"]
