"""One file, read."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping
from urllib.parse import quote

from attrs import frozen
from twisted.web.http import Request
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from truckee.codec import base32
from truckee.codec.caps import ChkReadCap, LiteralCap
from truckee.flow.outbound import Outbound
from truckee.frontends.http.ranges import ByteRange, RangeNotSatisfiable, parse_range
from truckee.frontends.http.request import StreamingRequest
from truckee.frontends.http.respond import TEXT, Answer, NotFound, Responder
from truckee.frontends.web.arguments import BadArgument, arguments, boolean
from truckee.immutable.download import Downloader

# What mimetypes calls an encoding is a type of its own here: told that it is an
# encoding, a browser would unpack the file.
_PACKED = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
}


@frozen(eq=False)
class Reader:
    """What reading files takes."""

    downloader: Downloader
    responder: Responder


class FileResource(Resource):
    """The file of one cap."""

    def __init__(self, cap: ChkReadCap | LiteralCap, name: str, reader: Reader) -> None:
        super().__init__()
        self._cap = cap
        self._name = name
        self._reader = reader

    def getChild(self, path: bytes, request: StreamingRequest) -> IResource:
        raise NotFound

    def render_GET(self, request: Request) -> int:
        self._reader.responder.run(request, self._answer(request))
        return NOT_DONE_YET

    def render_HEAD(self, request: Request) -> int:
        return self.render_GET(request)

    async def _answer(self, request: Request) -> Answer | None:
        args = arguments(request)
        kind = args.get("t", "")
        if kind == "json":
            text = json.dumps(["filenode", describe(self._cap)], indent=1) + "\n"
            return Answer(text.encode(), 200, {"content-type": TEXT})
        if kind in ("uri", "readonly-uri"):
            return Answer(str(self._cap).encode(), 200, {"content-type": TEXT})
        if kind:
            raise BadArgument("t", "a file has json, uri and readonly-uri")
        await self._send(request, args)
        return None

    async def _send(self, request: Request, args: Mapping[str, str]) -> None:
        size = self._cap.size
        tag = ""
        if isinstance(self._cap, ChkReadCap):
            tag = f"{base32.encode(self._cap.storage_index)}-"
            if _has(request.getHeader("if-none-match") or "", tag):
                request.setResponseCode(304)
                request.setHeader(b"etag", f'"{tag}"'.encode("ascii"))
                return
        try:
            wanted = parse_range(request.getHeader("range") or "", size)
        except RangeNotSatisfiable:
            request.setHeader(b"content-range", b"bytes */%d" % size)
            raise
        part = wanted or ByteRange(0, size, size)
        name = args.get("filename", self._name)
        headers = {
            "content-type": content_type(name),
            "accept-ranges": "bytes",
            "content-length": str(part.end - part.start),
        }
        if tag:
            headers["etag"] = f'"{tag}"'
        if boolean(args, "save"):
            headers["content-disposition"] = attachment(name)
        if wanted is not None:
            headers["content-range"] = str(wanted)
        if request.method == b"HEAD":
            _set_head(request, headers, wanted)
        elif isinstance(self._cap, LiteralCap):
            _set_head(request, headers, wanted)
            request.write(self._cap.data[part.start : part.end])
        else:
            await self._stream(request, self._cap, part, headers, wanted)

    async def _stream(
        self,
        request: Request,
        cap: ChkReadCap,
        part: ByteRange,
        headers: Mapping[str, str],
        wanted: ByteRange | None,
    ) -> None:
        """Send verified segments as fast as the client takes them."""
        download = await self._reader.downloader.open(cap, part.start, part.end)
        try:
            # The head waits for the first segment: until then an error has a status.
            piece = await download.__anext__()
            _set_head(request, headers, wanted)
            with Outbound(request) as outbound:
                await outbound.write(piece)
                async for piece in download:
                    await outbound.write(piece)
        finally:
            download.stop()


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


def content_type(name: str) -> str:
    """Return the type that the name of a file suggests."""
    kind, encoding = mimetypes.guess_type(name)
    if encoding is not None:
        return _PACKED.get(encoding, "application/octet-stream")
    return kind or "text/plain"


def attachment(name: str) -> str:
    """Return the Content-Disposition that has a browser save a file."""
    if not name:
        return "attachment"
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _has(if_none_match: str, tag: str) -> bool:
    """Return whether a client has the file with this tag; stock clients do not quote it."""
    known = if_none_match.replace(",", " ").split()
    return any(each in ("*", tag, f'"{tag}"', f'W/"{tag}"') for each in known)


def _set_head(
    request: Request, headers: Mapping[str, str], wanted: ByteRange | None
) -> None:
    request.setResponseCode(200 if wanted is None else 206)
    for name, value in headers.items():
        request.setHeader(name.encode(), value.encode("utf-8"))
