"""
/statistics: what was done since the start, in the words of stock gateways.

What they do not count is in ``/metrics``.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.template import tags

from truckee.frontends.web.arguments import BadArgument, arguments
from truckee.frontends.web.page import pairs, render_page, set_page_headers
from truckee.status.task import State, Task
from truckee.status.tasks import Tasks

_COUNTED = {
    "upload": ("uploader.files_uploaded", "uploader.bytes_uploaded"),
    "download": ("downloader.files_downloaded", "downloader.bytes_downloaded"),
}


class StatisticsResource(Resource):
    """Counts tasks that were done."""

    isLeaf = True

    def __init__(self, tasks: Tasks, seconds: Callable[[], float]) -> None:
        super().__init__()
        self._seconds = seconds
        self._began = seconds()
        self._counters: dict[str, int] = {}
        tasks.on_end.append(self._count)

    def _count(self, task: Task) -> None:
        if task.state is State.DONE and task.kind in _COUNTED:
            files, size = _COUNTED[task.kind]
            self._counters[files] = self._counters.get(files, 0) + 1
            self._counters[size] = self._counters.get(size, 0) + (task.progress.size or 0)

    def render_GET(self, request: Request) -> bytes:
        kind = arguments(request).get("t", "")
        if kind not in ("", "json"):
            raise BadArgument("t", "this page has json; /metrics is for Prometheus")
        stats = {"node.uptime": round(self._seconds() - self._began, 3)}
        if kind == "json":
            request.setHeader(b"cache-control", b"no-store")
            told = {"counters": self._counters, "stats": stats}
            return json.dumps(told, indent=1).encode() + b"\n"
        set_page_headers(request)
        rows = [(name, str(count)) for name, count in {**self._counters, **stats}.items()]
        return render_page("Statistics", tags.h1("Statistics"), pairs(rows))

    def render_POST(self, request: Request) -> bytes:
        # As stock's command line asks, with a token in the body; it changes nothing.
        return self.render_GET(request)
