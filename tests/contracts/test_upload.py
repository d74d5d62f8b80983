"""The contract of uploads, for the streaming ones and for the resumable ones."""

from __future__ import annotations

from typing import Any

from tests.contracts import upload as contract
from tests.grids import Grid
from tests.uploads.opened import OpenCase
from truckee.immutable.upload.options import UploadOptions
from truckee.uploads.interfaces import IUpload
from truckee.uploads.streaming import StreamingUpload


class StreamingUploadTests(contract.UploadContract):
    def setUp(self) -> None:
        self.grid = Grid.new(self)

    async def new_upload(self, options: UploadOptions) -> IUpload:
        return StreamingUpload(self.grid.uploader, options)


class ResumableUploadTests(contract.UploadContract, OpenCase):
    def setUp(self) -> None:
        self.uploads = self.new()

    async def new_upload(self, options: UploadOptions) -> Any:
        return await self.uploads.open(options)

    async def assert_gone(self, upload: IUpload) -> None:
        await super().assert_gone(upload)
        self.assertEqual(self.kept(), [])
