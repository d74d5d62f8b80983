"""t=stream-manifest and t=stream-deep-check: whole trees, a line for each object."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing

from attrs import define, frozen
from twisted.web.http import Request

from truckee.codec.caps import DirectoryCap
from truckee.codec.walk_cursor import END, CursorKey
from truckee.errors import TruckeeError
from truckee.flow.in_order import InOrder
from truckee.frontends.http.streamed import send_stream
from truckee.frontends.http.task_ids import show_id, wanted_id
from truckee.frontends.web.arguments import BadArgument
from truckee.frontends.web.checking import wish_of
from truckee.frontends.web.deep_checks import AHEAD, CHECKS, DeepChecks
from truckee.frontends.web.deep_units import Units, error_line
from truckee.frontends.web.reading import ABOUT
from truckee.status.progress import Progress
from truckee.status.run import run_task
from truckee.status.task import Task
from truckee.status.tasks import Tasks
from truckee.tree.object_check import Wish
from truckee.tree.walk import Walk, Walked, Walker, one_by_one
from truckee.tree.walks import Walks

KINDS = ("stream-manifest", "stream-deep-check")

# Of gzip: lines are alike, and more would cost a core more than it saves a line.
_LEVEL = 4


@define(eq=False)
class DeepStreams:
    """What walks of whole trees take."""

    walker: Walker
    checks: DeepChecks
    tasks: Tasks
    _walks: Walks

    async def answer(
        self, request: Request, cap: DirectoryCap, args: Mapping[str, str]
    ) -> None:
        """
        Send the lines of all that is below *cap*.

        :raises BadArgument: :raises BadCursor: before the first line.
        """
        checks = args["t"] == "stream-deep-check"
        wish = wish_of(args) if checks else None
        stops = wants_stop(args)
        key = CursorKey.of(cap)
        after = key.open(args["cursor"]) if args.get("cursor") else None
        packs = _takes_gzip(request)
        headers = {**ABOUT, "vary": "accept-encoding"}
        if packs:
            headers["content-encoding"] = "gzip"

        progress = Progress(phase="checking" if checks else "walking")

        async def work(task: Task) -> None:
            show_id(request, task)
            walk = self.walker.walk(cap, after)
            lines = _Lines(walk, Units(key, stops), self.checks, wish, stops, progress)
            pieces = (
                _nothing() if after is not None and after.place == END else lines.pieces()
            )
            await send_stream(request, headers, _packed(pieces) if packs else pieces)

        self._walks.take()
        try:
            kind = "deep-check" if checks else "manifest"
            await run_task(self.tasks, kind, wanted_id(request, args), progress, work)
        finally:
            self._walks.give()


@frozen(eq=False)
class _Lines:
    """The lines of one walk."""

    _walk: Walk
    _units: Units
    _checks: DeepChecks
    _wish: Wish | None  # None: nothing is checked
    _stops: bool  # at the first directory that cannot be read
    _progress: Progress

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Give some lines at a time; an error behind the first of them is a line, too."""
        begun = False
        try:
            async with aclosing(self._all()) as pieces:
                async for piece in pieces:
                    begun = True
                    yield piece
        except TruckeeError as error:
            if not begun:
                raise
            yield error_line(error)

    async def _all(self) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._walk.batches()) as batches:
            objects = self._checked(batches) if self._wish else self._listed(batches)
            async with aclosing(objects) as pieces:
                async for piece in pieces:
                    yield piece
        yield self._units.end(self._walk.statistics)

    async def _listed(
        self, batches: AsyncIterator[list[Walked]]
    ) -> AsyncGenerator[bytes, None]:
        run = self._walk.cpu.run
        async for batch in batches:
            yield await run(self._units.lines, batch)
            self._progress.objects += len(batch)
            self._check_end(batch)

    async def _checked(
        self, batches: AsyncIterator[list[Walked]]
    ) -> AsyncGenerator[bytes, None]:
        checked = InOrder(one_by_one(batches), self._check, CHECKS, AHEAD)
        async with aclosing(checked.results()) as results:
            async for done in results:
                for walked, line in done:
                    yield line
                    self._progress.objects += 1
                    self._check_end([walked])

    async def _check(self, walked: Walked) -> tuple[Walked, bytes]:
        assert self._wish is not None
        found = await self._checks.check(walked.child, self._wish)
        return walked, self._units.line(walked, found)

    def _check_end(self, batch: list[Walked]) -> None:
        """:raises TruckeeError: that of a directory, if that is the end."""
        error = batch[-1].error
        if self._stops and error is not None:
            raise error


async def _nothing() -> AsyncGenerator[bytes, None]:
    return
    yield b""


def wants_stop(args: Mapping[str, str], usual: str = "continue") -> bool:
    """Return whether a walk ends where it cannot go on.  :raises BadArgument:"""
    wanted = args.get("on-error", usual)
    if wanted not in ("continue", "stop"):
        raise BadArgument("on-error", "it can be continue and stop")
    return wanted == "stop"


def _takes_gzip(request: Request) -> bool:
    """Tell whether the client takes gzip: it names it, and does not refuse it."""
    for each in (request.getHeader("accept-encoding") or "").lower().split(","):
        name, _, quality = each.partition(";")
        if name.strip() in ("gzip", "x-gzip"):
            return quality.replace(" ", "").rstrip("0") not in ("q=", "q=0.")
    return False


async def _packed(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Give *pieces* in gzip, each of which can be read when it has come."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    async with aclosing(pieces):
        async for piece in pieces:
            yield packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()
