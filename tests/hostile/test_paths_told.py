"""What peers read of errors of the disk: nothing about files of this machine."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.grids import OTHER_SECRETS, REACTOR, SECRETS, put_share
from tests.storage.gbs_served import SWISSNUM, certificate, listen, stop
from tests.storage.gbs_served import new_client as new_https_client
from tests.storage.test_foolscap_client import new_client, new_disk, serve
from truckee.errors import TruckeeError
from truckee.storage.foolscap_server import FoolscapStorage
from truckee.storage.gbs_server import GbsStorage
from truckee.storage.interfaces import CallFailed, IStorageServer

INDEX, OTHER = b"i" * 16, b"j" * 16


def instead(path: Path) -> None:
    """Put a file where a directory is, or a directory where a file is."""
    if path.is_dir():
        shutil.rmtree(path)
        path.write_bytes(b"")
    else:
        path.unlink(missing_ok=True)
        path.mkdir(parents=True)


class PathTests(TestCase):
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        self.disk = new_disk(self)
        self.root = self.disk.directory.root
        self.told: list[str] = []

    async def foolscap(self) -> IStorageServer:
        """Return the server over foolscap."""
        furl = serve(self, FoolscapStorage(self.disk, REACTOR))
        return await new_client(self).connect(furl)

    async def https(self) -> IStorageServer:
        """Return the server over HTTPS."""
        storage = GbsStorage(self.disk, SWISSNUM, REACTOR)
        self.addCleanup(stop, storage)
        nurl = listen(self, storage.https(certificate()), certificate())
        return new_https_client(self, nurl)

    async def fails(self, call: Callable[[], Awaitable[object]]) -> None:
        """Call the server, and note what is told of its failure."""
        try:
            await call()
        except TruckeeError as error:
            text = error.reason if isinstance(error, CallFailed) else str(error)
            self.told.append(text)

    async def check(self, server: IStorageServer) -> None:
        """Break everything on the disk, one thing after the other."""
        put_share(self.disk, INDEX, 0, b"share")
        put_share(self.disk, INDEX, 1, b"share")
        readers = await server.buckets(INDEX)
        answer = await server.allocate(OTHER, SECRETS, {0, 1, 2}, 4)
        writers = answer.writers
        (self.root / "corruption-advisories").write_bytes(b"")
        await self.fails(lambda: server.advise_corrupt(INDEX, 0, "it is not"))
        for share in (0, 1):
            instead(self.disk.directory.home(INDEX) / str(share))
        await self.fails(lambda: readers[0].read(0, 5))
        await self.fails(lambda: readers[1].read(0, 5 << 20))
        shutil.rmtree(self.disk.directory.home(INDEX))
        await self.fails(lambda: readers[0].read(0, 5))
        # What is written has nowhere to go.
        instead(self.disk.directory.home(OTHER).parent)
        await self.fails(lambda: writers[0].write(0, [b"1234"]))
        await self.fails(lambda: writers[0].close(4))
        self.disk.open_files.close(self.disk.directory.incoming(OTHER) / "1")
        shutil.rmtree(self.root / "shares")
        (self.root / "shares").write_bytes(b"")
        await self.fails(lambda: writers[1].write(0, [b"1234"]))
        await self.fails(lambda: writers[1].close(4))
        await self.fails(lambda: writers[1].abort())
        await self.fails(lambda: server.allocate(INDEX, OTHER_SECRETS, {3}, 4))
        await self.fails(lambda: server.add_lease(INDEX, OTHER_SECRETS))
        await self.fails(lambda: server.buckets(INDEX))
        await self.fails(lambda: server.advise_corrupt(INDEX, 0, "it is not"))
        shutil.rmtree(self.root, ignore_errors=True)
        await self.fails(server.available_space)
        await self.fails(lambda: server.allocate(INDEX, OTHER_SECRETS, {3}, 4))
        self.assertGreater(len(self.told), 5)
        for text in self.told:
            for name in (str(self.root), self.root.name, "shares/", "Traceback", "Errno"):
                self.assertNotIn(name, text)
        self.flushLoggedErrors()

    async def test_foolscap(self) -> None:
        """Errors over foolscap."""
        await self.check(await self.foolscap())

    async def test_https(self) -> None:
        """Errors over HTTPS: their status, and a sentence."""
        await self.check(await self.https())
