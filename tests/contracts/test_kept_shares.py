"""The keepers of shares that pass the suite."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from tests.contracts.kept_shares import KeptSharesContract
from tests.contracts.test_storage_server import ALL_SPACE, new_tubs
from tests.grids import REACTOR, until
from tests.storage.channelled import Channelled
from tests.storage.gbs_served import close, new_client, serve, stop
from truckee.storage.foolscap_client import FoolscapServer
from truckee.storage.foolscap_schema import KEEPS_SHARES
from truckee.storage.foolscap_server import FoolscapStorage
from truckee.storage.gbs_client import GbsServer
from truckee.storage.interfaces import CallFailed, IStorageServer
from truckee.storage.limited import LimitedServer
from truckee.storage.quotas import ShareQuotas


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


class FoolscapTests(KeptSharesContract):
    """A server over real connections of this machine."""

    too_large = closed = bad = full = CallFailed

    async def new_server(self) -> IStorageServer:
        theirs, self.ours = new_tubs(self)
        quotas = ShareQuotas(REACTOR.seconds, ALL_SPACE)
        storage = FoolscapStorage(self.disk, REACTOR, quotas=quotas)
        self.furl = theirs.registerReference(storage)
        remote = await self.ours.getReference(self.furl)
        self.far = FoolscapServer("foolscap", b"p" * 20, b"l" * 20, remote)
        version = await self.far.ask("get_version")
        self.far.hear(
            durable=True, max_slot_share=0, keeps_shares=version[KEEPS_SHARES] == 1
        )
        return self.far

    async def cut(self) -> None:
        lost: Deferred[None] = Deferred()
        self.far.remote.notifyOnDisconnect(lost.callback, None)
        self.far.remote.tracker.broker.transport.abortConnection()
        await lost
        await until(lambda: not self.disk._writers)
        self.far.remote = await self.ours.getReference(self.furl)


class ChannelTests(FoolscapTests):
    """Bytes of shares go beside foolscap."""

    async def new_server(self) -> IStorageServer:
        self.served = Channelled(self, self.disk)
        self.ours, self.furl = self.served.ours, self.served.furl
        self.far = await self.served.connect()
        return self.far

    async def cut(self) -> None:
        await super().cut()
        await self.served.greet(self.far)


del KeptSharesContract  # it is no test of its own here
