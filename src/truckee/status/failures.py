"""
One line in the log for each thing that failed, for operators.

Source: ``docs/what-is-logged.md``.
"""

from __future__ import annotations

import re

from twisted.logger import Logger

from truckee.status.task import State, Task

log = Logger()

_SHOWN = 8  # characters of an id that may be used again
_MOST = 500  # characters of a reason
# Errors do not tell secrets; should one do so, it ends here.
_CAP = re.compile(r"URI(?::|%3A)\S*", re.IGNORECASE)
_FURL = re.compile(r"pb://\S*", re.IGNORECASE)


def shown_id(task_id: str, chosen: bool = True) -> str:
    """
    Return what the log has of an id.

    One that was made here is never used again, and what failed has no cap.  A client may
    choose its own again for what will have one, so that of those only a part is shown.
    """
    return f"{task_id[:_SHOWN]}..." if chosen else task_id


def without_secrets(text: str) -> str:
    """Return *text* without caps and furls."""
    return _FURL.sub("(a furl)", _CAP.sub("(a cap)", text))


def shown_reason(text: str) -> str:
    """Return *text* in one line, without any cap."""
    line = without_secrets(" ".join(text.split()))
    return "".join(c if c.isprintable() else "?" for c in line)[:_MOST]


def log_failure(task: Task) -> None:
    """Report a *task* that is over, unless it ended well."""
    if task.state is State.DONE:
        return
    # A client that goes away is no fault of the node: players do so all the time.
    tell = log.warn if task.state is State.FAILED else log.info
    tell(
        "{kind} {number} (task {id}) {state}: {reason}",
        kind=task.kind.capitalize(),
        number=task.number,
        id=shown_id(task.id, task.chosen),
        state="failed" if task.state is State.FAILED else "was cancelled",
        reason=shown_reason(task.error or "no reason is known"),
    )
