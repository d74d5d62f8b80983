"""Tasks for people: bars and words."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.web.template import Flattenable, Tag, tags

from truckee.frontends.web.live import render_live
from truckee.frontends.web.page import amount, foreign, moment, pairs, table
from truckee.status.task import State, Task

_ROUTES = {
    "servers": "from here to the servers",
    "helper": "through the helper",
    "cap": "in its cap alone",
}

HEADS = ("Task", "Progress", "Rate", "Time left", "State")


def task_page(task: Task) -> bytes:
    """Return the page of one task for its holder, cap and all."""
    rows = [
        ("State", _words(task, task.phase)),
        ("Began", moment(task.began_at)),
        ("Took" if task.ended is not None else "Takes", duration(task.elapsed)),
        ("Received", amount(task.progress.received)),
        ("Encrypted", amount(task.progress.encrypted)),
        ("Spooled", amount(task.progress.spooled)),
        ("On the helper", amount(task.progress.held)),
        ("Stored", amount(task.progress.stored)),
        ("Sent", amount(task.progress.sent)),
        ("Rate", _rate(task)),
        ("Time left", _time_left(task)),
        ("Way", _ROUTES.get(task.progress.route, "")),
    ]
    cap = task.cap
    return render_live(
        name(task),
        tags.h1(name(task)),
        tags.p(bar(task)),
        pairs([(head, told) for head, told in rows if told and told != amount(0)]),
        _file(cap) if cap else "",
        _buttons(task),
        tags.p(tags.a("All tasks", href="../status")),
    )


def task_table(tasks: Sequence[Task], nothing: str) -> Tag:
    """Return a list of *tasks* without their ids; *nothing* says that there are none."""
    if not tasks:
        return tags.p(nothing)
    return table(HEADS, [_row(task) for task in tasks])


def name(task: Task) -> str:
    """Return what people call a task."""
    return f"{task.kind.capitalize()} {task.number}"


def bar(task: Task) -> Flattenable:
    """Return how much is done, with a bar if that can be said."""
    task.look()
    fraction, size = task.fraction, task.progress.size
    label = {"aria-label": f"{name(task)}, done"}
    if size is None:
        text = f"{amount(task.done)} so far" if task.done else ""
        moves = task.done and task.state is State.RUNNING
        return [tags.progress(text, **label), text] if moves else text
    done = f"{amount(task.done)} of {amount(size)}"
    if fraction is None:
        return done
    text = f"{int(fraction * 100)} %"
    shown = tags.progress(text, max="1", value=f"{fraction:.4f}", **label)
    return [shown, f"{text}, {done}"]


def duration(seconds: float) -> str:
    """Return a time for people: two units at most."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _file(cap: str) -> Tag:
    return tags.p(tags.a("The file", href=f"../uri/{cap}"), ", by its cap ", tags.code(cap))


def _row(task: Task) -> tuple[Flattenable, ...]:
    shown = [bar(task), tags.small(_details(task))]
    whole = (_whole(name(task)), shown, _whole(_rate(task)), _whole(_time_left(task)))
    return (*whole, _state(task))


def _whole(text: str) -> Flattenable:
    """Return *text* so that it stays on one line."""
    return tags.span(text, class_="whole") if text else ""


def _details(task: Task) -> str:
    """Return where the bytes are, on their way and in the end."""
    progress = task.progress
    if task.ended is not None:
        servers = {server for held in progress.shares.values() for server in held}
        placed = f"{len(progress.shares)} shares on {len(servers)} servers"
        return placed if servers else ""
    counts = (
        ("received", progress.received),
        ("spooled", progress.spooled),
        ("encrypted", progress.encrypted),
        ("on the helper", progress.held),
        ("stored", progress.stored),
        ("sent", progress.sent),
    )
    return ", ".join(f"{amount(count)} {what}" for what, count in counts if count)


def _rate(task: Task) -> str:
    return "" if task.rate is None else f"{amount(int(task.rate))}/s"


def _time_left(task: Task) -> str:
    left = task.time_left
    return "" if left is None else duration(left)


def _state(task: Task) -> str:
    way = _ROUTES.get(task.progress.route)
    running = way is not None and task.ended is None
    return _words(task, f"{task.phase}, {way}" if running else task.phase)


def _words(task: Task, text: str) -> str:
    return f"{text}: {foreign(task.error)}" if task.error else text


def _buttons(task: Task) -> Flattenable:
    if task.ended is not None:
        return ""
    actions = ["cancel"]
    if task.pausable:
        actions.insert(0, "resume" if task.state is State.PAUSED else "pause")
    return [
        tags.form(
            tags.button(action.capitalize()),
            class_="act",
            action=f"?t={action}&when_done={task.id}",
            method="post",
        )
        for action in actions
    ]
