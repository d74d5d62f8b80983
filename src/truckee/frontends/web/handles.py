"""Upload handles: /upload/open, and /upload/HANDLE for a file that comes in pieces."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping

from attrs import asdict, define, evolve
from twisted.web.http import Request
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from truckee.errors import Misuse, TruckeeError
from truckee.frontends.http.structured import count_item
from truckee.frontends.http.task_ids import wanted_id
from truckee.frontends.http.upload_options import parse_upload_options
from truckee.frontends.web.arguments import (
    BadArgument,
    arguments,
    boolean,
    size,
)
from truckee.frontends.web.frame import Frames
from truckee.frontends.web.page import set_page_headers
from truckee.frontends.web.partial import Partial
from truckee.frontends.web.resumable import Resumable
from truckee.frontends.web.upload_page import upload_page
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import (
    TEXT,
    Answer,
    NotFound,
    check_method,
)
from truckee.net.http.streaming import IStreamingResource
from truckee.uploads.registry import OpenUploads
from truckee.uploads.upload import OpenUpload

_JSON = {"content-type": "application/json; charset=utf-8", "cache-control": "no-store"}
_PLAIN = {"content-type": TEXT, "cache-control": "no-store"}
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


@define
class FormNotTaken(Misuse):
    """
    A chunk is the bytes of the file alone, and this came as a form ({kind}). With curl say
    -T FILE, or -H 'Content-Type: application/octet-stream' beside --data-binary.
    """

    kind: str


@define
class OpenTakesNoBody(Misuse):
    """
    To open an upload takes no body. Its arguments stand in the address, and the file goes
    to /upload/HANDLE.
    """


class UploadResource(Resource):
    """/upload: what is open."""

    def __init__(self, resumable: Resumable, frames: Frames) -> None:
        super().__init__()
        self._frames = frames
        self._resumable = resumable
        self._uploads = resumable.uploads

    def getChild(self, path: bytes, request: StreamingRequest) -> IResource:
        if request.postpath:
            raise NotFound
        if not path:
            return self
        if path == b"open":
            return OpenResource(self._uploads, self._resumable.now)
        upload = self._uploads.find(path.decode("ascii", "replace"))
        return HandleResource(self._resumable, upload)

    def render_GET(self, request: Request) -> bytes:
        """Show the page for people."""
        set_page_headers(request, uploads=True)
        return upload_page(self._frames.of(request))


@implementer(IStreamingResource)
class OpenResource(Resource):
    """/upload/open: makes a handle."""

    isLeaf = True
    allowedMethods = (b"POST",)

    def __init__(self, uploads: OpenUploads, now: Callable[[], float]) -> None:
        super().__init__()
        self._uploads = uploads
        self._now = now

    def accept(self, request: StreamingRequest) -> None:
        """Refuse what is no request to open."""
        check_method(request, self.allowedMethods)
        if request.bodyLength != 0:
            raise OpenTakesNoBody
        if arguments(request).get("output", "json").lower() != "json":
            raise BadArgument("output", "it can be json; leave it out for the handle alone")

    async def receive(
        self, request: StreamingRequest, body: AsyncIterator[bytes]
    ) -> Answer:
        """Answer with a new handle."""
        args = arguments(request)
        upload = await self._uploads.open(
            parse_upload_options(args, size(args, "size")),
            task=wanted_id(request, args),
            client=request.client_address,
        )
        if upload.record.task is not None:
            request.setHeader(b"x-task-id", upload.record.task.encode("ascii"))
        if "output" not in args:
            return Answer(upload.handle.encode(), 200, _PLAIN)
        expires = self._now() + self._uploads.time_left(upload)
        told = {"handle": upload.handle, "offset": upload.offset, "expires": expires}
        return Answer(_json(told), 200, _JSON)


@implementer(IStreamingResource)
class HandleResource(Resource):
    """/upload/HANDLE: one open upload."""

    isLeaf = True
    exists = True
    allowedMethods = (b"GET", b"HEAD", b"PUT", b"POST", b"PATCH", b"DELETE", b"OPTIONS")

    def __init__(self, resumable: Resumable, upload: OpenUpload) -> None:
        super().__init__()
        self._resumable = resumable
        self._uploads = resumable.uploads
        self._upload = upload
        self._responder = resumable.responder
        self._now = resumable.now
        self._partial = Partial(resumable, upload)

    def accept(self, request: StreamingRequest) -> None:
        """Refuse what is no chunk."""
        check_method(request, self.allowedMethods)
        request.keeps_parts = True
        if request.method == b"PATCH":
            self._partial.accept(request)
            return
        kind = (request.getHeader("content-type") or "").partition(";")[0].strip().lower()
        if kind in _FORMS:
            raise FormNotTaken(kind)
        args = arguments(request)
        said = request.getHeader("upload-offset")
        if said is not None and count_item(said) != _offset(args):
            raise BadArgument("offset", "the header Upload-Offset has another")
        boolean(args, "close")

    async def receive(
        self, request: StreamingRequest, body: AsyncIterator[bytes]
    ) -> Answer:
        """Take a chunk; answer with the new offset, or with the cap."""
        if request.method == b"DELETE":
            return await self._delete()
        if request.method == b"PATCH":
            return await self._partial.append(request, body)
        args, upload = arguments(request), self._upload
        offset = _offset(args)
        try:
            text = str(await upload.append(offset, body))
            if boolean(args, "close"):
                end = None if offset is None else offset + request.received
                text = str(await upload.close(end))
            answer = Answer(text.encode(), 200, _PLAIN)
        except TruckeeError as error:
            answer = self._responder.of_error(error)
        told = {**answer.headers, "upload-offset": str(upload.offset)}
        return evolve(answer, headers=told)

    def render_HEAD(self, request: Request) -> int:
        """Report where to resume."""
        self._responder.run(request, self._partial.look())
        return NOT_DONE_YET

    def render_OPTIONS(self, request: Request) -> bytes:
        """Tell that PATCH is known here."""
        for name, value in self._resumable.options().items():
            request.setHeader(name.encode(), value.encode())
        request.setResponseCode(204)
        return b""

    def render_GET(self, request: Request) -> bytes:
        """Tell how far it is."""
        if arguments(request).get("t", "json") != "json":
            raise BadArgument("t", "this address has json")
        upload, status = self._upload, self._upload.status
        for name, value in _JSON.items():
            request.setHeader(name.encode(), value.encode())
        request.setHeader(b"upload-offset", b"%d" % upload.offset)
        return _json(
            {
                "offset": upload.offset,
                "state": upload.state.value,
                "size": upload.size,
                "expires": self._now() + self._uploads.time_left(upload),
                "route": status.route,
                "held": status.held,
                "stored": status.stored,
                "happiness": status.happiness,
                "lost": [asdict(each) for each in status.lost],
                "unplaced": status.unplaced(upload.cap),
                "unproved": status.unproved,
                "task": upload.record.task,
                "cap": None if upload.cap is None else str(upload.cap),
                "error": None if upload.error is None else str(upload.error),
            }
        )

    def render_DELETE(self, request: Request) -> int:
        """Abort it."""
        self._responder.run(request, self._delete())
        return NOT_DONE_YET

    async def _delete(self) -> Answer:
        await self._uploads.abort(self._upload)
        return Answer(status=204)


def _offset(args: Mapping[str, str]) -> int | None:
    text = args.get("offset")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise BadArgument("offset", "it must be a number of bytes")
    return int(text)


def _json(told: Mapping[str, object]) -> bytes:
    return json.dumps(told, indent=1).encode() + b"\n"
