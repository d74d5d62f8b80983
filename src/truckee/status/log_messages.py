"""
What happens in a node, as messages for programs: events of its log, and its tasks.

Each message is a JSON object with the fields that all messages of stock gateways have:
``timestamp``, ``task_uuid`` and ``task_level``, and ``message_type`` or ``action_type``.
No cap, furl or id is in it.

Source: ``docs/reference/web-api.md``, "The log, live".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from attrs import define, field
from twisted.logger import LogLevel, formatEvent
from twisted.python.failure import Failure

from truckee.status.failures import shown_reason, without_secrets
from truckee.status.task import State, Task

_MOST = 4000  # characters of a text
_STATUS = {State.DONE: "succeeded"}  # else failed, as far as such programs know


def log_message(event: Mapping[str, Any], uuid: UUID) -> bytes | None:
    """Return the message of one event of the log; None: it is for developers."""
    level = event.get("log_level", LogLevel.info)
    if level < LogLevel.info:
        return None
    told: dict[str, object] = {
        "message_type": "truckee:log",
        "level": level.name,
        "source": str(event.get("log_namespace", "")),
        "message": _shown(formatEvent(dict(event))),
    }
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        told["error"] = failure.type.__name__ if failure.type else ""
        told["reason"] = _shown(str(failure.value))
    return _message(float(event.get("log_time", 0.0)), str(uuid), 1, told)


@define(eq=False)
class TaskMessages:
    """Makes the messages of tasks; those of one task share a made-up id."""

    _random: Callable[[int], bytes]
    _known: dict[int, str] = field(factory=dict, init=False)  # by the task's number

    def began(self, task: Task) -> bytes:
        """Return the message of a task that began."""
        uuid = self._known[task.number] = str(UUID(bytes=self._random(16), version=4))
        return _message(task.began_at, uuid, 1, _action(task, "started"))

    def ended(self, task: Task) -> bytes | None:
        """Return the message of one that is over; None: its beginning was not told."""
        uuid = self._known.pop(task.number, None)
        if uuid is None or task.ended_at is None:
            return None
        told = _action(task, _STATUS.get(task.state, "failed"))
        if task.state is not State.DONE:
            told["exception"] = f"truckee:{task.state.value}"
            told["reason"] = shown_reason(task.error or "no reason is known")
        return _message(task.ended_at, uuid, 2, told)

    def forget(self) -> None:
        """Tell of the end of none of those that run."""
        self._known.clear()


def _action(task: Task, status: str) -> dict[str, object]:
    return {
        "action_type": f"truckee:{task.kind}",
        "action_status": status,
        "number": task.number,
        "size": task.progress.size,
    }


def dropped_message(now: float, uuid: UUID, count: int) -> bytes:
    """Return what stands for *count* messages that a listener was too slow for."""
    told = {"message_type": "truckee:dropped", "count": count}
    return _message(now, str(uuid), 1, told)


def _message(when: float, uuid: str, level: int, told: Mapping[str, object]) -> bytes:
    head = {"timestamp": when, "task_uuid": uuid, "task_level": [level]}
    return json.dumps({**head, **told}).encode("ascii")


def _shown(text: str) -> str:
    return without_secrets(text[: 2 * _MOST])[:_MOST]
