"""A body that becomes a new file, immutable or as ``format=`` says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from attrs import evolve, frozen

from truckee.codec.caps import MutableWriteCap
from truckee.frontends.http.upload_options import parse_upload_options
from truckee.frontends.web.mutable_files import MutableWeb, wanted_format
from truckee.immutable.upload.status import UploadStatus
from truckee.immutable.upload.uploader import Cap, Uploader
from truckee.net.http.request import StreamingRequest
from truckee.status.metered import Metered
from truckee.uploads.streaming import StreamingUpload


@frozen(eq=False)
class NewFiles:
    """Stores files that nobody has linked yet."""

    uploader: Uploader
    mutable: MutableWeb | None = None  # None: immutable ones only
    default_key: str = "random"

    async def store(
        self,
        request: StreamingRequest,
        body: AsyncIterator[bytes],
        args: Mapping[str, str],
        length: int | None,
        status: UploadStatus,
    ) -> Cap | MutableWriteCap:
        """Store *body*, which has *length* bytes if that is known."""
        if self.mutable is not None and wanted_format(args) is not None:
            status.size, status.route, status.phase = length, "servers", "storing"
            return await self.mutable.create(Metered(body, status), args, length)
        options = parse_upload_options(args, length, self.default_key)
        if length is None:
            # The length of a file in a form is nowhere; it is less than that of the form.
            bounds = (options.max_size, request.bodyLength)
            most = min((bound for bound in bounds if bound is not None), default=None)
            options = evolve(options, max_size=most)
        client, asks_first = request.client_address, request.owes_continue
        upload = StreamingUpload(self.uploader, options, status, client, asks_first)
        return await upload.store(body)
