"""What tests of a helper's uploads have in common."""

from __future__ import annotations

import json
from typing import Any

from attrs import asdict
from twisted.trial.unittest import TestCase

from tests.grids import NOW
from tests.helper.helped import (
    INDEX,
    PARAMETERS,
    Content,
    Helped,
)
from truckee.codec.hashes import storage_index_of
from truckee.helper.server.limits import HelperLimits
from truckee.helper.server.upload import HelperUpload

SIZE = 200
DAY = 86400.0


class UploadsCase(TestCase):
    """A helper whose uploads are used without a connection."""

    timeout = 120

    def setUp(self) -> None:
        self.time = NOW
        self.content = Content(SIZE)
        self.data = self.content.ciphertext

    def new(self, **options: Any) -> Helped:
        """Return a helper with limits."""
        limits = HelperLimits(**options)
        self.helped = Helped.new(self, limits=limits, now=lambda: self.time)
        return self.helped

    async def open(self, size: int | None = SIZE, index: bytes = INDEX) -> HelperUpload:
        """Take part in an upload."""
        upload = await self.helped.uploads.open(index, PARAMETERS, size)
        assert isinstance(upload, HelperUpload)
        return upload

    async def keep(self, data: bytes, size: int | None = None) -> None:
        """Have *data* brought by a client that left then."""
        upload = await self.open(size)
        await upload.append(0, data)
        upload.leave()
        await self.helped.assert_settled()

    async def keep_complete(self) -> None:
        """Have a complete file that could not be stored."""
        servers = self.helped.grid.servers
        there, servers[:] = list(servers), []
        upload = await self.open()
        await upload.append(0, self.data)
        upload.leave()
        await self.helped.assert_settled()
        servers[:] = there

    def path(self, place: str) -> Any:
        return self.helped.path(place)

    def write_note(self, **other: object) -> None:
        told = asdict(PARAMETERS) | {"size": SIZE} | other
        self.path("encoding").with_suffix(".json").write_text(json.dumps(told))


def index_of(number: int) -> bytes:
    """Return one of many storage indexes."""
    return storage_index_of(b"%016d" % number)
