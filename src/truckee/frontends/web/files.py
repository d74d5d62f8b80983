"""Files at /uri, /file and /named: put, posted, read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from urllib.parse import quote

from attrs import asdict, define, evolve, field
from twisted.web.http import Request
from twisted.web.resource import IResource, Resource
from zope.interface import implementer

from truckee.codec.caps import (
    ChkReadCap,
    ChkVerifyCap,
    LiteralCap,
    MalformedCap,
    UnknownCap,
)
from truckee.errors import Misuse
from truckee.frontends.http.multipart import FORM_OVERHEAD, Form, boundary_of
from truckee.frontends.http.upload_options import NAMES, parse_upload_options
from truckee.frontends.web.arguments import (
    BadArgument,
    arguments,
    boolean,
    cap_in,
)
from truckee.frontends.web.checking import CheckResource
from truckee.frontends.web.reading import FileResource, Reader
from truckee.frontends.web.result_page import show_stored
from truckee.frontends.web.resumable import Resumable, check_dialect
from truckee.frontends.web.task_document import show_id, wanted_id
from truckee.immutable.upload.status import UploadStatus
from truckee.immutable.upload.uploader import Cap, Uploader
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import TEXT, Answer, NotFound, WrongMethod
from truckee.net.http.streaming import IStreamingResource
from truckee.status.run import run_task
from truckee.status.task import Task
from truckee.uploads.streaming import StreamingUpload


@define
class NotAFile(Misuse):
    """This cap is not of an immutable file, and this gateway reads no other kind yet."""


def readable(segment: bytes) -> ChkReadCap | LiteralCap:
    """Return the cap in a path segment, if files can be read by it."""
    cap = cap_in(segment)
    if isinstance(cap, UnknownCap):
        raise MalformedCap("it does not begin with a known kind, as URI:CHK: does")
    if not isinstance(cap, (ChkReadCap, LiteralCap)):
        raise NotAFile
    return cap


@implementer(IStreamingResource)
class UriResource(Resource):
    """/uri: new files; /uri/CAP: files."""

    allowedMethods = (b"GET", b"HEAD", b"PUT", b"POST")

    def __init__(
        self,
        uploader: Uploader,
        reader: Reader,
        resumable: Resumable | None = None,
        default_key: str = "random",
    ) -> None:
        super().__init__()
        self._uploader = uploader
        self._reader = reader
        self._resumable = resumable
        self._default_key = default_key

    def getChild(self, path: bytes, request: StreamingRequest) -> IResource:
        if not path and not request.postpath:
            return self
        if request.method == b"POST":
            cap = cap_in(path)
            if isinstance(cap, ChkVerifyCap):
                return CheckResource(cap, self._reader.checks, self._reader.responder)
        return FileResource(readable(path), "", self._reader)

    def accept(self, request: StreamingRequest) -> None:
        """Refuse, before the body, what could not be stored."""
        if request.method not in (b"PUT", b"POST"):
            allowed = b", ".join(self.allowedMethods).decode("ascii")
            raise WrongMethod(request.method.decode("ascii", "replace"), allowed)
        args = arguments(request)
        _check_upload_arguments(args)
        self._reader.tasks.check_id(wanted_id(request, args))
        check_dialect(request, creates=True)
        if self._resumable is not None and self._resumable.takes(request):
            return
        if request.method == b"PUT":
            self._uploader.check_size(request.bodyLength)
        else:
            if request.bodyLength is not None:
                self._uploader.check_size(request.bodyLength - FORM_OVERHEAD)
            boundary_of(request.getHeader("content-type") or "")

    async def receive(
        self, request: StreamingRequest, body: AsyncIterator[bytes]
    ) -> Answer:
        """Store the body, or the file in its form; answer with the cap."""
        if self._resumable is not None and self._resumable.takes(request):
            return await self._resumable.make(request, body)
        args, status = arguments(request), UploadStatus()
        wanted = wanted_id(request, args)

        async def store(task: Task) -> tuple[Cap, Answer]:
            show_id(request, task)
            if request.method == b"PUT":
                return await self._put(request, body, args, status)
            cap, answer = await self._post(request, body, args, status)
            return cap, show_stored(request, answer, self._reader.frames)

        _, answer = await run_task(
            self._reader.tasks, "upload", wanted, status, store, lambda done: str(done[0])
        )
        return answer

    async def _put(
        self,
        request: StreamingRequest,
        body: AsyncIterator[bytes],
        args: Mapping[str, str],
        status: UploadStatus,
    ) -> tuple[Cap, Answer]:
        options = parse_upload_options(args, request.bodyLength, self._default_key)
        client, asks_first = request.client_address, request.owes_continue
        upload = StreamingUpload(self._uploader, options, status, client, asks_first)
        cap = await upload.store(body)
        return cap, _cap_answer(cap, status, args)

    async def _post(
        self,
        request: StreamingRequest,
        body: AsyncIterator[bytes],
        args: dict[str, str],
        status: UploadStatus,
    ) -> tuple[Cap, Answer]:
        form = Form.begin(body, request.getHeader("content-type") or "")
        await form.find("file")
        before = {**form.fields, **args}
        _check_upload_arguments(before)
        options = parse_upload_options(before, None, self._default_key)
        # The file's own length is nowhere; it is less than that of the form.
        bounds = (options.max_size, request.bodyLength)
        most = min((bound for bound in bounds if bound is not None), default=None)
        options = evolve(options, max_size=most)
        upload = StreamingUpload(self._uploader, options, status, request.client_address)
        cap = await upload.store(_FileThenRest(form, args))
        after = {**form.fields, **args}
        when_done = after.get("when_done")
        if when_done is not None:
            return cap, _redirect(when_done, cap)
        return cap, _cap_answer(cap, status, after)

    def render_OPTIONS(self, request: Request) -> bytes:
        """Tell that uploads can be gone on with."""
        told = {} if self._resumable is None else self._resumable.options()
        for name, value in told.items():
            request.setHeader(name.encode(), value.encode())
        request.setResponseCode(204)
        return b""

    def render_GET(self, request: StreamingRequest) -> bytes:
        """Go to the file that ``?uri=CAP`` names."""
        args = arguments(request)
        text = args.pop("uri", None)
        if text is None:
            raise BadArgument("uri", "GET /uri needs ?uri=CAP")
        cap = readable(text.encode())
        query = "&".join(f"{quote(name)}={quote(value)}" for name, value in args.items())
        target = f"/uri/{quote(str(cap), safe='')}" + (f"?{query}" if query else "")
        request.setResponseCode(302)
        request.setHeader(b"location", request.own_path(target).encode())
        return b""


class NamedResource(Resource):
    """/file/CAP/.../NAME: a file under a name of the client's choice."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self._reader = reader

    def getChild(self, path: bytes, request: StreamingRequest) -> IResource:
        cap = readable(path)
        name = request.postpath[-1] if request.postpath else b""
        request.postpath = []
        return FileResource(cap, name.decode("utf-8", "replace"), self._reader)

    def render_GET(self, request: Request) -> bytes:
        raise NotFound


