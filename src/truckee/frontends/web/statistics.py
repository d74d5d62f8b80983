"""
/statistics: what was done since the start, in the words of stock gateways.

What they do not count is in ``/metrics``.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.template import Flattenable, tags

from truckee.frontends.web.arguments import BadArgument, arguments
from truckee.frontends.web.frame import Frame, Frames
from truckee.frontends.web.page import render_page, set_page_headers
from truckee.frontends.web.tables import pairs
from truckee.frontends.web.words import duration, exact
from truckee.status.task import State, Task
from truckee.status.tasks import Tasks

_COUNTED = {
    "upload": ("uploader.files_uploaded", "uploader.bytes_uploaded"),
    "download": ("downloader.files_downloaded", "downloader.bytes_downloaded"),
}


class StatisticsResource(Resource):
    """Counts tasks that were done."""

    isLeaf = True

    def __init__(self, tasks: Tasks, seconds: Callable[[], float], frames: Frames) -> None:
        super().__init__()
        self._frames = frames
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
        return self._page(self._frames.of(request))

    def _page(self, frame: Frame) -> bytes:
        told, up = self._counters, self._seconds() - self._began
        rows: list[tuple[str, Flattenable]] = [("Runs for", duration(up))]
        for kind, done in (("upload", "uploaded"), ("download", "downloaded")):
            files, size = _COUNTED[kind]
            rows.append((f"Files {done}", f"{told.get(files, 0):,}"))
            rows.append((f"Bytes {done}", exact(told.get(size, 0))))
        return render_page(
            "Statistics",
            tags.h1("Statistics"),
            tags.p("What was done since the gateway was started.", class_="lead"),
            pairs(rows),
            tags.p(
                "For programs: ",
                tags.a("JSON", href="?t=json"),
                ", and ",
                tags.a("metrics", href=f"{frame.root}metrics"),
                " for Prometheus.",
            ),
            frame=frame,
            here="statistics",
        )

    def render_POST(self, request: Request) -> bytes:
        # As stock's command line asks, with a token in the body; it changes nothing.
        return self.render_GET(request)
