"""Peers that allocate all they can and write nothing, over both protocols."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.grids import OTHER_SECRETS, REACTOR, SECRETS, until
from tests.storage.gbs_served import (
    SWISSNUM,
    certificate,
    listen,
    stop,
)
from tests.storage.gbs_served import new_client as new_https_client
from tests.storage.test_foolscap_client import new_client, new_disk, serve
from tests.storage.test_open_files import descriptors_below
from truckee.storage.foolscap_server import FoolscapStorage
from truckee.storage.gbs_server import GbsStorage
from truckee.storage.interfaces import CallFailed, IStorageServer
from truckee.storage.promises import GRACE
from truckee.storage.quotas import QuotaLimits, ShareQuotas

# The real limits are 16 times as large.
LIMITS = QuotaLimits(shares=512)


class _Case(TestCase):
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        self.clock = Clock()
        self.disk = new_disk(self)
        self.disk._now = self.clock.seconds
        self.quotas = ShareQuotas(self.clock.seconds, LIMITS)

    async def foolscap(self) -> list[IStorageServer]:
        """Return the server as two clients see it."""
        furl = serve(self, FoolscapStorage(self.disk, self.clock, quotas=self.quotas))
        return [await new_client(self).connect(furl) for _ in range(2)]

    async def https(self) -> IStorageServer:
        """Return the server as all clients of an address see it."""
        storage = GbsStorage(self.disk, SWISSNUM, REACTOR, quotas=self.quotas)
        self.addCleanup(stop, storage)
        nurl = listen(self, storage.https(certificate()), certificate())
        return new_https_client(self, nurl)

    def index(self, number: int) -> bytes:
        """Return the storage index of a file."""
        return b"%016d" % number


class AllocationTests(_Case):
    async def test_shares(self) -> None:
        """Nobody gets all shares in progress, nor do many of them need descriptors."""
        greedy, honest = await self.foolscap()
        over_https = await self.https()
        got = 0
        for number in range(7):
            answer = await greedy.allocate(self.index(number), SECRETS, set(range(256)), 1)
            got += len(answer.writers)
        self.assertEqual(got, LIMITS.shares // LIMITS.share_part)
        self.assertLess(len(descriptors_below(self.disk.directory.root)), 140)
        answer = await over_https.allocate(self.index(10), SECRETS, set(range(256)), 1)
        self.assertEqual(len(answer.writers), (LIMITS.shares - got) // LIMITS.share_part)
        answer = await honest.allocate(self.index(20), OTHER_SECRETS, set(range(10)), 1)
        self.assertEqual(len(answer.writers), 10)
        for writer in answer.writers.values():
            await writer.write(0, [b"x"])
            await writer.close(1)
        self.assertEqual(len(await honest.buckets(self.index(20))), 10)

    async def test_gone(self) -> None:
        """What a peer had is free again when it is gone."""
        greedy, honest = await self.foolscap()
        answer = await greedy.allocate(self.index(0), SECRETS, set(range(256)), 1)
        self.assertEqual(self.quotas.total, len(answer.writers))
        for writer in list(answer.writers.values())[:3]:
            await writer.abort()
        self.assertEqual(self.quotas.total, len(answer.writers) - 3)
        remote = greedy.remote  # type: ignore[attr-defined]
        remote.tracker.broker.transport.abortConnection()
        await until(lambda: not self.quotas.total and not len(self.disk.promises))
        answer = await honest.allocate(self.index(0), SECRETS, {0}, 1)
        self.assertEqual(list(answer.writers), [0])


class SpaceTests(_Case):
    async def check(self, greedy: IStorageServer, honest: IStorageServer) -> None:
        """Let one client take all the space that it can."""
        free = await self.disk.available_space()
        answer = await greedy.allocate(self.index(0), SECRETS, {0}, free * 9 // 10)
        self.assertEqual(dict(answer.writers), {})
        most = free * 45 // 100
        answer = await greedy.allocate(self.index(0), SECRETS, {0}, most)
        self.assertEqual(list(answer.writers), [0])
        answer = await greedy.allocate(self.index(1), SECRETS, {0}, free // 10)
        self.assertEqual(dict(answer.writers), {})
        answer = await honest.allocate(self.index(2), OTHER_SECRETS, {0, 1}, free // 10)
        self.assertEqual(sorted(answer.writers), [0, 1])
        await answer.writers[0].write(0, [b"x"])
        # Nothing of the first one was written, and it is still there.
        self.clock.advance(GRACE)
        self.assertGreater(await honest.available_space(), free * 9 // 10)
        answer = await greedy.allocate(self.index(1), SECRETS, {0}, free // 10)
        self.assertEqual(list(answer.writers), [0])

    async def test_foolscap(self) -> None:
        """A peer is promised half of what is free, and nothing that it does not use."""
        greedy, honest = await self.foolscap()
        await self.check(greedy, honest)

    async def test_https(self) -> None:
        """The same over HTTPS, against a client over foolscap."""
        _, honest = await self.foolscap()
        await self.check(await self.https(), honest)

    async def test_late(self) -> None:
        """A share whose promise is over is written to while there is room, and no more."""
        greedy, _ = await self.foolscap()
        answer = await greedy.allocate(self.index(0), SECRETS, {0}, 1_000_000)
        self.clock.advance(GRACE)
        await answer.writers[0].write(0, [b"x" * 1000])
        self.disk.reserved_space = self.disk.directory.free_space() + (1 << 30)
        with self.assertRaisesRegex(CallFailed, "no space left"):
            await answer.writers[0].write(1000, [b"x" * 100_000])
        self.disk.reserved_space = 0
        await answer.writers[0].write(1000, [b"x" * 100_000])
