"""The keepers of shares that pass the suite."""

from __future__ import annotations

from tests.contracts.kept_shares import KeptSharesContract
from tests.grids import REACTOR
from tests.storage.gbs_served import close, new_client, serve, stop
from truckee.storage.gbs_client import GbsServer
from truckee.storage.interfaces import IStorageServer
from truckee.storage.limited import LimitedServer


class DiskTests(KeptSharesContract):
    async def new_server(self) -> IStorageServer:
        return self.disk


class OneThreadTests(DiskTests):
    """All that goes to the disk is done in the order it was asked for."""

    threads = 1


class LimitedTests(KeptSharesContract):
    async def new_server(self) -> IStorageServer:
        return LimitedServer(self.disk, REACTOR)


class GbsTests(KeptSharesContract):
    """Our client over HTTPS; a share is open for all connections."""

    client: GbsServer

    async def new_server(self) -> IStorageServer:
        self.storage, self.nurl = serve(self, self.disk)
        return await self.come()

    async def come(self) -> GbsServer:
        self.client = new_client(self, self.nurl)
        await self.client.version()
        return self.client

    async def cut(self) -> None:
        """Lose all connections; in the end the server leaves the shares."""
        await close(self.client)
        self.server = await self.come()
        kept = self.server.kept
        assert kept is not None
        self.kept = kept
        await stop(self.storage)


del KeptSharesContract  # it is no test of its own here
