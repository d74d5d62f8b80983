"""One immutable file, read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from attrs import field, frozen
from twisted.web.http import Request
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from truckee.codec.caps import ChkReadCap, LiteralCap
from truckee.codec.link_metadata import Metadata
from truckee.frontends.http.contents import ASK_AGAIN, KEEP, check_wanted, immutable_content
from truckee.frontends.http.sending import Content, Sender, random_boundary
from truckee.frontends.web.arguments import BadArgument, arguments, no_children
from truckee.frontends.web.checking import Checks, check
from truckee.frontends.web.frame import Frames
from truckee.frontends.web.info_page import info_page
from truckee.frontends.web.page import PAGE_HEADERS
from truckee.immutable.download.downloader import Downloader
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import TEXT, Answer, Responder
from truckee.status.tasks import Tasks

# Answers about a file have its caps in them.
ABOUT = {"content-type": TEXT, "cache-control": "no-store"}


@frozen(eq=False)
class Reader:
    """What reading files takes."""

    downloader: Downloader
    responder: Responder
    tasks: Tasks
    new_boundary: Callable[[], str] = random_boundary
    checks: Checks | None = None
    frames: Frames = field(factory=Frames)

    @property
    def sender(self) -> Sender:
        """What sends their bytes."""
        return Sender(self.tasks, self.new_boundary)

    def content(self, cap: ChkReadCap | LiteralCap, cache_control: str = KEEP) -> Content:
        """Return what a client can get of the file."""
        return immutable_content(self.downloader, cap, cache_control)


class FileResource(Resource):
    """The file of one cap."""

    for_players = True  # of films and sounds, in a browser
    for_frames = True  # of our own pages

    def __init__(
        self,
        cap: ChkReadCap | LiteralCap,
        name: str,
        reader: Reader,
        metadata: Metadata | None = None,  # of the link by which it was reached
    ) -> None:
        super().__init__()
        self._cap = cap
        self._metadata = metadata
        self._name = name
        self._reader = reader

    def getChild(self, path: bytes, request: StreamingRequest) -> IResource:
        raise no_children(path)

    def render_GET(self, request: StreamingRequest) -> int:
        check_wanted(request)
        self._reader.responder.run(request, self.answer(request))
        return NOT_DONE_YET

    def render_HEAD(self, request: StreamingRequest) -> int:
        return self.render_GET(request)

    def render_POST(self, request: Request) -> int:
        return check(request, self._cap, self._reader.checks, self._reader.responder)

    async def answer(self, request: StreamingRequest) -> Answer | None:
        """Return the answer to a GET, or None when it was sent."""
        args = arguments(request)
        kind = args.get("t", "")
        if kind:
            return self._about(kind, request)
        # A name may come to lead to another file; a cap never does.
        keep = KEEP if self._metadata is None else ASK_AGAIN
        content = self._reader.content(self._cap, keep)
        await self._reader.sender.send(request, content, args, self._name)
        return None

    def _about(self, kind: str, request: StreamingRequest) -> Answer:
        if kind == "json":
            found = with_metadata(describe(self._cap), self._metadata)
            text = json.dumps(["filenode", found], indent=1) + "\n"
            return Answer(text.encode(), 200, ABOUT)
        if kind in ("uri", "readonly-uri"):
            return Answer(str(self._cap).encode(), 200, ABOUT)
        if kind == "info":
            frame = self._reader.frames.of(request)
            return Answer(info_page(self._cap, frame), 200, PAGE_HEADERS)
        raise BadArgument("t", "a file has json, uri, readonly-uri and info")


def with_metadata(
    found: Mapping[str, object], metadata: Metadata | None
) -> Mapping[str, object]:
    """Return what is said of a child, with what its link says."""
    return found if metadata is None else {**found, "metadata": metadata}


def describe(cap: ChkReadCap | LiteralCap) -> Mapping[str, object]:
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
