"""The bytes of what went to servers that may lose it in a power cut."""

from __future__ import annotations

from typing import ClassVar

from attrs import define

from tests.grids import Grid, MoodyServer, in_chunks, new_server, until
from tests.uploads.opened import CHOICES, OpenCase, some_bytes
from truckee.codec.caps import ChkReadCap
from truckee.codec.hashes import storage_index_of
from truckee.immutable.upload.keys import KeyChoice, RandomKey
from truckee.immutable.upload.options import UploadOptions
from truckee.uploads.registry import OpenLimits, OpenUploads
from truckee.uploads.state import State
from truckee.uploads.upload import OpenUpload

DATA = some_bytes(1000)
LONG = OpenLimits(guard=3600.0)


@define(eq=False, kw_only=True)
class StockServer(MoodyServer):
    """Promises nothing."""

    durable: ClassVar[bool] = False


class GuardTests(OpenCase):
    def servers(self, promising: int = 0) -> Grid:
        """Return a grid of which so many servers promise that shares last."""
        grid = Grid.new(self)
        kinds = [MoodyServer] * promising + [StockServer] * (3 - promising)
        grid.servers[:] = [
            new_server(grid.root / f"t{number}", grid.disk, number, kind=kind)
            for number, kind in enumerate(kinds)
        ]
        return grid

    async def stored(
        self, uploads: OpenUploads, choice: KeyChoice | None = None, data: bytes = DATA
    ) -> OpenUpload:
        """Return an upload that is stored."""
        upload = await uploads.open(UploadOptions(choice or RandomKey()))
        await upload.append(0, in_chunks(data, 100))
        await upload.close()
        return upload

    def logs(self) -> int:
        """Return how many logs there are."""
        return len(list((self.place / "logs").iterdir()))

    def guarded(self) -> bool:
        """Tell whether the disk knows that something is kept."""
        records = (self.place / "records").glob("*.json")
        return any(b'"guarded": true' in record.read_bytes() for record in records)

    def lose(self, upload: OpenUpload, *places: int) -> None:
        """Have servers lose their shares."""
        assert isinstance(upload.cap, ChkReadCap)
        for place in places:
            index = storage_index_of(upload.cap.key)
            for share in self.grid.servers[place].directory.shares(index).values():
                share.path.unlink()

    async def test_lost_shares(self) -> None:
        """Shares that a power cut took are stored again after a restart, by themselves."""
        for choice in CHOICES:
            uploads = self.new(self.servers(), limits=LONG)
            upload = await self.stored(uploads, choice)
            cap = upload.cap
            assert isinstance(cap, ChkReadCap)
            await until(self.guarded)
            await uploads.stop()
            self.assertEqual(self.logs(), 1)
            self.lose(upload, 0, 1, 2)
            self.grid.forget_files()
            again = self.next(limits=OpenLimits(guard=0.05), boot=b"another")
            await again.start()
            found = again.find(upload.handle)
            self.assertEqual((found.state, found.cap), (State.STORED, cap))
            await until(lambda: not self.logs())
            self.assertEqual(await self.grid.read(cap), DATA)
            self.assertFalse(found.record.guarded)
            self.assertEqual(found.cap, cap)

    async def test_time_is_over(self) -> None:
        """After the time that is set nothing is kept."""
        uploads = self.new(self.servers(promising=2), limits=OpenLimits(guard=0.05))
        upload = await self.stored(uploads)
        await until(lambda: not self.logs())
        self.assertEqual(upload.kept, 0)
        again = self.next(limits=LONG)
        await again.start()
        self.assertFalse(again.find(upload.handle).record.guarded)

    async def test_promised(self) -> None:
        """Nothing is kept of what all servers promise, of a literal, or if that is set."""
        for promising, guard, data in (
            (3, 60.0, DATA),
            (0, 60.0, b"short"),
            (0, 0.0, DATA),
        ):
            limits = OpenLimits(guard=guard)
            uploads = self.new(self.servers(promising), limits=limits)
            upload = await self.stored(uploads, data=data)
            await until(lambda: not self.logs())
            self.assertFalse(upload.record.guarded)

    async def test_space(self) -> None:
        """What is kept counts as open uploads do."""
        uploads = self.new(self.servers(), limits=LONG)
        upload = await self.stored(uploads)
        self.assertEqual(upload.kept, len(DATA))

    async def test_servers_away(self) -> None:
        """While servers are away the bytes stay, and the next look is later."""
        uploads = self.new(self.servers(), limits=LONG)
        upload = await self.stored(uploads)
        await until(self.guarded)
        await uploads.stop()
        away, self.grid.servers[:] = list(self.grid.servers), []
        again = self.next(limits=OpenLimits(guard=0.05))
        await again.start()
        found = again.find(upload.handle)
        await until(lambda: found.run is None)
        self.assertEqual((self.logs(), found.state), (1, State.STORED))
        self.grid.servers[:] = away
        await until(lambda: not self.logs())
