"""Sinks from which a helper pulls pass the suite of all sinks; the helper is ours."""

from __future__ import annotations

import shutil

from tests.contracts import ciphertext_sink
from tests.contracts.ciphertext_sink import ENCODING, INDEX, KEY
from tests.helper.helped import Helped
from tests.helper.stock_ends import PulledGateway
from truckee.codec.caps import ChkVerifyCap
from truckee.codec.cipher import crypt
from truckee.immutable.upload.sinks import ICiphertextSink, NewFile


class StockHelperSinkTests(ciphertext_sink.CiphertextSinkContract):
    """Files of unknown size go where the gateway sends them: from here to the servers."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.helped = Helped.new(self, encoding=ENCODING, happy=3)
        self.helped.listen()
        self.grid = self.helped.grid
        self.gateway = await PulledGateway.new(self, self.grid, self.helped.furl, happy=3)

    async def open(self, size: int | None) -> ICiphertextSink:
        if size is not None:
            return await self.gateway.open(size)
        sink: ICiphertextSink = await self.grid.sinks.open(NewFile(INDEX, None, 1 << 30))
        return sink

    async def read(self, cap: ChkVerifyCap) -> bytes:
        return crypt(KEY, 0, await self.grid.read(cap.read_cap(KEY)))

    def assert_nothing_left(self) -> None:
        self.assertEqual(self.helped.uploads.active, {})
        self.assertEqual(self.helped.open_files(), [])
        self.assertEqual(self.grid.budget.used, 0)
        for path in self.helped.kept:
            # Stock helpers cannot be told to forget; they keep it for the next attempt.
            (self.helped.home / path).unlink()
        self.helped.uploads.quotas.clear()
        if len(self.grid.shares(INDEX)) == ENCODING.total:
            # It was all there before it was aborted, and was stored.
            self.remove_shares()
        self.assertEqual(self.grid.files, [])

    def remove_shares(self) -> None:
        for server in self.grid.servers:
            shutil.rmtree(server.directory.home(INDEX))

    async def forget(self) -> None:
        self.remove_shares()
        self.grid.forget_files()
        self.assert_nothing_left()
