"""
How every frontend stores a file, whether it comes at once or in pieces.

``tests/contracts`` has one suite that every implementation passes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from zope.interface import Attribute, Interface

from truckee.codec.hashes import Buffer
from truckee.immutable.upload.uploader import Cap


class Digest(Protocol):
    """Tells whether the bytes of one piece are right."""

    def update(self, data: Buffer, /) -> None:
        """Take the next bytes, in a worker thread."""

    def check(self) -> None:
        """:raises TruckeeError: if they are not."""


class IUpload(Interface):
    """One file on its way to a cap."""

    offset = Attribute("How many bytes were received.")
    status = Attribute("An ``UploadStatus``: what became of them.")

    async def append(
        offset: int | None, chunks: AsyncIterator[bytes], digest: Digest | None = None
    ) -> int:
        """
        Receive *chunks* and return the new offset; waiting here is the backpressure.

        They begin at *offset*; None: at wherever the upload is.  With a *digest* no file
        gets a cap that has bytes which it refuses.

        :raises WrongOffset: if bytes between are missing.
        :raises PastTheEnd: if the upload has its end already.
        :raises TruckeeError: what ended the upload, or is in its way.
        """

    async def close(size: int | None = None) -> Cap:
        """
        Return the cap once the file is stored for good; to whoever asks again, too.

        *size* is how many bytes the file has, if its owner says so.

        :raises NotTheEnd: if it has another number; the upload is open as before.
        """

    async def abort() -> None:
        """
        Give the upload up; return when nothing is left of it.  May be called twice.

        :raises AlreadyStored: if it is too late.
        """
