# mypy: disable-error-code="no-untyped-call"
"""The storage servers that pass the suite."""

from __future__ import annotations

import shutil

from twisted.internet.defer import Deferred

from tests.contracts.storage_server import INDEX, StorageServerContract
from tests.grids import SECRETS, new_directory, new_workers
from truckee.storage.server import DiskServer
from truckee.storage.sharefiles import ShareDirectory


class DiskServerTests(StorageServerContract):
    threads = 4

    def setUp(self) -> None:
        directory = ShareDirectory(new_directory(self))
        self.disk = DiskServer(
            name="disk",
            permutation_seed=b"p" * 20,
            lease_seed=b"l" * 20,
            directory=directory,
            disk=new_workers(self, self.threads),
            now=lambda: 1e9,
        )
        self.disk.start()
        self.server = self.disk
        # Cleanups run before tearDown, the last one first: the workers are still there.
        self.addCleanup(lambda: Deferred.fromCoroutine(self.check_end()))

    async def forget(self) -> None:
        shutil.rmtree(self.disk.directory.home(INDEX), ignore_errors=True)

    async def check_end(self) -> None:
        """Whatever a test did, nothing is promised when its writers are done with."""
        for writer in list(self.disk._writers.values()):
            await writer.abort()
        incoming = self.disk.directory.root / "shares" / "incoming"
        self.assertEqual([path for path in incoming.rglob("*") if path.is_file()], [])
        self.assertEqual(await self.disk.buckets(b"n" * 16), {})
        await self.disk.add_lease(INDEX, SECRETS)


class OneThreadTests(DiskServerTests):
    """All that goes to the disk is done in the order it was asked for."""

    threads = 1


del StorageServerContract  # it is no test of its own here
