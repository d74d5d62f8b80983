"""/tus/: uploads that are made, fed, looked at and ended as tus clients do it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from attrs import evolve, frozen
from twisted.web.http import Request
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from truckee.errors import TruckeeError
from truckee.frontends.http.arguments import arguments
from truckee.frontends.http.upload_options import parse_upload_options
from truckee.frontends.tus.protocol import (
    BODY_TYPE,
    CHECKSUMS,
    EXTENSIONS,
    VERSION,
    BadHeader,
    BodyDigest,
    Creation,
    IsFinal,
    PastLength,
    WrongBodyType,
    WrongVersion,
    format_date,
    is_final,
    parse_checksum,
    parse_count,
    parse_creation,
)
from truckee.immutable.upload.body import FileTooLarge
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import Answer, NotFound, Responder, check_method
from truckee.net.http.streaming import IStreamingResource
from truckee.uploads.errors import AlreadyStored, PastTheEnd, WrongOffset
from truckee.uploads.registry import OpenUploads
from truckee.uploads.upload import OpenUpload

# Headers that an upload is made with, and that are told again.
METADATA, CONCAT = _KEPT = ("upload-metadata", "upload-concat")

_OVERRIDES = {"PATCH": b"PATCH", "DELETE": b"DELETE", "HEAD": b"GET"}


@frozen(eq=False)
class Tus:
    """What all resources here stand on."""

    uploads: OpenUploads
    responder: Responder
    now: Callable[[], float]  # seconds since 1970
    max_size: int  # bytes of a file

    def told(self, upload: OpenUpload) -> dict[str, str]:
        """Return the headers that tell how far *upload* is."""
        told = {
            "upload-offset": str(upload.offset),
            "upload-expires": format_date(self.now() + self.uploads.time_left(upload)),
        }
        if upload.size is None:
            told["upload-defer-length"] = "1"
        else:
            told["upload-length"] = str(upload.size)
        if upload.cap is not None:
            told["upload-cap"] = str(upload.cap)
        told |= {n: v for n, v in upload.record.meta.items() if n in _KEPT}
        return told

    async def open(self, request: StreamingRequest) -> OpenUpload:
        """Return the new upload that *request* asks for."""
        args, creation = arguments(request), _creation(request)
        options = parse_upload_options(args, creation.length)
        meta = {METADATA: creation.metadata, CONCAT: creation.concat}
        meta = {name: text for name, text in meta.items() if text}
        if is_final(creation.concat):
            parts = [self.uploads.find(each) for each in creation.parts]
            if not all(part.record.partial for part in parts):
                raise BadHeader("Upload-Concat", "it is made of partial uploads only")
            return await self.uploads.join(parts, options, meta=meta)
        return await self.uploads.open(
            options,
            meta=meta,
            partial=creation.partial,
            client=request.client_address,
        )


@implementer(IStreamingResource)
class TusResource(Resource):
    """/tus/: where uploads are made."""

    allowedMethods = (b"OPTIONS", b"POST")

    def __init__(self, tus: Tus) -> None:
        super().__init__()
        self._tus = tus

    def getChild(self, path: bytes, request: StreamingRequest) -> IResource:
        if request.postpath:
            raise NotFound
        if not path:
            return self
        _override(request)
        _begin(request, self._tus)
        upload = self._tus.uploads.find(path.decode("ascii", "replace"))
        return TusUpload(self._tus, upload)

    def accept(self, request: StreamingRequest) -> None:
        """Refuse what makes no upload."""
        check_method(request, self.allowedMethods)
        _begin(request, self._tus)
        creation = _creation(request)
        parse_upload_options(arguments(request))
        if request.bodyLength != 0:
            _check_type(request)
            _check_body(request, 0, 0 if is_final(creation.concat) else creation.length)

    async def receive(
        self, request: StreamingRequest, body: AsyncIterator[bytes]
    ) -> Answer:
        """Make an upload, with its first bytes if there are some; tell where it is."""
        upload = await self._tus.open(request)
        try:
            if is_final(_creation(request).concat):
                await upload.close()
            else:
                await _feed(upload, 0, body, _checksum(request))
        except Exception:
            # Nobody knows its handle.
            with suppress(AlreadyStored):
                await self._tus.uploads.abort(upload)
            raise
        where = {"location": request.own_url(f"/tus/{upload.handle}")}
        return Answer(status=201, headers=where | self._tus.told(upload))

    def render_OPTIONS(self, request: Request) -> bytes:
        """Tell what is spoken here."""
        _tell_version(request, self._tus)
        request.setResponseCode(204)
        return b""


@implementer(IStreamingResource)
class TusUpload(Resource):
    """/tus/HANDLE: one upload."""

    isLeaf = True
    exists = True
    allowedMethods = (b"OPTIONS", b"HEAD", b"GET", b"PATCH", b"DELETE")

    def __init__(self, tus: Tus, upload: OpenUpload) -> None:
        super().__init__()
        self._tus = tus
        self._upload = upload

    def accept(self, request: StreamingRequest) -> None:
        """Refuse what brings no bytes to this upload."""
        check_method(request, self.allowedMethods)
        if request.method == b"PATCH":
            request.keeps_parts = True
            _check_type(request)
            offset = parse_count("Upload-Offset", request.getHeader("upload-offset"))
            if is_final(self._upload.record.meta.get(CONCAT, "")):
                raise IsFinal
            _check_body(request, offset, self._length(request))
            if offset != self._upload.offset:
                request.setHeader(b"upload-offset", b"%d" % self._upload.offset)
                raise WrongOffset(offset, self._upload.offset)

    async def receive(
        self, request: StreamingRequest, body: AsyncIterator[bytes]
    ) -> Answer:
        """Take bytes; with the last of them wait for the cap."""
        if request.method == b"DELETE":
            return await self._delete()
        upload = self._upload
        try:
            offset = parse_count("Upload-Offset", request.getHeader("upload-offset"))
            length = self._length(request)
            if length is not None:
                await upload.set_size(length)
            await _feed(upload, offset, body, _checksum(request))
            answer = Answer(status=204)
        except TruckeeError as error:
            answer = self._tus.responder.of_error(error)
        return evolve(answer, headers={**answer.headers, **self._tus.told(upload)})

    def _length(self, request: StreamingRequest) -> int | None:
        """Return the upload's length, which *request* may be the first to tell."""
        text, upload = request.getHeader("upload-length"), self._upload
        if text is None:
            return upload.size
        length = parse_count("Upload-Length", text)
        if upload.size not in (None, length) or length < upload.offset:
            raise BadHeader("Upload-Length", "it was another one, or more bytes came")
        if length > (upload.record.bound or self._tus.max_size):
            raise FileTooLarge(upload.record.bound or self._tus.max_size)
        return length

    def render_HEAD(self, request: StreamingRequest) -> int:
        """Report where to resume."""
        self._tus.responder.run(request, self._head())
        return NOT_DONE_YET

    async def _head(self) -> Answer:
        upload = self._upload
        if upload.error is not None and upload.ended:
            raise upload.error.with_traceback(None)
        # Who asks has given up the request before, which may still bring bytes.
        await upload.settle()
        return Answer(headers=self._tus.told(upload))

    def render_GET(self, request: StreamingRequest) -> bytes:
        """Tell all that there is to tell, to who cannot see headers."""
        upload = self._upload
        for name, value in self._tus.told(upload).items():
            request.setHeader(name.encode(), value.encode())
        request.setHeader(b"content-type", b"application/json; charset=utf-8")
        told = {
            "offset": upload.offset,
            "size": upload.size,
            "state": upload.state.value,
            "expires": self._tus.now() + self._tus.uploads.time_left(upload),
            "cap": None if upload.cap is None else str(upload.cap),
            "error": None if upload.error is None else str(upload.error),
        }
        return json.dumps(told, indent=1).encode() + b"\n"

    def render_OPTIONS(self, request: Request) -> bytes:
        """Tell what is spoken here."""
        _tell_version(request, self._tus)
        request.setResponseCode(204)
        return b""

    def render_DELETE(self, request: StreamingRequest) -> int:
        """Give it up."""
        self._tus.responder.run(request, self._delete())
        return NOT_DONE_YET

    async def _delete(self) -> Answer:
        await self._tus.uploads.abort(self._upload)
        return Answer(status=204)


