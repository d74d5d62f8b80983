"""The page of one task, for its holder and for everybody."""

from __future__ import annotations

from twisted.web.template import Flattenable, Tag, tags

from truckee.frontends.web.deep_operations import Operation
from truckee.frontends.web.frame import Frame
from truckee.frontends.web.live import render_live
from truckee.frontends.web.tables import pairs
from truckee.frontends.web.task_words import ROUTES, name, rate, shown, time_left, words
from truckee.frontends.web.words import duration, exact, moment
from truckee.status.task import State, Task


def task_page(
    task: Task, frame: Frame, walk: Operation | None = None, back: str = ""
) -> bytes:
    """
    Return the page of one task for its holder, cap and all, and what a *walk* found.

    :param back: where a link leads, if anywhere.
    """
    file = _file(task.cap, frame.root) if task.cap else ""
    found = "" if walk is None else _found(walk)
    link = tags.p(tags.a("Back", href=back)) if back else ""
    return _page(task, frame, _buttons(task), file, found, link)


def _found(walk: Operation) -> Tag:
    """Return the numbers of a walk, and links to all the rest."""
    counts = {**walk.walk.statistics.document(), **getattr(walk.results, "counts", {})}
    rows = [(name, f"{n:,}") for name, n in counts.items() if isinstance(n, int)]
    links = [
        tags.a(label, href=f"?output={output}")
        for label, output in (("All of it as JSON", "json"), ("As a text", "text"))
    ]
    shown: list[tuple[str, Flattenable]] = [
        (name.replace("-", " ").capitalize(), told) for name, told in rows
    ]
    return tags.div(pairs(shown[1:]), tags.p(links[0], ". ", links[1]))


def public_task_page(task: Task, frame: Frame) -> bytes:
    """Return the page of one task for everybody, with neither its id nor its cap."""
    return _page(task, frame)


def _page(task: Task, frame: Frame, *for_holder: Flattenable) -> bytes:
    progress = task.progress
    counts = (
        ("Received", progress.received),
        ("Encrypted", progress.encrypted),
        ("Spooled", progress.spooled),
        ("On the helper", progress.held),
        ("Stored", progress.stored),
        ("Sent", progress.sent),
    )
    rows: list[tuple[str, Flattenable]] = [
        ("State", words(task, task.phase)),
        ("Began", moment(task.began_at)),
        ("Took" if task.ended is not None else "Takes", duration(task.elapsed)),
        *((head, exact(count)) for head, count in counts if count),
        ("Rate", rate(task)),
        ("Time left", time_left(task)),
        ("Route", ROUTES.get(progress.route, "")),
    ]
    return render_live(
        name(task),
        tags.h1(name(task)),
        tags.div(shown(task), class_="large"),
        *for_holder,
        pairs([(head, told) for head, told in rows if told]),
        tags.p(tags.a("All tasks", href=f"{frame.root}status")),
        frame=frame,
        moves=task.ended is None,
    )


def _file(cap: str, root: str) -> Tag:
    return tags.p(
        tags.a("The file", href=f"{root}uri/{cap}"), ", by its cap ", tags.code(cap)
    )


def _buttons(task: Task) -> Flattenable:
    if task.ended is not None:
        return ""
    actions = ["cancel"]
    if task.pausable:
        actions.insert(0, "resume" if task.state is State.PAUSED else "pause")
    forms = [
        tags.form(
            tags.button(action.capitalize()),
            action=f"?t={action}&when_done={task.id}",
            method="post",
        )
        for action in actions
    ]
    return tags.div(forms, class_="row")
