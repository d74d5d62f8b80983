"""/operations/ID: one task, for whoever has its id."""

from __future__ import annotations

import json
from collections.abc import Mapping

from attrs import evolve, frozen
from twisted.web.http import Request
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from truckee.frontends.http.streamed import send_stream
from truckee.frontends.web.afterwards import check_when_done, return_to, when_done
from truckee.frontends.web.arguments import (
    BadArgument,
    arguments,
    boolean,
    output_of,
    seconds,
)
from truckee.frontends.web.deep_operations import DeepOperations, Operation
from truckee.frontends.web.deep_results import Checked
from truckee.frontends.web.frame import Frames
from truckee.frontends.web.page import PAGE_HEADERS
from truckee.frontends.web.task_document import describe_to_holder
from truckee.frontends.web.task_page import task_page
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import TEXT, Answer, NotFound, Responder
from truckee.status.task import Task
from truckee.status.tasks import Tasks

_OF_THE_MOMENT = {"cache-control": "no-store"}
_JSON = {"content-type": "application/json; charset=utf-8", **_OF_THE_MOMENT}


class OperationsResource(Resource):
    """/operations: what has an id."""

    def __init__(
        self,
        tasks: Tasks,
        responder: Responder,
        frames: Frames,
        walks: DeepOperations | None = None,
    ) -> None:
        super().__init__()
        self.web = _Web(tasks, responder, frames, walks)

    def getChild(self, path: bytes, request: StreamingRequest) -> IResource:
        if not path or len(request.postpath) > 1:
            raise NotFound
        task = self.web.tasks.find(path.decode("ascii", "replace"))
        walk = None if self.web.walks is None else self.web.walks.of(task)
        if request.postpath:
            if walk is None or not isinstance(walk.results, Checked):
                raise NotFound
            return CheckedResource(walk.results, self.web.responder)
        return TaskResource(self.web, task, walk)

    def render_GET(self, request: Request) -> bytes:
        raise NotFound


@frozen(eq=False)
class _Web:
    """What answering for tasks takes."""

    tasks: Tasks
    responder: Responder
    frames: Frames
    walks: DeepOperations | None


class TaskResource(Resource):
    """One task, which may be a walk."""

    isLeaf = True
    exists = True

    def __init__(self, web: _Web, task: Task, walk: Operation | None) -> None:
        super().__init__()
        self._frames = web.frames
        self._tasks = web.tasks
        self._task = task
        self._responder = web.responder
        self._walk = walk

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

    async def _act(self, request: Request, args: Mapping[str, str]) -> Answer | None:
        what = args.get("t", "status")
        check_when_done(args)
        if what == "cancel":
            await self._cancel()
        elif what == "pause":
            self._task.pause()
        elif what == "resume":
            self._task.resume()
        elif what != "status":
            raise BadArgument("t", "it can be cancel, pause, resume and status")
        if not args.get("when_done"):
            answer = await self._answer(request, args)
            if what == "cancel" and self._walk is not None:
                self._tasks.forget(self._task)  # as programs for stock gateways expect
            return answer
        return evolve(when_done(args, Answer()), status=303)

    async def _cancel(self) -> None:
        """Return when nothing is left of it."""
        self._task.cancel()
        await self._task.over()

    async def _delete(self) -> Answer:
        await self._cancel()
        self._tasks.forget(self._task)
        return Answer(status=204)

    async def _answer(self, request: Request, args: Mapping[str, str]) -> Answer | None:
        outputs = ("html", "json") if self._walk is None else ("html", "json", "text")
        output = output_of(args, outputs)
        retain = seconds(args, "retain-for")
        released = boolean(args, "release-after-complete")
        answer = None
        try:
            if self._walk is not None and output != "html":
                await self._tell_walk(request, output, self._walk)
            elif output == "json":
                text = json.dumps(describe_to_holder(self._task), indent=1) + "\n"
                answer = Answer(text.encode(), 200, _JSON)
            else:
                frame, back = self._frames.of(request), return_to(args)
                page = task_page(self._task, frame, self._walk, back)
                answer = Answer(page, 200, PAGE_HEADERS)
        finally:
            if retain is not None:
                self._tasks.retain(self._task, retain)
            if released:
                self._tasks.forget(self._task)
            self._tasks.told_end(self._task)
        return answer

    async def _tell_walk(self, request: Request, output: str, walk: Operation) -> None:
        """Send what a walk found so far.  :raises TruckeeError: what it failed of"""
        if walk.error is not None:
            raise walk.error
        finished = self._task.ended is not None
        results = walk.results
        pieces = (results.document if output == "json" else results.text)(finished)
        headers = _JSON if output == "json" else {"content-type": TEXT, **_OF_THE_MOMENT}
        await send_stream(request, headers, pieces)


class CheckedResource(Resource):
    """/operations/ID/STORAGE-INDEX: what a deep check found of one object."""

    isLeaf = True

    def __init__(self, checked: Checked, responder: Responder) -> None:
        super().__init__()
        self._checked = checked
        self._responder = responder

    def render_GET(self, request: StreamingRequest) -> int:
        self._responder.run(request, self._answer(request))
        return NOT_DONE_YET

    async def _answer(self, request: StreamingRequest) -> Answer:
        [index] = request.postpath
        found = await self._checked.find(index.decode("ascii", "replace"))
        if found is None:
            raise NotFound
        return Answer(json.dumps(found, indent=1).encode() + b"\n", 200, _JSON)
