"""Lists of tasks for people: those under way, and those that are over."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.web.template import Flattenable, tags

from truckee.frontends.web.frame import Frame
from truckee.frontends.web.page import empty
from truckee.frontends.web.tables import table
from truckee.frontends.web.task_words import (
    ROUTES,
    address,
    name,
    rate,
    shown,
    time_left,
    words,
)
from truckee.frontends.web.words import amount, counted, duration, exact, moment
from truckee.status.task import State, Task

_UNDER_WAY = ("Task", "Progress", "Rate", "Time left", "State")
_OVER = ("Task", "Result", "Size", "Took", "Ended")
_KINDS = {State.DONE: "good", State.FAILED: "bad", State.CANCELLED: "fair"}


def active_tasks(tasks: Sequence[Task], root: str) -> Flattenable:
    """Return a list of *tasks* without their ids; *root* is the way to the first page."""
    if not tasks:
        begin = tags.a("Upload or read a file", href=root or ".")
        return empty("Nothing is under way. ", begin, ", and it is shown here.")
    rows = [_active(task, root) for task in tasks]
    return tags.div(table(_UNDER_WAY, rows, "Tasks under way"), id="active")


def ended_tasks(tasks: Sequence[Task], frame: Frame) -> Flattenable:
    """Return a folded list of *tasks* that are over, without their ids."""
    if not tasks:
        return empty("Nothing was finished lately. The last tasks are listed here.")
    failed = sum(task.state is State.FAILED for task in tasks)
    told = counted(len(tasks), "task")
    told += f", {failed} of them failed" if failed else ""
    rows = [_ended(task, frame) for task in tasks]
    return tags.details(tags.summary(told), table(_OVER, rows, "Finished tasks"))


def _active(task: Task, root: str) -> tuple[Flattenable, ...]:
    progress: list[Flattenable] = [shown(task), tags.small(_details(task))]
    way = ROUTES.get(task.progress.route)
    state = words(task, f"{task.phase}, {way}" if way is not None else task.phase)
    return (
        _link(task, root),
        progress,
        _whole(rate(task)),
        _whole(time_left(task)),
        state,
    )


def _ended(task: Task, frame: Frame) -> tuple[Flattenable, ...]:
    result = tags.span(words(task, task.phase), class_=_KINDS.get(task.state, "fair"))
    size = task.done or task.progress.size
    ended = "" if task.ended_at is None else moment(task.ended_at)
    place = "server" if frame.health is None else frame.health.place
    servers = {server for held in task.progress.shares.values() for server in held}
    placed = (
        f"{counted(len(task.progress.shares), 'share')} on {counted(len(servers), place)}"
    )
    where = tags.small(placed) if servers else ""
    took = _whole("< 1 s" if task.elapsed < 1 else duration(task.elapsed))
    told = "" if size is None else exact(size)
    return (_link(task, frame.root), [result, where], told, took, ended)


def _link(task: Task, root: str) -> Flattenable:
    """Return the name of a task, which leads to its page."""
    return tags.a(_whole(name(task)), href=f"{root}{address(task)}")


def _whole(text: str) -> Flattenable:
    """Return *text* so that it stays on one line."""
    return tags.span(text, class_="whole") if text else ""


def _details(task: Task) -> str:
    """Return where the bytes are, on their way."""
    progress = task.progress
    counts = (
        ("received", progress.received),
        ("spooled", progress.spooled),
        ("encrypted", progress.encrypted),
        ("on the helper", progress.held),
        ("stored", progress.stored),
        ("sent", progress.sent),
    )
    return ", ".join(f"{amount(count)} {what}" for what, count in counts if count)
