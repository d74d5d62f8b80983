"""Requests for whole trees: which streams, and which is an operation with a handle."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from truckee.codec.caps import DirectoryCap
from truckee.frontends.web import deep_operations, deep_streams
from truckee.frontends.web.arguments import output_of, seconds
from truckee.frontends.web.checking import Checks
from truckee.frontends.web.deep_checks import DeepChecks
from truckee.frontends.web.deep_operations import DeepOperations
from truckee.frontends.web.deep_streams import DeepStreams, wants_stop
from truckee.frontends.web.reading import ABOUT
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import Answer
from truckee.status.tasks import Tasks
from truckee.tree.walk import Walker
from truckee.tree.walks import Walks

STARTS = deep_operations.STARTS
OUTPUTS = ("html", "json", "text")
KINDS = (*deep_streams.KINDS, *STARTS)


@frozen(eq=False)
class DeepWeb:
    """Answers requests whose ``t=`` is one of ``KINDS``."""

    streams: DeepStreams
    operations: DeepOperations
    _tasks: Tasks

    async def answer(
        self, request: StreamingRequest, cap: DirectoryCap, args: Mapping[str, str]
    ) -> Answer | None:
        """Return the answer, or None when it was streamed."""
        if args["t"] in STARTS:
            return await self._start(request, cap, args)
        await self.streams.answer(request, cap, args)
        return None

    async def _start(
        self, request: StreamingRequest, cap: DirectoryCap, args: Mapping[str, str]
    ) -> Answer:
        """Begin an operation; lead to its address."""
        retain = seconds(args, "retain-for")
        # These have no line for what cannot be read: they would be taken for the whole.
        stops = wants_stop(args, "stop")
        kind = args["t"].removeprefix("start-")
        task = await self.operations.start(cap, kind, args, stops)
        if retain is not None:
            self._tasks.retain(task, retain)
        target = request.own_url(f"/operations/{task.id}")
        if "output" in args:
            target += f"?output={output_of(args, OUTPUTS)}"
        headers = {**ABOUT, "location": target, "x-task-id": task.id}
        return Answer(f"{target}\n".encode(), 302, headers)


def deep_web(walker: Walker, checks: Checks, tasks: Tasks) -> DeepWeb:
    """Return what answers for whole trees."""
    deep, walks = DeepChecks(checks, walker.settling), Walks()
    streams = DeepStreams(walker, deep, tasks, walks)
    return DeepWeb(streams, DeepOperations(walker, deep, tasks, walks), tasks)
