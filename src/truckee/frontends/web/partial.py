"""
Pieces of an upload that was made by ``PUT /uri`` or ``POST /uri``.

Source: ``docs/formats/resumable-upload.md``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from attrs import define, evolve

from truckee.errors import TruckeeError
from truckee.frontends.http.structured import boolean_item, count_item
from truckee.frontends.web.resumable import (
    PIECE_TYPE,
    MissingHeader,
    Resumable,
    WrongPieceType,
    check_dialect,
    inconsistent,
    lengths_of,
    problem,
    told_on_the_way,
)
from truckee.immutable.upload.body import FileTooLarge
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import Answer
from truckee.uploads.errors import PastTheEnd
from truckee.uploads.state import State
from truckee.uploads.upload import OpenUpload


@define(eq=False)
class Partial:
    """One upload, as clients that resume it see it."""

    _resumable: Resumable
    _upload: OpenUpload

    def accept(self, request: StreamingRequest) -> None:
        """Refuse what is no piece."""
        check_dialect(request, creates=False)
        if (request.getHeader("content-type") or "").strip().lower() != PIECE_TYPE:
            request.setHeader(b"accept-patch", PIECE_TYPE.encode())
            raise WrongPieceType
        _offset(request)
        _complete(request)

    async def look(self) -> Answer:
        """Tell where to go on, once nobody else brings bytes."""
        upload = self._upload
        if upload.ended and upload.error is not None:
            raise upload.error.with_traceback(None)
        # Who asks has given up the request before, which may still bring bytes.
        await upload.settle()
        return Answer(headers=self._resumable.told(upload))

    async def append(self, request: StreamingRequest, body: AsyncIterator[bytes]) -> Answer:
        """Take a piece; with the last one wait for the cap."""
        refusal = self._refusal(request)
        if refusal is None:
            try:
                return await self._append(request, body)
            except PastTheEnd:
                refusal = inconsistent()
                await self._resumable.uploads.abort(self._upload)
            except TruckeeError as error:
                refusal = self._resumable.responder.of_error(error)
        return evolve(
            refusal, headers={**self._resumable.told(self._upload), **refusal.headers}
        )

    def _refusal(self, request: StreamingRequest) -> Answer | None:
        upload, offset = self._upload, _offset(request)
        lengths = lengths_of(request, offset, _complete(request))
        if upload.state in (State.CLOSING, State.STORED):
            if request.bodyLength != 0:
                return inconsistent()
            return problem(400, "completed-upload", "The upload is complete already")
        if offset != upload.offset:
            return problem(
                409,
                "mismatching-upload-offset",
                "The upload has another offset",
                expected_offset=upload.offset,
                provided_offset=offset,
            )
        if upload.size is not None:
            lengths.add(upload.size)
        beyond = bool(lengths) and offset + (request.bodyLength or 0) > min(lengths)
        return inconsistent() if len(lengths) > 1 or beyond else None

    async def _append(
        self, request: StreamingRequest, body: AsyncIterator[bytes]
    ) -> Answer:
        upload, offset = self._upload, _offset(request)
        for length in lengths_of(request, offset, _complete(request)):
            most = upload.record.bound or self._resumable.max_size
            if length > most:
                raise FileTooLarge(most)
            await upload.set_size(length)
        await upload.append(offset, told_on_the_way(request, upload, body))
        if _complete(request):
            return await self._resumable.stored(upload, offset + request.received)
        return Answer(status=204, headers=self._resumable.told(upload))


def _offset(request: StreamingRequest) -> int:
    offset = count_item(request.getHeader("upload-offset"))
    if offset is None:
        raise MissingHeader("Upload-Offset")
    return offset


def _complete(request: StreamingRequest) -> bool:
    complete = boolean_item(request.getHeader("upload-complete"))
    if complete is None:
        raise MissingHeader("Upload-Complete")
    return complete
