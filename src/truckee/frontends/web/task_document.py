"""
Tasks for programs.

Source: ``docs/reference/web-api.md``, "Tasks".
"""

from __future__ import annotations

from truckee.frontends.web.not_stored import NotStored
from truckee.status.task import Task
from truckee.status.tasks import Tasks

# What is listed: of each kind that are over, and that run.
RECENT = 20
MOST_ACTIVE = 100


def listing(tasks: Tasks, now: float) -> dict[str, object]:
    """Return what everybody may know of all tasks."""
    active = tasks.active()
    return {
        "at": round(now, 3),
        "active_count": len(active),
        "not_stored": NotStored.of(active).document(),
        "active": [describe(task) for task in active[:MOST_ACTIVE]],
        "recent": [describe(task) for task in tasks.recent(RECENT)],
    }


def describe_to_holder(task: Task) -> dict[str, object]:
    """Return all that is known of *task*."""
    return {
        "id": task.id,
        "finished": task.ended is not None,
        "cap": task.cap,
        **describe(task),
    }


def describe(task: Task) -> dict[str, object]:
    """Return what everybody may know of *task*: no id, no cap, no storage index."""
    task.look()
    progress, fraction = task.progress, _rounded(task.fraction, 4)
    return {
        "type": task.kind,
        "number": task.number,
        "state": task.state.value,
        "phase": task.phase,
        "route": progress.route,
        "size": progress.size,
        "received": progress.received,
        "encrypted": progress.encrypted,
        "spooled": progress.spooled,
        "held": progress.held,
        "stored": progress.stored,
        "sent": progress.sent,
        "objects": progress.objects,
        "progress": fraction,
        "rate": _rounded(task.rate, 1),
        "eta": _rounded(task.time_left, 1),
        "began": round(task.began_at, 3),
        "ended": _rounded(task.ended_at, 3),
        "elapsed": round(task.elapsed, 3),
        "servers": sorted({name for held in progress.shares.values() for name in held}),
        "shares": len(progress.shares),
        "happiness": progress.happiness,
        "lost": len(progress.lost),
        "error": task.error,
        **_for_stock(task, fraction or 0.0),
    }


def _for_stock(task: Task, fraction: float) -> dict[str, object]:
    """Return what the command line of Tahoe-LAFS reads."""
    told: dict[str, object] = {
        "total-size": task.progress.size or 0,
        "storage-index-string": "",
        "status": task.phase,
    }
    if task.kind == "upload":
        encrypted = task.progress.encrypted / (task.progress.size or 1)
        told["progress-hash"] = 0.0
        told["progress-ciphertext"] = max(fraction, min(1.0, round(encrypted, 4)))
        told["progress-encode-push"] = fraction
    if task.kind == "download":
        told["progress"] = fraction
    return told


def _rounded(number: float | None, digits: int) -> float | None:
    return None if number is None else round(number, digits)
