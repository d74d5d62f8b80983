"""
The id of the task that a request is.

Source: ``docs/reference/web-api.md``, "Tasks".
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from twisted.web.http import Request

from truckee.status.task import Task


def wanted_id(request: Request, args: Mapping[str, str]) -> str | None:
    """Return the id that the client gives its task, if it does."""
    return args.get("ophandle") or request.getHeader("x-task-id")


def random_id() -> str:
    """Return an id that nobody guesses."""
    return secrets.token_urlsafe(16)


def show_id(request: Request, task: Task) -> None:
    """Tell the client the id of what it asked for."""
    request.setHeader(b"x-task-id", task.id.encode("ascii"))
