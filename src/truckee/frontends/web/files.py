"""Files at /uri, /file and /named: put, posted, read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from urllib.parse import quote

from attrs import asdict, define
from twisted.web.http import Request
from twisted.web.resource import IResource, Resource
from zope.interface import implementer

from truckee.codec.caps import (
    ChkReadCap,
    ChkVerifyCap,
    DirectoryCap,
    LiteralCap,
    MutableReadCap,
    MutableVerifyCap,
    MutableWriteCap,
    UnknownCap,
)
from truckee.errors import Misuse
from truckee.frontends.http.multipart import FORM_OVERHEAD, BadForm, Form, boundary_of
from truckee.frontends.http.small_body import read_fields
from truckee.frontends.http.task_ids import show_id, wanted_id
from truckee.frontends.http.upload_options import parse_upload_options
from truckee.frontends.web.afterwards import check_when_done, when_done
from truckee.frontends.web.arguments import (
    BadArgument,
    arguments,
    boolean,
    cap_in,
)
from truckee.frontends.web.checking import CheckResource
from truckee.frontends.web.directory_resource import DirectoryResource
from truckee.frontends.web.directory_web import (
    DirectoryWeb,
    text_answer,
    wanted_directory_format,
)
from truckee.frontends.web.directory_writes import make_directory
from truckee.frontends.web.form_file import FormFile
from truckee.frontends.web.mutable_files import (
    MutableFileResource,
    MutableWeb,
    private_key_in,
    wanted_format,
)
from truckee.frontends.web.new_files import NewFiles
from truckee.frontends.web.reading import FileResource, Reader
from truckee.frontends.web.result_page import show_stored
from truckee.frontends.web.resumable import Resumable, check_dialect
from truckee.frontends.web.unknown_caps import UnknownCapResource, unknown_kind
from truckee.immutable.upload.status import UploadStatus
from truckee.immutable.upload.uploader import Cap
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import TEXT, Answer, NotFound, WrongMethod, check_method
from truckee.net.http.streaming import IStreamingResource
from truckee.status.run import run_task
from truckee.status.task import Task


@define
class NotAFile(Misuse):
    """This cap cannot be read as a file: it is of a directory, or checks a file only."""


# ``t=`` of what makes a directory that nobody has linked.
_MKDIRS = ("mkdir", "mkdir-with-children", "mkdir-immutable")


def file_resource(
    segment: bytes, name: str, reader: Reader, mutable: MutableWeb | None
) -> IResource:
    """
    Return the file of the cap in a path segment.

    :raises MalformedCap: :raises NotAFile:
    """
    cap = cap_in(segment)
    if isinstance(cap, UnknownCap):
        raise unknown_kind()
    if isinstance(cap, (ChkReadCap, LiteralCap)):
        return FileResource(cap, name, reader)
    if isinstance(cap, (MutableWriteCap, MutableReadCap)) and mutable is not None:
        return MutableFileResource(cap, name, mutable)
    raise NotAFile


@implementer(IStreamingResource)
class UriResource(Resource):
    """/uri: new files; /uri/CAP: files."""

    allowedMethods = (b"GET", b"HEAD", b"PUT", b"POST")

    def __init__(
        self,
        files: NewFiles,
        reader: Reader,
        resumable: Resumable | None = None,
        directories: DirectoryWeb | None = None,
    ) -> None:
        super().__init__()
        self._directories = directories
        self._files = files
        self._reader = reader
        self._resumable = resumable

    def getChild(self, path: bytes, request: StreamingRequest) -> IResource:
        if not path and not request.postpath:
            return self
        cap = cap_in(path)
        if request.method == b"POST" and isinstance(cap, ChkVerifyCap | MutableVerifyCap):
            return CheckResource(cap, self._reader.checks, self._reader.responder)
        if isinstance(cap, UnknownCap):
            return UnknownCapResource(cap, self._reader.frames)
        if self._directories is not None and isinstance(cap, DirectoryCap):
            return DirectoryResource(cap, self._directories)
        return file_resource(path, "", self._reader, self._files.mutable)

    def accept(self, request: StreamingRequest) -> None:
        """Refuse, before the body, what could not be stored."""
        if request.method not in (b"PUT", b"POST"):
            allowed = b", ".join(self.allowedMethods).decode("ascii")
            raise WrongMethod(request.method.decode("ascii", "replace"), allowed)
        args = arguments(request)
        if self._makes_directory(args):
            assert self._directories is not None
            wanted_directory_format(args)
            private_key_in(args)
            self._directories.lists.check_length(args["t"], request.bodyLength)
            return
        self._check_upload_arguments(args)
        self._reader.tasks.check_id(wanted_id(request, args))
        length = request.bodyLength
        if request.method == b"POST":
            length = None if length is None else length - FORM_OVERHEAD
        if self._files.mutable is not None and wanted_format(args) is not None:
            self._files.mutable.check_creation(args, length)
        else:
            check_dialect(request, creates=True)
            if self._resumable is not None and self._resumable.takes(request):
                return
            self._files.uploader.check_size(length)
        if request.method == b"POST":
            boundary_of(request.getHeader("content-type") or "")

    async def receive(
        self, request: StreamingRequest, body: AsyncIterator[bytes]
    ) -> Answer:
        """Store the body, or the file in its form; answer with the cap."""
        args, status, form = arguments(request), UploadStatus(), None
        if self._makes_directory(args):
            return await self._make_directory(request, body, args)
        if (
            self._resumable is not None
            and self._resumable.takes(request)
            and wanted_format(args) is None
        ):
            return await self._resumable.make(request, body)
        wanted = wanted_id(request, args)
        if request.method == b"POST":
            form = Form.begin(body, request.getHeader("content-type") or "")
            if not await form.seek("file"):
                return await self._file_missing(request, {**form.fields, **args})

        async def store(task: Task) -> tuple[Cap | MutableWriteCap, Answer]:
            show_id(request, task)
            if form is None:
                return await self._put(request, body, args, status)
            cap, answer = await self._post(request, form, args, status)
            return cap, show_stored(request, answer, self._reader.frames)

        _, answer = await run_task(
            self._reader.tasks, "upload", wanted, status, store, lambda done: str(done[0])
        )
        return answer

    def _makes_directory(self, args: Mapping[str, str]) -> bool:
        return self._directories is not None and args.get("t", "") in _MKDIRS

    async def _make_directory(
        self,
        request: StreamingRequest,
        body: AsyncIterator[bytes],
        args: Mapping[str, str],
    ) -> Answer:
        assert self._directories is not None
        if args["t"] == "mkdir":
            header = request.getHeader("content-type") or ""
            args = {**await read_fields(body, header), **args}
            return await self._made(request, args)
        made = await make_directory(
            self._directories, args["t"], body, request.bodyLength, args
        )
        return _directory_answer(request, args, made)

    async def _file_missing(
        self, request: StreamingRequest, args: Mapping[str, str]
    ) -> Answer:
        """Answer a form without a file: it may be one that makes a directory."""
        if self._directories is None or args.get("t") != "mkdir":
            raise BadForm('it has no field named "file"')
        return await self._made(request, args)

    async def _made(self, request: StreamingRequest, args: Mapping[str, str]) -> Answer:
        """Make an empty directory."""
        assert self._directories is not None
        format, key = wanted_directory_format(args), private_key_in(args)
        made = await self._directories.directories.make(format, private_key=key)
        return _directory_answer(request, args, made)

    async def _put(
        self,
        request: StreamingRequest,
        body: AsyncIterator[bytes],
        args: Mapping[str, str],
        status: UploadStatus,
    ) -> tuple[Cap | MutableWriteCap, Answer]:
        cap = await self._files.store(request, body, args, request.bodyLength, status)
        return cap, _cap_answer(cap, status, args)

    async def _post(
        self,
        request: StreamingRequest,
        form: Form,
        args: dict[str, str],
        status: UploadStatus,
    ) -> tuple[Cap | MutableWriteCap, Answer]:
        before = {**form.fields, **args}
        self._check_upload_arguments(before)
        chunks = FormFile(form, args)
        cap = await self._files.store(request, chunks, before, None, status)
        after = {**form.fields, **args}
        if after.get("when_done") and not isinstance(cap, MutableWriteCap):
            return cap, when_done(after, text_answer(str(cap)), str(cap))
        return cap, _cap_answer(cap, status, after)

    def _check_upload_arguments(self, args: Mapping[str, str]) -> None:
        kind = args.get("t", "upload")
        if kind != "upload":
            raise BadArgument("t", "only upload is known here; leave it out to upload")
        if wanted_format(args) is not None and self._files.mutable is None:
            raise BadArgument("format", "only immutable files are stored here (CHK)")
        parse_upload_options(args)
        check_when_done(args)
        if args.get("output", "json").lower() != "json":
            raise BadArgument("output", "it can be json; leave it out to get the cap alone")

    def render_OPTIONS(self, request: Request) -> bytes:
        """Say that uploads can be resumed."""
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
        cap = cap_in(text.encode())
        if self._directories is None or not isinstance(cap, DirectoryCap):
            file_resource(text.encode(), "", self._reader, self._files.mutable)
        query = "&".join(f"{quote(name)}={quote(value)}" for name, value in args.items())
        target = f"/uri/{quote(str(cap), safe='')}" + (f"?{query}" if query else "")
        request.setResponseCode(302)
        request.setHeader(b"location", request.own_path(target).encode())
        return b""


class NamedResource(Resource):
    """/file/CAP/.../NAME: a file under a name of the client's choice."""

    def __init__(self, reader: Reader, mutable: MutableWeb | None = None) -> None:
        super().__init__()
        self._reader = reader
        self._mutable = mutable

    def getChild(self, path: bytes, request: StreamingRequest) -> IResource:
        check_method(request, (b"GET", b"HEAD"))
        name = request.postpath[-1] if request.postpath else b""
        request.postpath = []
        text = name.decode("utf-8", "replace")
        return file_resource(path, text, self._reader, self._mutable)

    def render_GET(self, request: Request) -> bytes:
        raise NotFound


def _directory_answer(
    request: StreamingRequest, args: Mapping[str, str], made: DirectoryCap
) -> Answer:
    cap = str(made)
    if boolean(args, "redirect_to_result"):
        target = request.own_path(f"/uri/{quote(cap, safe='')}/")
        return Answer(b"", 303, {"content-type": TEXT, "location": target})
    return text_answer(cap)


def _cap_answer(
    cap: Cap | MutableWriteCap, status: UploadStatus, args: Mapping[str, str]
) -> Answer:
    # As stock, a mutable file is answered with its cap whatever is asked for.
    if isinstance(cap, MutableWriteCap) or args.get("output", "").lower() != "json":
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
