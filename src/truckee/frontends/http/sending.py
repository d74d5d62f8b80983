"""The bytes of a file on their way to a client: all of it, or the ranges it asks for."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Protocol

from attrs import field, frozen
from twisted.web.http import Request

from truckee.flow.outbound import Outbound
from truckee.frontends.http.arguments import arguments, boolean
from truckee.frontends.http.byteranges import Body, partial, whole
from truckee.frontends.http.conditions import (
    PreconditionFailed,
    goes_on,
    is_known,
    is_wanted,
)
from truckee.frontends.http.content_types import content_type, shown_as
from truckee.frontends.http.ranges import ByteRange, RangeNotSatisfiable, parse_ranges
from truckee.frontends.http.task_ids import show_id, wanted_id
from truckee.immutable.download.memory_budget import Holdings
from truckee.immutable.download.read_ahead import Download
from truckee.net.http.isolation import FRAMED
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import set_head
from truckee.net.http.unsent import bound_unsent
from truckee.status.progress import Progress, Reading, ReadProgress
from truckee.status.run import run_task
from truckee.status.task import Task
from truckee.status.tasks import Tasks

# What the system may take for a client that may not want it.
_UNSENT = 64 << 10  # bytes


def random_boundary() -> str:
    """Return a line that no file has, except by a chance of 1 in 2**128."""
    return secrets.token_hex(16)


class Opened(Protocol):
    """A file that is read."""

    holdings: Holdings

    def read(self, start: int = 0, end: int = 0) -> Download:
        """Return the bytes from *start* up to, not including, *end*."""


@frozen(eq=False)
class Content:
    """What a client can get of one file, and what it may know before it does."""

    size: int  # bytes
    tags: Sequence[str]  # its entity tags, ours first
    cache_control: str
    # The content itself, where that is at hand; else how it is opened for one who reads on
    # from some byte.
    data: bytes | None = field(default=None, repr=False)
    open: Callable[[int], Awaitable[Opened]] | None = None


@frozen(eq=False)
class Sender:
    """Sends files, each as a task that can be watched and cancelled."""

    tasks: Tasks
    new_boundary: Callable[[], str] = random_boundary

    async def send(
        self,
        request: StreamingRequest,
        content: Content,
        args: Mapping[str, str],
        name: str,
    ) -> None:
        """
        Answer a GET or HEAD for a file called *name*.

        :raises PreconditionFailed: :raises RangeNotSatisfiable: :raises TruckeeError: when
            it cannot be read; nothing was sent then.
        """
        name = args.get("filename", name)
        save = boolean(args, "save")
        tags = content.tags
        kept = {"etag": f'"{tags[0]}"', "cache-control": content.cache_control, **FRAMED}
        # The order of RFC 9110, section 13.2.2.
        if_match = header(request, b"if-match")
        if if_match is not None and not is_wanted(if_match, tags[0]):
            raise PreconditionFailed
        if_none_match = header(request, b"if-none-match")
        if if_none_match is not None and is_known(if_none_match, tags):
            set_head(request, 304, kept)
            return
        kind = content_type(name)
        agent = request.getHeader("user-agent") or ""
        kept |= shown_as(kind, name, agent, save, request.by_player)
        body = self._body(request, content.size, tags[0], kind)
        headers = {**body.headers, "accept-ranges": "bytes", **kept}
        # nginx would write what its client takes slowly, in the clear, to its own disk.
        headers["x-accel-buffering"] = "no"
        if request.method == b"HEAD":
            set_head(request, body.status, headers)
        elif content.data is not None:
            set_head(request, body.status, headers)
            request.write(bytes_of(content.data, body))
        else:
            await self._stream(request, content, body, headers)

    def _body(self, request: Request, size: int, tag: str, kind: str) -> Body:
        """Return what of the file to send."""
        asked = header(request, b"range")
        # Range is defined for GET only (RFC 9110, section 14.2).
        if asked is None or request.method != b"GET":
            return whole(size, kind)
        if_range = header(request, b"if-range")
        if if_range is not None and not goes_on(if_range, tag):
            return whole(size, kind)
        try:
            ranges = parse_ranges(asked, size)
        except RangeNotSatisfiable:
            request.setHeader(b"content-range", b"bytes */%d" % size)
            raise
        if ranges is None:
            return whole(size, kind)
        return partial(ranges, kind, self.new_boundary())

    async def _stream(
        self, request: Request, content: Content, body: Body, headers: Mapping[str, str]
    ) -> None:
        """Send verified segments as fast as the client takes them."""
        reads = [Reading(part.start, part.length, len(head)) for head, part in body.parts]
        progress = ReadProgress(size=sum(each.length for each in reads), reads=reads)
        wanted = wanted_id(request, arguments(request))

        async def send(task: Task) -> None:
            show_id(request, task)
            await _send_pieces(request, content, body, headers, progress)

        await run_task(self.tasks, "download", wanted, progress, send)


async def _send_pieces(
    request: Request,
    content: Content,
    body: Body,
    headers: Mapping[str, str],
    progress: Progress,
) -> None:
    assert content.open is not None
    file = await content.open(body.parts[0][1].start)
    async with aclosing(_pieces(file, body)) as pieces:
        # The head waits for the first segment: until then an error has a status.
        piece = await anext(pieces)
        open_ended = _open_ended(body, body.parts[-1][1])
        # One of many may never read: what the system takes for it was fetched in vain.
        little = open_ended or not file.holdings.is_roomy
        bound_unsent(request.transport, _UNSENT if little else 0)
        set_head(request, body.status, headers)
        progress.phase = "sending"
        with Outbound(request) as outbound:
            while piece:
                size, written = len(piece), outbound.write(piece)
                del piece  # the transport has it, and nobody else for as long
                await written
                progress.sent += size
                piece = await anext(pieces, b"")


async def _pieces(file: Opened, body: Body) -> AsyncGenerator[bytes, None]:
    """Give the bytes of *body*, none before the first segment has come."""
    download = file.read()
    try:
        for head, part in body.parts:
            before = head
            download.go_on(part.start, part.end, open_ended=_open_ended(body, part))
            async for piece in download:
                ready, before = [before + piece], b""
                del piece
                yield ready.pop()
    finally:
        download.stop()
    if body.tail:
        yield body.tail


def _open_ended(body: Body, part: ByteRange) -> bool:
    """
    Tell whether the client may want less of *part* than it asked for.

    Players ask for all from some byte on, and take what they need.
    """
    return body.status == 206 and part.end == part.size


def bytes_of(data: bytes, body: Body) -> bytes:
    """Return the bytes of *body* out of *data*."""
    parts = (head + data[part.start : part.end] for head, part in body.parts)
    return b"".join(parts) + body.tail


def header(request: Request, name: bytes) -> str | None:
    """Return a header, its lines as one list; bytes outside ASCII are in none of ours."""
    lines = request.requestHeaders.getRawHeaders(name)
    return None if lines is None else b", ".join(lines).decode("latin-1")