async def _feed(
    upload: OpenUpload, offset: int, body: AsyncIterator[bytes], digest: BodyDigest | None
) -> None:
    """Append *body*; if that is all, return when the file is stored."""
    try:
        await upload.append(offset, body, digest)
    except PastTheEnd as error:
        raise PastLength(error.end) from None
    if upload.size == upload.offset and not upload.record.partial:
        await upload.close()


def _begin(request: StreamingRequest, tus: Tus) -> None:
    """Refuse other versions than ours."""
    request.setHeader(b"tus-resumable", VERSION.encode())
    request.setHeader(b"cache-control", b"no-store")
    if request.method != b"PATCH" or request.getHeader("origin") is not None:
        # When a connection that it has used before is reset, a browser sends the whole
        # request again by itself, with the offset of old.  It shall have used none.
        request.setHeader(b"connection", b"close")
    if request.method in (b"OPTIONS", b"GET"):
        return
    if request.getHeader("tus-resumable") != VERSION:
        _tell_version(request, tus)
        raise WrongVersion


def _tell_version(request: Request, tus: Tus) -> None:
    for name, value in (
        ("tus-resumable", VERSION),
        ("tus-version", VERSION),
        ("tus-extension", ",".join(EXTENSIONS)),
        ("tus-max-size", str(tus.max_size)),
        ("tus-checksum-algorithm", ",".join(CHECKSUMS)),
        ("cache-control", "no-store"),
    ):
        request.setHeader(name.encode(), value.encode())


def _override(request: StreamingRequest) -> None:
    """Take the method that a client says which cannot send it."""
    name = request.getHeader("x-http-method-override")
    if name is not None and request.method == b"POST":
        request.method = _OVERRIDES.get(name.upper(), b"POST")


def _creation(request: StreamingRequest) -> Creation:
    return parse_creation(
        request.getHeader("upload-length"),
        request.getHeader("upload-defer-length"),
        request.getHeader(METADATA) or "",
        request.getHeader(CONCAT) or "",
    )


def _checksum(request: StreamingRequest) -> BodyDigest | None:
    text = request.getHeader("upload-checksum")
    return None if text is None else parse_checksum(text)


def _check_type(request: StreamingRequest) -> None:
    if (request.getHeader("content-type") or "").strip().lower() != BODY_TYPE:
        raise WrongBodyType


def _check_body(request: StreamingRequest, offset: int, length: int | None) -> None:
    """Refuse a body that is no piece of a file of *length* bytes."""
    _checksum(request)
    if length is not None and offset + (request.bodyLength or 0) > length:
        raise PastLength(length)
