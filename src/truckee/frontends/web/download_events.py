"""
What a download read and when, for programs that show that of stock gateways.

Source: ``docs/reference/web-api.md``, "What a download read".
"""

from __future__ import annotations

from collections.abc import Iterator

from truckee.status.progress import ReadProgress
from truckee.status.task import Task


def download_events(task: Task) -> dict[str, object]:
    """
    Return the document of ``event_json``: the byte ranges of one request.

    Segments and what servers were asked for are of no one download: several that read a
    file share them, and much comes from the cache.  Those lists are empty.
    """
    return {
        "misc": [],
        "read": list(_reads(task)),
        "segment": [],
        "dyhb": [],
        "block": [],
        "block_rownums": [],
        "server_info": {},
        "num_serverids": 0,
        "serverids": {},
        "bounds": {"min": task.began_at, "max": task.began_at + task.elapsed},
    }


def _reads(task: Task) -> Iterator[dict[str, object]]:
    progress = task.progress
    if not isinstance(progress, ReadProgress):
        return
    left = progress.sent
    ended = None if task.ended is None else task.began_at + task.elapsed
    for row, read in enumerate(progress.reads):
        left = max(0, left - read.before)
        returned = min(left, read.length)
        left -= returned
        yield {
            "start": read.start,
            "length": read.length,
            # All ranges of a request are asked for at once, so each has a row.
            "start_time": task.began_at,
            "finish_time": ended,
            "bytes_returned": returned,
            "decrypt_time": None,
            "paused_time": None,
            "row": row,
        }