@define(eq=False)
class _FileThenRest:
    """
    The bytes of a form's file; its end is the end of the whole form.

    So a form that breaks off behind the file, or says there what comes too late, is not
    stored.
    """

    _form: Form
    _query: Mapping[str, str]  # which wins over fields
    _before: Mapping[str, str] = field(init=False)  # fields

    def __attrs_post_init__(self) -> None:
        self._before = dict(self._form.fields)

    def __aiter__(self) -> _FileThenRest:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._form.__anext__()
        except StopAsyncIteration:
            await self._form.finish()
            for name in NAMES:
                late = self._form.fields.get(name) != self._before.get(name)
                if late and name not in self._query:
                    raise BadArgument(
                        name, "in a form it must come before the file"
                    ) from None
            raise


def _check_upload_arguments(args: dict[str, str]) -> None:
    kind = args.get("t", "upload")
    if kind != "upload":
        raise BadArgument("t", "only upload is known here; leave it out to upload a file")
    if args.get("format", "CHK").upper() != "CHK" or boolean(args, "mutable"):
        raise BadArgument("format", "this gateway stores immutable files only (CHK)")
    parse_upload_options(args)
    if args.get("output", "json").lower() != "json":
        raise BadArgument("output", "it can be json; leave it out to get the cap alone")


def _cap_answer(cap: Cap, status: UploadStatus, args: Mapping[str, str]) -> Answer:
    if args.get("output", "").lower() != "json":
        return Answer(str(cap).encode(), 200, {"content-type": TEXT})
    told = {
        "cap": str(cap),
        "size": cap.size,
        "route": status.route,
        "happiness": status.happiness,
        "shares": status.shares,
        "lost": [asdict(each) for each in status.lost],
        "unplaced": status.unplaced(cap),
        "unproved": status.unproved,
    }
    text = json.dumps(told, indent=1) + "\n"
    return Answer(text.encode(), 200, {"content-type": "application/json; charset=utf-8"})


def _redirect(when_done: str, cap: Cap) -> Answer:
    target = when_done.replace("%(uri)s", quote(str(cap), safe=""))
    if not target.isprintable():
        raise BadArgument("when_done", "it has characters that no address has")
    return Answer(str(cap).encode(), 302, {"content-type": TEXT, "location": target})
