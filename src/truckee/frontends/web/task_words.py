"""One task in words, and its bar."""

from __future__ import annotations

from twisted.web.template import Flattenable, tags

from truckee.frontends.web.problems import MOST_TEXT
from truckee.frontends.web.tables import bar
from truckee.frontends.web.words import amount, counted, duration, exact, foreign, part
from truckee.status.task import State, Task

ROUTES = {
    "servers": "from here to the servers",
    "helper": "through the helper",
    "cap": "in its cap alone",
}


# What stock gateways call tasks in addresses; others go by their own names.
KINDS = {"up": "upload", "down": "download"}
_SHORT = {kind: word for word, kind in KINDS.items()}


def address(task: Task) -> str:
    """Return where everybody may see a task, from the first page on."""
    return f"status/{_SHORT.get(task.kind, task.kind)}-{task.number}"


def name(task: Task) -> str:
    """Return what people call a task."""
    return f"{task.kind.capitalize()} {task.number}"


def shown(task: Task) -> Flattenable:
    """Return how much is done, with a bar if that can be said."""
    task.look()
    fraction, size = task.fraction, task.progress.size
    label = f"{name(task)}, done"
    if task.progress.objects:
        return counted(task.progress.objects, "object")
    if size is None:
        far: Flattenable = [exact(task.done), " so far"] if task.done else ""
        moves = task.done and task.state is State.RUNNING
        endless = tags.progress(**{"aria-label": label}) if moves else ""
        return [endless, tags.span(far, class_="says")] if far else ""
    if fraction is None:
        return part(task.done, size)
    told = [f"{int(fraction * 100)} %, ", part(task.done, size)]
    return bar(fraction, 1, told, label)


def rate(task: Task) -> str:
    """Return how fast it goes; empty while that is not known."""
    return "" if task.rate is None else f"{amount(int(task.rate))}/s"


def time_left(task: Task) -> str:
    """Return how long it will take; empty while that is not known."""
    left = task.time_left
    return "" if left is None else duration(left)


def words(task: Task, text: str) -> str:
    """Return *text*, and why it failed if it did."""
    return f"{text}: {foreign(task.error, MOST_TEXT)}" if task.error else text
