"""The keepers of shares that pass the suite."""

from __future__ import annotations

from tests.contracts.kept_shares import KeptSharesContract
from tests.grids import REACTOR
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


del KeptSharesContract  # it is no test of its own here
