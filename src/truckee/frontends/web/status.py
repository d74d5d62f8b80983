"""
/status: what the gateway does, for people and for programs.

One task is at the address that stock gateways have for it, /status/up-N or /status/down-N,
and what a download read is below it.
"""

from __future__ import annotations

import json
import re

from attrs import define
from twisted.web.http import Request
from twisted.web.resource import IResource, Resource
from twisted.web.template import tags

from truckee.frontends.web.arguments import BadArgument, arguments
from truckee.frontends.web.download_events import download_events
from truckee.frontends.web.events import Events, EventsResource
from truckee.frontends.web.frame import Frame, Frames
from truckee.frontends.web.live import render_live
from truckee.frontends.web.not_stored import NotStored
from truckee.frontends.web.page import section, set_page_headers
from truckee.frontends.web.problems import problems_section
from truckee.frontends.web.remade import Remade
from truckee.frontends.web.renewal_report import renewals_section
from truckee.frontends.web.task_document import MOST_ACTIVE, RECENT, describe
from truckee.frontends.web.task_page import public_task_page
from truckee.frontends.web.task_tables import active_tasks, ended_tasks
from truckee.frontends.web.task_words import KINDS
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import TEXT, NotFound
from truckee.status.task import Task
from truckee.status.tasks import Tasks

_STOCK = ("upload", "download")
_NUMBERED = re.compile(rb"([a-z]+(?:-[a-z]+)?)-([0-9]{1,18})")
_EVENTS = b"event_json"
_JSON = b"application/json; charset=utf-8"


@define
class NoTaskOfThatNumber(NotFound):
    """
    There is no such task: it is forgotten, or the gateway was restarted, or there was none.
    Those that are remembered are listed in /status.
    """


def find_numbered(tasks: Tasks, segment: bytes) -> Task:
    """
    Return the task that is called up-N, down-N, or by its kind, as check-N.

    :raises NoTaskOfThatNumber: when none is.
    """
    match = _NUMBERED.fullmatch(segment)
    if match is not None:
        word = match[1].decode("ascii")
        task = tasks.numbered(KINDS.get(word, word), int(match[2]))
        if task is not None:
            return task
    raise NoTaskOfThatNumber


class NumberedTaskResource(Resource):
    """What everybody may know of one task."""

    isLeaf = True

    def __init__(self, task: Task, frames: Frames) -> None:
        super().__init__()
        self._task = task
        self._frames = frames

    def render_GET(self, request: Request) -> bytes:
        args = arguments(request)
        if args.get("t", "json") != "json":
            raise BadArgument("t", "this page has json")
        if "t" not in args:
            set_page_headers(request)
            return public_task_page(self._task, self._frames.of(request))
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"content-type", _JSON)
        return json.dumps(describe(self._task), indent=1).encode() + b"\n"

    # Stock gateways answer both alike.
    render_POST = render_GET


class DownloadEventsResource(Resource):
    """What one download read, and when."""

    isLeaf = True

    def __init__(self, task: Task) -> None:
        """:raises NotFound: for what is no download."""
        if task.kind != "download":
            raise NotFound
        super().__init__()
        self._task = task

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"content-type", TEXT.encode("ascii"))
        return json.dumps(download_events(self._task), indent=1).encode() + b"\n"

    # Stock gateways answer both alike.
    render_POST = render_GET


class StatusResource(Resource):
    """All tasks of the gateway."""

    def __init__(self, events: Events, frames: Frames) -> None:
        super().__init__()
        self._frames = frames
        self._events = events
        self._pages: Remade[bytes] = Remade(events.seconds)
        self.putChild(b"events", EventsResource(events))

    def getChild(self, path: bytes, request: StreamingRequest) -> IResource:
        if request.postpath not in ([], [_EVENTS]):
            raise NotFound
        if not path and not request.postpath:
            return self
        task = find_numbered(self._events.tasks, path)
        if request.postpath:
            return DownloadEventsResource(task)
        return NumberedTaskResource(task, self._frames)

    def render_GET(self, request: Request) -> bytes:
        args = arguments(request)
        if args.get("t", "json") != "json":
            raise BadArgument("t", "this page has json")
        request.setHeader(b"cache-control", b"no-store")
        if "t" in args:
            request.setHeader(b"content-type", _JSON)
            return self._pages.get(f"json {self._age}", self._json)
        set_page_headers(request)
        frame = self._frames.of(request)
        kind = f"html {frame.root} {self._age}"
        return self._pages.get(kind, lambda: self._page(frame))

    def render_POST(self, request: Request) -> bytes:
        # Programs for stock gateways ask so; it changes nothing.
        if arguments(request).get("t") != "json":
            return self.render_GET(request)
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"content-type", _JSON)
        return self._pages.get(f"stock {self._age}", self._json_for_stock)

    @property
    def _age(self) -> str:
        """
        What a page is too old without: while nothing runs, all that changed.

        No event follows the last change, so whoever looks again because of it must see it.
        """
        return "" if self._events.tasks.active() else str(self._events.changes)

    def _json_for_stock(self) -> bytes:
        """Return the kinds that stock's command line knows; it fails on others."""
        told = self._events.document()
        tasks = self._events.tasks
        for name, found in (("active", tasks.active()), ("recent", tasks.recent(RECENT))):
            known = [task for task in found if task.kind in _STOCK]
            told[name] = [describe(task) for task in known[:MOST_ACTIVE]]
        return json.dumps(told, indent=1).encode() + b"\n"

    def _json(self) -> bytes:
        return json.dumps(self._events.document(), indent=1).encode() + b"\n"

    def _page(self, frame: Frame) -> bytes:
        tasks = self._events.tasks
        return render_live(
            "Status",
            tags.h1("Status"),
            problems_section(self._events.problems or ()),
            NotStored.of(tasks.active()).sentence(),
            section("Under way", active_tasks(tasks.active()[:MOST_ACTIVE], frame.root)),
            renewals_section(self._events.renewals()),
            section("Finished", ended_tasks(tasks.recent(RECENT), frame)),
            frame=frame,
            here="status",
            moves=bool(tasks.active()),
        )
