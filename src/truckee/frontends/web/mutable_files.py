"""Mutable files at /uri: made, read, overwritten."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any

from attrs import define, frozen
from twisted.internet.defer import Deferred
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from truckee.codec.caps import MutableReadCap, MutableWriteCap
from truckee.codec.entity_tags import version_tag
from truckee.codec.link_metadata import Metadata
from truckee.codec.mutable_prefix import Prefix
from truckee.codec.rsa_keys import BadPrivateKey
from truckee.errors import Refused
from truckee.frontends.http.conditions import PreconditionFailed, is_known, is_wanted
from truckee.frontends.http.contents import check_wanted, send_mutable
from truckee.frontends.http.multipart import FORM_OVERHEAD, Form, boundary_of
from truckee.frontends.http.sending import Sender, header
from truckee.frontends.http.task_ids import show_id, wanted_id
from truckee.frontends.web.afterwards import check_when_done, when_done
from truckee.frontends.web.arguments import (
    BadArgument,
    arguments,
    boolean,
    no_children,
    size,
)
from truckee.frontends.web.checking import Checks
from truckee.frontends.web.form_file import FormFile
from truckee.frontends.web.frame import Frames
from truckee.frontends.web.info_page import mutable_info_page
from truckee.frontends.web.page import PAGE_HEADERS
from truckee.frontends.web.reading import ABOUT, with_metadata
from truckee.mutable.files import MutableFiles
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import TEXT, Answer, Responder, WrongMethod
from truckee.net.http.streaming import IStreamingResource
from truckee.status.metered import Metered
from truckee.status.progress import Progress
from truckee.status.run import run_task
from truckee.status.task import Task

_ALLOWED = "GET, HEAD, PUT, POST"

# ``format=`` in the words of requests and of caps.
FORMATS = {"SDMF": "SSK", "MDMF": "MDMF"}
_NAMES = {cap: name for name, cap in FORMATS.items()}


@define
class ReadOnly(Refused):
    """
    replace or update requested with read-only cap: this one reads the file and cannot
    change it; its owner has one that can.
    """


Work = Coroutine[Deferred[Any], Any, MutableWriteCap]


@frozen(eq=False)
class MutableWeb:
    """What answering for mutable files takes."""

    files: MutableFiles
    sender: Sender
    responder: Responder
    frames: Frames
    checks: Checks | None = None

    def check_creation(self, args: Mapping[str, str], length: int | None) -> None:
        """Refuse, before the body, what could not be stored as a new file."""
        format = wanted_format(args)
        assert format is not None
        size(args, "size-limit")
        private_key_in(args)
        self.files.check_size(format, length)

    async def create(
        self, chunks: AsyncIterator[bytes], args: Mapping[str, str], length: int | None
    ) -> MutableWriteCap:
        """Store *chunks*, *length* bytes if it is known, as a new file."""
        format = wanted_format(args)
        assert format is not None
        key = private_key_in(args)
        body = self.files.body(chunks, format, length, size(args, "size-limit"))
        return await self.files.create(format, body, key)

    async def store(
        self,
        request: StreamingRequest,
        body: AsyncIterator[bytes],
        args: Mapping[str, str],
        work: Callable[[AsyncIterator[bytes]], Work],
    ) -> Answer:
        """Return the answer to a request whose *body* is stored by *work*, as a task."""
        progress = Progress(size=request.bodyLength, route="servers", phase="storing")

        async def run(task: Task) -> MutableWriteCap:
            show_id(request, task)
            return await work(Metered(body, progress))

        tasks, wanted = self.sender.tasks, wanted_id(request, args)
        cap = await run_task(tasks, "upload", wanted, progress, run, str)
        return Answer(str(cap).encode(), 200, {"content-type": TEXT})


def wanted_format(args: Mapping[str, str]) -> str | None:
    """
    Return which kind of mutable file *args* ask for, as caps say it: SSK or MDMF.

    None: an immutable file.  :raises BadArgument:
    """
    text = args.get("format")
    if text is None:
        return "SSK" if boolean(args, "mutable") else None
    if text.upper() == "CHK":
        return None
    if text.upper() not in FORMATS:
        raise BadArgument("format", "it must be CHK, SDMF or MDMF")
    return FORMATS[text.upper()]


def private_key_in(args: Mapping[str, str]) -> bytes | None:
    """Return the bytes of ``private-key=``, as DER.  :raises BadPrivateKey: no base64"""
    text = args.get("private-key")
    if text is None:
        return None
    try:
        return b64decode(text.encode("ascii"), b"-_", validate=True)
    except ValueError:
        raise BadPrivateKey("private-key= is not URL-safe base64") from None


@implementer(IStreamingResource)
class MutableFileResource(Resource):
    """The file of one cap."""

    for_players = True  # of films and sounds, in a browser
    for_frames = True  # of our own pages
    checks_tags = True  # when it is overwritten

    def __init__(
        self,
        cap: MutableWriteCap | MutableReadCap,
        name: str,
        web: MutableWeb,
        metadata: Metadata | None = None,  # of the link by which it was reached
    ) -> None:
        super().__init__()
        self._cap = cap
        self._metadata = metadata
        self._name = name
        self._web = web

    def getChild(self, path: bytes, request: StreamingRequest) -> IResource:
        raise no_children(path)

    @property
    def _read_cap(self) -> MutableReadCap:
        return self._cap.read_cap()

    def _write_cap(self) -> MutableWriteCap:
        if isinstance(self._cap, MutableReadCap):
            raise ReadOnly
        return self._cap

    def render_GET(self, request: StreamingRequest) -> int:
        check_wanted(request)
        self._web.responder.run(request, self.answer(request))
        return NOT_DONE_YET

    def render_HEAD(self, request: StreamingRequest) -> int:
        return self.render_GET(request)

    async def answer(self, request: StreamingRequest) -> Answer | None:
        """Return the answer to a GET, or None when it was sent."""
        args = arguments(request)
        kind = args.get("t", "")
        if kind:
            return await self._about(kind, request)
        reader = self._web.files.reader
        await send_mutable(self._web.sender, reader, request, self._cap, args, self._name)
        return None

    async def _about(self, kind: str, request: StreamingRequest) -> Answer:
        if kind == "uri":
            return Answer(str(self._cap).encode(), 200, ABOUT)
        if kind == "readonly-uri":
            return Answer(str(self._read_cap).encode(), 200, ABOUT)
        if kind == "json":
            best = (await self._web.files.reader.look(self._read_cap)).best
            found = with_metadata(self._describe(best), self._metadata)
            text = json.dumps(["filenode", found], indent=1) + "\n"
            return Answer(text.encode(), 200, ABOUT)
        if kind == "info":
            versions = await self._web.files.reader.look(self._read_cap)
            frame = self._web.frames.of(request)
            page = mutable_info_page(self._cap, versions, frame)
            return Answer(page, 200, PAGE_HEADERS)
        raise BadArgument("t", "a mutable file has json, uri, readonly-uri and info")

    def _describe(self, best: Prefix | None) -> dict[str, object]:
        found: dict[str, object] = {"mutable": True, "format": _NAMES[self._cap.format]}
        if best is not None:
            found["size"] = best.geometry.size
        if isinstance(self._cap, MutableWriteCap):
            found["rw_uri"] = str(self._cap)
        found["ro_uri"] = str(self._read_cap)
        found["verify_uri"] = str(self._cap.verify_cap())
        return found

    def accept(self, request: StreamingRequest) -> None:
        """Refuse, before the body, what could not be stored."""
        if request.method not in (b"PUT", b"POST"):
            raise WrongMethod(request.method.decode("ascii", "replace"), _ALLOWED)
        args = arguments(request)
        kind = args.get("t", "upload")
        if kind == "check" and request.method == b"POST":
            return
        cap = self._write_cap()
        if kind != "upload":
            raise BadArgument("t", "a mutable file takes upload; leave it out to write it")
        wanted_offset(args)
        size(args, "size-limit")
        check_when_done(args)
        self._web.sender.tasks.check_id(wanted_id(request, args))
        if request.method == b"PUT":
            self._web.files.check_size(cap.format, request.bodyLength)
        else:
            if request.bodyLength is not None:
                length = request.bodyLength - FORM_OVERHEAD
                self._web.files.check_size(cap.format, length)
            boundary_of(request.getHeader("content-type") or "")

    async def receive(
        self, request: StreamingRequest, body: AsyncIterator[bytes]
    ) -> Answer:
        """Write the body into the file, or the file in its form; answer with the cap."""
        args = arguments(request)
        if args.get("t") == "check":
            if self._web.checks is None:
                raise WrongMethod("POST", "GET, HEAD")
            return await self._web.checks.answer(request, self._cap, args)
        cap, length, form = self._write_cap(), request.bodyLength, None
        if request.method == b"POST":
            form = Form.begin(body, request.getHeader("content-type") or "")
            await form.find("file")
            body, length = FormFile(form, args), None
            args = {**form.fields, **args}
            check_when_done(args)
        offset, most = wanted_offset(args), size(args, "size-limit")
        wanted = _Precondition.of(self._cap, request)

        async def work(chunks: AsyncIterator[bytes]) -> MutableWriteCap:
            files = self._web.files
            content = files.body(chunks, cap.format, length, most)
            if offset is None:
                await files.overwrite(cap, content, wanted.check)
            else:
                await files.write_at(cap, offset, content, wanted.check)
            return cap

        answer = await self._web.store(request, body, args, work)
        if form is None:
            return answer
        return when_done({**form.fields, **args}, answer, str(cap))


def wanted_offset(args: Mapping[str, str]) -> int | None:
    """Return from where on a file is written, in bytes.  :raises BadArgument:"""
    text = args.get("offset")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise BadArgument("offset", "it must be a number of bytes, at least 0")
    return int(text)


@frozen
class _Precondition:
    """What the headers of a PUT demand of the version that it replaces."""

    cap: MutableWriteCap | MutableReadCap
    if_match: str | None
    if_none_match: str | None

    @classmethod
    def of(
        cls, cap: MutableWriteCap | MutableReadCap, request: StreamingRequest
    ) -> _Precondition:
        return cls(cap, header(request, b"if-match"), header(request, b"if-none-match"))

    def check(self, best: Prefix | None) -> None:
        """:raises PreconditionFailed: when *best* is not the version that was meant"""
        tag = "" if best is None else version_tag(self.cap, best)
        if self.if_match is not None and not (best and is_wanted(self.if_match, tag)):
            raise PreconditionFailed
        if self.if_none_match is not None and best and is_known(self.if_none_match, [tag]):
            raise PreconditionFailed
