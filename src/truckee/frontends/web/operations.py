"""/operations/ID: one task, for whoever has its id."""

from __future__ import annotations

import json
from collections.abc import Mapping

from twisted.web.http import Request
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from truckee.frontends.web.arguments import (
    BadArgument,
    arguments,
    boolean,
)
from truckee.frontends.web.frame import Frames
from truckee.frontends.web.page import PAGE_HEADERS
from truckee.frontends.web.task_document import describe_to_holder
from truckee.frontends.web.task_page import task_page
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import Answer, NotFound, Responder
from truckee.status.task import Task
from truckee.status.tasks import Tasks

_OF_THE_MOMENT = {"cache-control": "no-store"}
_JSON = {"content-type": "application/json; charset=utf-8", **_OF_THE_MOMENT}


class OperationsResource(Resource):
    """/operations: what has an id."""

    def __init__(self, tasks: Tasks, responder: Responder, frames: Frames) -> None:
        super().__init__()
        self._frames = frames
        self._tasks = tasks
        self._responder = responder

    def getChild(self, path: bytes, request: StreamingRequest) -> IResource:
        if request.postpath or not path:
            raise NotFound
        task = self._tasks.find(path.decode("ascii", "replace"))
        return TaskResource(self._tasks, task, self._responder, self._frames)

    def render_GET(self, request: Request) -> bytes:
        raise NotFound


class TaskResource(Resource):
    """One task."""

    isLeaf = True
    exists = True

    def __init__(
        self, tasks: Tasks, task: Task, responder: Responder, frames: Frames
    ) -> None:
        super().__init__()
        self._frames = frames
        self._tasks = tasks
        self._task = task
        self._responder = responder

    def render_GET(self, request: Request) -> int:
        args = arguments(request)
        if args.get("t", "status") != "status":
            raise BadArgument("t", "a GET takes status; a POST cancel, pause and resume")
        self._responder.run(request, self._answer(request, args))
        return NOT_DONE_YET

    def render_POST(self, request: Request) -> int:
        self._responder.run(request, self._act(request, arguments(request)))
        return NOT_DONE_YET

    def render_DELETE(self, request: Request) -> int:
        self._responder.run(request, self._delete())
        return NOT_DONE_YET

    async def _act(self, request: Request, args: Mapping[str, str]) -> Answer:
        what = args.get("t", "status")
        if what == "cancel":
            await self._cancel()
        elif what == "pause":
            self._task.pause()
        elif what == "resume":
            self._task.resume()
        elif what != "status":
            raise BadArgument("t", "it can be cancel, pause, resume and status")
        answer = await self._answer(request, args)
        when_done = args.get("when_done")
        if when_done is None:
            return answer
        if not when_done.isprintable():
            raise BadArgument("when_done", "it has characters that no address has")
        return Answer(b"", 303, {"location": when_done, **_OF_THE_MOMENT})

    async def _cancel(self) -> None:
        """Return when nothing is left of it."""
        self._task.cancel()
        await self._task.over()

    async def _delete(self) -> Answer:
        await self._cancel()
        self._tasks.forget(self._task)
        return Answer(status=204)

    async def _answer(self, request: Request, args: Mapping[str, str]) -> Answer:
        output = args.get("output", "html").lower()
        if output not in ("html", "json"):
            raise BadArgument("output", "it can be html and json")
        retain = _seconds(args, "retain-for")
        if output == "json":
            text = json.dumps(describe_to_holder(self._task), indent=1) + "\n"
            answer = Answer(text.encode(), 200, _JSON)
        else:
            page = task_page(self._task, self._frames.of(request))
            answer = Answer(page, 200, PAGE_HEADERS)
        if retain is not None:
            self._tasks.retain(self._task, retain)
        if boolean(args, "release-after-complete"):
            self._tasks.forget(self._task)
        self._tasks.told_end(self._task)
        return answer


def _seconds(args: Mapping[str, str], name: str) -> float | None:
    text = args.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise BadArgument(name, "it must be a number of seconds")
    return float(text)
