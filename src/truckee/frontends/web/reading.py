"""One file, read."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from attrs import field, frozen
from twisted.web.http import Request
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from truckee.codec.caps import ChkReadCap, LiteralCap
from truckee.flow.outbound import Outbound
from truckee.frontends.http.byteranges import Body, partial, whole
from truckee.frontends.http.conditions import (
    PreconditionFailed,
    goes_on,
    is_known,
    is_wanted,
)
from truckee.frontends.http.ranges import ByteRange, RangeNotSatisfiable, parse_ranges
from truckee.frontends.web.arguments import BadArgument, arguments, boolean, no_children
from truckee.frontends.web.checking import Checks, check
from truckee.frontends.web.content_types import content_type, shown_as
from truckee.frontends.web.etags import entity_tags
from truckee.frontends.web.frame import Frames
from truckee.frontends.web.info_page import info_page
from truckee.frontends.web.page import PAGE_HEADERS
from truckee.frontends.web.task_document import show_id, wanted_id
from truckee.immutable.download.downloader import Downloader, OpenFile
from truckee.net.http.origin import NotForThat
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import TEXT, Answer, Responder
from truckee.net.http.unsent import bound_unsent
from truckee.status.progress import Progress
from truckee.status.run import run_task
from truckee.status.task import Task
from truckee.status.tasks import Tasks

# A cap never comes to stand for other bytes, so whoever has them need not ask again, for
# as long as a cache keeps anything (a year).  But caps are keys: what was decrypted for
# one client is not left in a cache that others share, even where they cannot know the URL.
_KEEP = "private, max-age=31536000, immutable"

# What a page of ours takes from /static alone.
_NO_CODE = frozenset(("script", "style"))

# What the system may take for a client that may not want it.
_UNSENT = 64 << 10  # bytes

# Answers about a file have its caps in them.
_ABOUT = {"content-type": TEXT, "cache-control": "no-store"}


def random_boundary() -> str:
    """Return a line that no file has, except by a chance of 1 in 2**128."""
    return secrets.token_hex(16)


@frozen(eq=False)
class Reader:
    """What reading files takes."""

    downloader: Downloader
    responder: Responder
    tasks: Tasks
    new_boundary: Callable[[], str] = random_boundary
    checks: Checks | None = None
    frames: Frames = field(factory=Frames)


class FileResource(Resource):
    """The file of one cap."""

    for_players = True  # of films and sounds, in a browser

    def __init__(self, cap: ChkReadCap | LiteralCap, name: str, reader: Reader) -> None:
        super().__init__()
        self._cap = cap
        self._name = name
        self._reader = reader

    def getChild(self, path: bytes, request: StreamingRequest) -> IResource:
        raise no_children(path)

    def render_GET(self, request: StreamingRequest) -> int:
        if not _NO_CODE.isdisjoint(request.header_lines("sec-fetch-dest")):
            raise NotForThat
        self._reader.responder.run(request, self._answer(request))
        return NOT_DONE_YET

    def render_HEAD(self, request: StreamingRequest) -> int:
        return self.render_GET(request)

    def render_POST(self, request: Request) -> int:
        return check(request, self._cap, self._reader.checks, self._reader.responder)

    async def _answer(self, request: StreamingRequest) -> Answer | None:
        args = arguments(request)
        kind = args.get("t", "")
        if kind == "json":
            text = json.dumps(["filenode", describe(self._cap)], indent=1) + "\n"
            return Answer(text.encode(), 200, _ABOUT)
        if kind in ("uri", "readonly-uri"):
            return Answer(str(self._cap).encode(), 200, _ABOUT)
        if kind == "info":
            frame = self._reader.frames.of(request)
            return Answer(info_page(self._cap, frame), 200, PAGE_HEADERS)
        if kind:
            raise BadArgument("t", "a file has json, uri, readonly-uri and info")
        await self._send(request, args)
        return None

    async def _send(self, request: StreamingRequest, args: Mapping[str, str]) -> None:
        name = args.get("filename", self._name)
        save = boolean(args, "save")
        tags = entity_tags(self._cap)
        kept = {"etag": f'"{tags[0]}"', "cache-control": _KEEP}
        # The order of RFC 9110, section 13.2.2.
        if_match = _header(request, b"if-match")
        if if_match is not None and not is_wanted(if_match, tags[0]):
            raise PreconditionFailed
        if_none_match = _header(request, b"if-none-match")
        if if_none_match is not None and is_known(if_none_match, tags):
            _set_head(request, 304, kept)
            return
        kind = content_type(name)
        agent = request.getHeader("user-agent") or ""
        kept |= shown_as(kind, name, agent, save, request.by_player)
        body = self._body(request, tags[0], kind)
        headers = {**body.headers, "accept-ranges": "bytes", **kept}
        # nginx would write what its client takes slowly, in the clear, to its own disk.
        headers["x-accel-buffering"] = "no"
        if request.method == b"HEAD":
            _set_head(request, body.status, headers)
        elif isinstance(self._cap, LiteralCap):
            _set_head(request, body.status, headers)
            request.write(literal_body(self._cap.data, body))
        else:
            await self._stream(request, self._cap, body, headers)

    def _body(self, request: Request, tag: str, kind: str) -> Body:
        """Return what of the file to send."""
        size = self._cap.size
        asked = _header(request, b"range")
        # Range is defined for GET only (RFC 9110, section 14.2).
        if asked is None or request.method != b"GET":
            return whole(size, kind)
        if_range = _header(request, b"if-range")
        if if_range is not None and not goes_on(if_range, tag):
            return whole(size, kind)
        try:
            ranges = parse_ranges(asked, size)
        except RangeNotSatisfiable:
            request.setHeader(b"content-range", b"bytes */%d" % size)
            raise
        if ranges is None:
            return whole(size, kind)
        return partial(ranges, kind, self._reader.new_boundary())

    async def _stream(
        self, request: Request, cap: ChkReadCap, body: Body, headers: Mapping[str, str]
    ) -> None:
        """Send verified segments as fast as the client takes them."""
        progress = Progress(size=sum(part.end - part.start for _, part in body.parts))
        wanted = wanted_id(request, arguments(request))

        async def send(task: Task) -> None:
            show_id(request, task)
            await self._send_pieces(request, cap, body, headers, progress)

        await run_task(self._reader.tasks, "download", wanted, progress, send)

    async def _send_pieces(
        self,
        request: Request,
        cap: ChkReadCap,
        body: Body,
        headers: Mapping[str, str],
        progress: Progress,
    ) -> None:
        start = body.parts[0][1].start
        file = await self._reader.downloader.open(cap, start)
        async with aclosing(_pieces(file, body)) as pieces:
            # The head waits for the first segment: until then an error has a status.
            piece = await anext(pieces)
            open_ended = _open_ended(body, body.parts[-1][1])
            # One of many may never read: what the system takes for it was fetched in vain.
            little = open_ended or not file.holdings.is_roomy
            bound_unsent(request.transport, _UNSENT if little else 0)
            _set_head(request, body.status, headers)
            progress.phase = "sending"
            with Outbound(request) as outbound:
                while piece:
                    size, written = len(piece), outbound.write(piece)
                    del piece  # the transport has it, and nobody else for as long
                    await written
                    progress.sent += size
                    piece = await anext(pieces, b"")


async def _pieces(file: OpenFile, body: Body) -> AsyncGenerator[bytes, None]:
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


def literal_body(data: bytes, body: Body) -> bytes:
    """Return the bytes of *body* out of *data*."""
    parts = (head + data[part.start : part.end] for head, part in body.parts)
    return b"".join(parts) + body.tail


def describe(cap: ChkReadCap | LiteralCap) -> dict[str, object]:
    """Return what ``t=json`` says of a file."""
    found: dict[str, object] = {
        "mutable": False,
        "format": "CHK",
        "size": cap.size,
        "ro_uri": str(cap),
    }
    verify_cap = cap.verify_cap()
    if verify_cap is not None:
        found["verify_uri"] = str(verify_cap)
    return found


def _header(request: Request, name: bytes) -> str | None:
    """Return a header, its lines as one list; bytes outside ASCII are in none of ours."""
    lines = request.requestHeaders.getRawHeaders(name)
    return None if lines is None else b", ".join(lines).decode("latin-1")


def _set_head(request: Request, status: int, headers: Mapping[str, str]) -> None:
    request.setResponseCode(status)
    for name, value in headers.items():
        request.setHeader(name.encode(), value.encode("utf-8"))
