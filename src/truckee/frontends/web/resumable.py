"""
``PUT /uri`` and ``POST /uri`` whose clients can go on after a break.

Source: ``docs/formats/resumable-upload.md``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import NoReturn

from attrs import define, frozen

from truckee.errors import Misuse, TruckeeError
from truckee.frontends.http.arguments import arguments
from truckee.frontends.http.structured import boolean_item, count_item, show_boolean
from truckee.frontends.http.upload_options import parse_upload_options
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import TEXT, Answer, Responder
from truckee.uploads.errors import AlreadyStored, PastTheEnd
from truckee.uploads.registry import OpenUploads
from truckee.uploads.state import State
from truckee.uploads.upload import OpenUpload

INTEROP_VERSION = "8"
PIECE_TYPE = "application/partial-upload"
_PROBLEMS = "https://iana.org/assignments/http-problem-types#"
LARGEST = 10**15 - 1  # of the numbers that a header can have
_TELL_EACH = 16 << 20  # bytes
_NO_STORE = {"cache-control": "no-store"}


@define
class WrongPieceType(Misuse):
    """A piece of an upload comes with Content-Type: {wanted}."""

    wanted: str = PIECE_TYPE


@define
class MissingHeader(Misuse):
    """The header {name} is missing, or is not of its form."""

    name: str


@define
class OtherDraft(Misuse):
    """
    This is a part of an upload in a dialect that is not spoken here. Of
    draft-ietf-httpbis-resumable-upload this gateway speaks interop version {version}
    (drafts 09 and later); or send the file whole.
    """

    version: str = INTEROP_VERSION


@define
class PieceOfNone(Misuse):
    """
    {header} says that this is not a whole file, and here whole files are stored. Send the
    piece to the address of its upload.
    """

    header: str


@frozen(eq=False)
class Resumable:
    """What both the makers and the continuers of such uploads stand on."""

    uploads: OpenUploads
    responder: Responder
    now: Callable[[], float]  # seconds since 1970
    max_size: int  # bytes of a file

    def takes(self, request: StreamingRequest) -> bool:
        """Return whether *request* is to make a resumable upload."""
        complete = boolean_item(request.getHeader("upload-complete"))
        kind = (request.getHeader("content-type") or "").strip().lower()
        if complete is None or kind.startswith("multipart/form-data"):
            return False
        # Systems add the header to uploads of old, with a version of theirs.
        return not complete or speaks(request)

    def limits(self, upload: OpenUpload | None = None) -> dict[str, str]:
        """Return the header that tells how large, and how old, an upload may become."""
        told = f"max-size={min(self.max_size, LARGEST)}"
        if upload is not None:
            told += f", max-age={max(0, int(self.uploads.time_left(upload)))}"
        return {"upload-limit": told}

    def told(self, upload: OpenUpload) -> dict[str, str]:
        """Return the headers that tell how far *upload* is."""
        told = _NO_STORE | self.limits(upload)
        told["upload-offset"] = str(upload.offset)
        told["upload-complete"] = show_boolean(
            upload.state in (State.CLOSING, State.STORED)
        )
        if upload.size is not None:
            told["upload-length"] = str(upload.size)
        if upload.cap is not None:
            told["upload-cap"] = str(upload.cap)
        return told

    def options(self) -> dict[str, str]:
        """Return the headers that tell that this is spoken here."""
        return {"accept-patch": PIECE_TYPE} | self.limits()

    async def make(self, request: StreamingRequest, body: AsyncIterator[bytes]) -> Answer:
        """Make an upload of *body*, which is all of the file or its beginning."""
        complete = bool(boolean_item(request.getHeader("upload-complete")))
        lengths = lengths_of(request, 0, complete)
        if len(lengths) > 1 or (request.bodyLength or 0) > min(
            lengths, default=self.max_size
        ):
            return inconsistent()
        upload = await self.uploads.open(
            parse_upload_options(arguments(request), next(iter(lengths), None)),
            client=request.client_address,
        )
        where = {"location": request.own_path(f"/upload/{upload.handle}")}
        known = interim(request, where | self.limits(upload))
        request.keeps_parts = known
        try:
            await upload.append(0, told_on_the_way(request, upload, body))
            if complete:
                return await self.stored(upload)
        except Exception as error:
            beyond = isinstance(error, PastTheEnd)
            if beyond or not known:  # to anybody
                with suppress(AlreadyStored):
                    await self.uploads.abort(upload)
            if beyond:
                return inconsistent()
            if not isinstance(error, TruckeeError):
                raise
            answer = self.responder.of_error(error)
            return Answer(answer.body, answer.status, {**answer.headers, **where})
        return Answer(status=201, headers=where | self.told(upload))

    async def stored(self, upload: OpenUpload, end: int | None = None) -> Answer:
        """Return the answer that has the cap, when *upload* is stored."""
        cap = await upload.close(end)
        told = self.told(upload) | {"content-type": TEXT}
        return Answer(str(cap).encode(), 200, told)


def speaks(request: StreamingRequest) -> bool:
    """Tell whether the client of *request* speaks our version of the draft."""
    version = count_item(request.getHeader("upload-draft-interop-version"))
    return version == int(INTEROP_VERSION)


def check_dialect(request: StreamingRequest, *, creates: bool) -> None:
    """
    Refuse a part of a file that would be taken for a whole one, or not go on.

    :raises OtherDraft: :raises PieceOfNone: :raises MissingHeader:
    """
    lines = {
        name: request.header_lines(name)
        for name in ("upload-incomplete", "upload-complete", "upload-offset")
    }
    other = bool(request.header_lines("upload-draft-interop-version")) and not speaks(
        request
    )
    old = lines["upload-incomplete"]  # until interop version 3
    if old and boolean_item(old[-1]) is not False:
        _refuse_draft(request)
    if not creates:
        if other:
            _refuse_draft(request)
        return
    if lines["upload-complete"]:
        complete = boolean_item(lines["upload-complete"][-1])
        if complete is None:
            raise MissingHeader("Upload-Complete")
        if not complete and other:
            _refuse_draft(request)
        kind = (request.getHeader("content-type") or "").strip().lower()
        if not complete and kind.startswith("multipart/form-data"):
            raise PieceOfNone("Upload-Complete")
    if lines["upload-offset"] and count_item(lines["upload-offset"][-1]) != 0:
        raise PieceOfNone("Upload-Offset")


def _refuse_draft(request: StreamingRequest) -> NoReturn:
    request.setHeader(b"upload-draft-interop-version", INTEROP_VERSION.encode())
    raise OtherDraft


def lengths_of(request: StreamingRequest, offset: int, complete: bool) -> set[int]:
    """Return the length of the file, as often as *request* says it differently."""
    lengths = {count_item(request.getHeader("upload-length"))}
    if complete and request.bodyLength is not None:
        lengths.add(offset + request.bodyLength)
    return {length for length in lengths if length is not None}


def interim(request: StreamingRequest, headers: dict[str, str]) -> bool:
    """Tell *headers* before the answer; return whether the client can hear them."""
    if not speaks(request):
        return False
    told = {"Upload-Draft-Interop-Version": INTEROP_VERSION, **headers}
    return request.say_before(104, "Upload Resumption Supported", told)


async def told_on_the_way(
    request: StreamingRequest, upload: OpenUpload, body: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """Give the chunks of *body*, and tell its client now and then what was taken."""
    told = upload.offset
    async for chunk in body:
        yield chunk
        if upload.offset - told >= _TELL_EACH:
            told = upload.offset
            interim(request, {"Upload-Offset": str(told)})


def problem(status: int, kind: str, title: str, **members: int) -> Answer:
    """Return an answer that programs can tell from others."""
    told = {"type": _PROBLEMS + kind, "title": title}
    told |= {name.replace("_", "-"): value for name, value in members.items()}  # type: ignore[misc]
    headers = _NO_STORE | {"content-type": "application/problem+json"}
    return Answer(json.dumps(told).encode() + b"\n", status, headers)


def inconsistent() -> Answer:
    """Return the answer to lengths that differ."""
    title = "The length of the upload is not what was said before"
    return problem(400, "inconsistent-upload-length", title)
