"""What stores and reads shares in one call, and passes the suite."""

from __future__ import annotations

from twisted.internet.task import Clock

from tests.contracts.direct_shares import DATA, DirectSharesContract
from tests.contracts.storage_server import INDEX
from tests.contracts.test_storage_server import new_tubs
from tests.grids import REACTOR, SECRETS
from truckee.storage.foolscap_client import FoolscapServer
from truckee.storage.foolscap_schema import DIRECT_SHARES
from truckee.storage.foolscap_server import FoolscapStorage
from truckee.storage.interfaces import (
    MAX_DIRECT_SHARE,
    BadAnswer,
    CallFailed,
    IStorageServer,
)
from truckee.storage.limited import LimitedServer


class DiskTests(DirectSharesContract):
    async def new_server(self) -> IStorageServer:
        return self.disk


class OneThreadTests(DiskTests):
    """All that goes to the disk is done in the order it was asked for."""

    threads = 1


class LimitedTests(DirectSharesContract):
    async def new_server(self) -> IStorageServer:
        return LimitedServer(self.disk, REACTOR)

    async def test_refused(self) -> None:
        """After a refusal a server is asked for room first, for a minute."""
        clock = Clock()
        server = LimitedServer(self.disk, clock)
        assert server.direct is not None
        self.assertTrue(await server.direct.store(INDEX, SECRETS, 3, DATA))
        self.assertFalse(await server.direct.store(INDEX, SECRETS, 3, DATA))
        self.assertIsNone(server.direct)
        clock.advance(59)
        self.assertIsNone(server.direct)
        clock.advance(2)
        self.assertIsNotNone(server.direct)


class FoolscapTests(DirectSharesContract):
    """A server over real connections of this machine."""

    async def new_server(self) -> IStorageServer:
        theirs, ours = new_tubs(self)
        furl = theirs.registerReference(FoolscapStorage(self.disk, REACTOR))
        remote = await ours.getReference(furl)
        far = FoolscapServer("foolscap", b"p" * 20, b"l" * 20, remote)
        version = await far.ask("get_version")
        self.assertIsNone(far.direct)
        far.hear(durable=True, max_slot_share=0, direct_shares=version[DIRECT_SHARES] == 1)
        return far

    async def test_bad_requests(self) -> None:
        """What no share can be is refused, and the connection stays."""
        with self.assertRaises(BadAnswer):
            await self.store(data=bytes(MAX_DIRECT_SHARE + 1))
        for share in (-1, 256):
            with self.assertRaises(CallFailed):
                await self.store(share)
        with self.assertRaises(CallFailed):
            await self.direct.read(INDEX, 3, -1, 5)
        self.assertTrue(await self.store())

    async def test_not_offered(self) -> None:
        """A server without these calls does not name them, and refuses them."""
        self.disk.direct = None
        version = await self.server.ask("get_version")  # type: ignore[attr-defined]
        self.assertNotIn(DIRECT_SHARES, version)
        with self.assertRaises(CallFailed):
            await self.store()


del DirectSharesContract  # it is no test of its own here
