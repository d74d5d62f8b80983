"""The sinks that pass the suite."""

from __future__ import annotations

import shutil

from tests.contracts import ciphertext_sink
from tests.contracts.ciphertext_sink import ENCODING, INDEX, KEY
from tests.grids import Grid
from tests.helper.helped import Gateway, Helped
from truckee.codec.caps import ChkVerifyCap
from truckee.codec.cipher import crypt
from truckee.immutable.upload.sinks import ICiphertextSink, NewFile


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
        self.grid.forget_files()
        self.assert_nothing_left()


class HelperSinkTests(ciphertext_sink.CiphertextSinkContract):
    """The sinks that push to a helper, over a real connection."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.helped = Helped.new(self, encoding=ENCODING, happy=3)
        self.helped.listen()
        self.grid = self.helped.grid
        self.gateway = await Gateway.of(self.helped, happy=3)

    async def open(self, size: int | None) -> ICiphertextSink:
        sink: ICiphertextSink = await self.gateway.open(size)
        return sink

    def ciphertext(self, size: int) -> tuple[bytes, ChkVerifyCap, ChkVerifyCap]:
        # The helper knows the size before it stores anything.
        data, sized, _ = super().ciphertext(size)
        return data, sized, sized

    async def read(self, cap: ChkVerifyCap) -> bytes:
        return crypt(KEY, 0, await self.grid.read(cap.read_cap(KEY)))

    def assert_nothing_left(self) -> None:
        self.assertEqual(self.helped.uploads.active, {})
        self.assertEqual(self.helped.uploads.used, 0)
        self.assertEqual(self.helped.open_files(), [])
        self.assertEqual(self.grid.budget.used, 0)
        if len(self.grid.shares(INDEX)) == ENCODING.total:
            # It was stored for good before it was aborted, and the answer got lost.
            self.remove_shares()
        self.assertEqual(self.grid.files, [])

    def remove_shares(self) -> None:
        for server in self.grid.servers:
            shutil.rmtree(server.directory.home(INDEX))

    async def forget(self) -> None:
        self.remove_shares()
        self.grid.forget_files()
        self.assert_nothing_left()
