"""The sinks that pass the suite."""

from __future__ import annotations

import shutil

from tests.contracts import ciphertext_sink
from tests.contracts.ciphertext_sink import ENCODING, INDEX, KEY
from tests.grids import Grid
from truckee.codec.caps import ChkVerifyCap
from truckee.codec.cipher import crypt
from truckee.immutable.sinks import ICiphertextSink, NewFile


class GridSinkTests(ciphertext_sink.CiphertextSinkContract):
    def setUp(self) -> None:
        self.grid = Grid.new(self, ENCODING, happy=3)

    async def open(self, size: int | None) -> ICiphertextSink:
        sink: ICiphertextSink = await self.grid.sinks.open(NewFile(INDEX, size, 1 << 30))
        return sink

    async def read(self, cap: ChkVerifyCap) -> bytes:
        return crypt(KEY, 0, await self.grid.read(cap.read_cap(KEY)))

    def assert_nothing_left(self) -> None:
        self.assertEqual(self.grid.files, [])
        self.assertEqual(self.grid.budget.used, 0)

    async def forget(self) -> None:
        for server in self.grid.servers:
            shutil.rmtree(server.directory.home(INDEX))
        self.assert_nothing_left()
