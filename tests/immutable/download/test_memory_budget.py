"""All readers share one budget, and none of them keeps the others waiting for long."""

from __future__ import annotations

import random

from attrs import define
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.grids import Grid, MadeFile, make_file, pause, put_share, until
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import storage_index_of
from truckee.flow.limits import Budget
from truckee.flow.together import together
from truckee.immutable.download.cache import CacheLimits
from truckee.immutable.download.memory_budget import PATIENCE, Holdings
from truckee.immutable.download.read_ahead import Download

KEY = b"k" * 16


@define(eq=False)
class FakeHolder:
    """Somebody who holds some bytes."""

    holdings: Holdings
    held: int

    def let_go(self) -> None:
        held, self.held = self.held, 0
        self.holdings.give(held)


class HoldingsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.holdings = Holdings(Budget(10), self.clock)

    def take(self, amount: int) -> Deferred[None]:
        return Deferred.fromCoroutine(self.holdings.take(amount))

    def holder(self, amount: int) -> FakeHolder:
        self.successResultOf(self.take(amount))
        return FakeHolder(self.holdings, amount)

    def test_idle_ones_give_way(self) -> None:
        """Who is idle for long lets go when somebody waits, as many as it takes."""
        holders = [self.holder(2) for _ in range(5)]
        for each in holders[:4]:
            self.holdings.is_idle(each)
            self.clock.advance(0.1)
        self.clock.advance(10)
        self.assertEqual([each.held for each in holders], [2] * 5)
        waiting = self.take(3)
        self.assertNoResult(waiting)
        self.clock.advance(PATIENCE)
        self.successResultOf(waiting)
        self.assertEqual([each.held for each in holders], [0, 0, 2, 2, 2])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_crowd_that_takes_nothing(self) -> None:
        """However many take nothing, who keeps up or wants little is soon served."""
        deaf = 900

        async def come() -> None:
            await self.holdings.take(2)
            self.holdings.is_idle(FakeHolder(self.holdings, 2))

        crowd = [Deferred.fromCoroutine(come()) for _ in range(deaf)]
        honest = Deferred.fromCoroutine(self.holdings.take(1, soon=True))
        late = self.take(1)
        self.clock.pump([0.01] * 3)
        self.successResultOf(honest)
        # All of the crowd within ten seconds, where it was a minute and a half.
        self.clock.pump([0.01] * 1000)
        self.successResultOf(late)
        for each in crowd:
            self.successResultOf(each)

    def test_busy_ones_keep(self) -> None:
        """Who was idle for a moment, or is not any more, keeps what it holds."""
        one, other = self.holder(5), self.holder(5)
        self.holdings.is_idle(one)
        self.holdings.is_busy(one)
        waiting = self.take(1)
        for _ in range(5):
            self.holdings.is_idle(other)
            self.clock.advance(PATIENCE * 0.8)
        self.assertNoResult(waiting)
        self.clock.advance(PATIENCE * 2)
        self.successResultOf(waiting)
        self.assertEqual((one.held, other.held), (5, 0))

    def test_who_waited_leaves(self) -> None:
        """When nobody waits any more, nobody lets go, and no clock runs."""
        holder = self.holder(10)
        self.holdings.is_idle(holder)
        waiting = self.take(1)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(10)
        self.assertEqual(holder.held, 10)


class ManyReadersTests(TestCase):
    timeout = 120

    SEGMENT = 9000
    SEGMENTS = 24

    async def new_grid(self, segments_of_budget: int) -> tuple[Grid, MadeFile]:
        plaintext = random.Random(1).randbytes(self.SEGMENT * self.SEGMENTS - 5)
        file = make_file(plaintext, KEY, Encoding(2, 3, self.SEGMENT))
        budget = segments_of_budget * 2 * self.SEGMENT
        grid = Grid.new(self, cache=CacheLimits(1 << 24), reading_budget=budget)
        for number, share in enumerate(file.shares):
            put_share(grid.servers[number], storage_index_of(KEY), number, share)
        await grid.downloads.cache.start()
        return grid, file

    async def test_200_readers(self) -> None:
        """200 readers, 50 of them slow: one budget holds, and all is fetched once."""
        grid, file = await self.new_grid(40)
        rng = random.Random(2)
        budget = grid.downloads.budget

        async def read(slow: bool) -> None:
            # All come within a moment, as the viewers of one event do.
            await pause(rng.random())
            download = (await grid.downloader.open(file.cap)).read(0, file.cap.size)
            got = []
            try:
                async for piece in download:
                    got.append(piece)
                    self.assertLessEqual(budget.used, budget.limit)
                    if slow and rng.random() < 0.03:
                        await pause(1.2)
            finally:
                download.stop()
            self.assertTrue(b"".join(got) == file.plaintext)

        await together(read(number < 50) for number in range(200))
        self.assertEqual((budget.used, budget.peak <= budget.limit), (0, True))
        reads = sum(server.reads for server in grid.servers)
        # Two blocks of each; what proves two shares, and three trees of one page.
        self.assertLessEqual(reads, 2 * self.SEGMENTS + 12)

    async def test_paused_readers(self) -> None:
        """Readers who stopped taking anything hold up nobody, and go on where they were."""
        grid, file = await self.new_grid(6)

        async def begin() -> tuple[list[bytes], Download]:
            download = (await grid.downloader.open(file.cap)).read(0, file.cap.size)
            return [await download.__anext__() for _ in range(5)], download

        paused = [await begin() for _ in range(5)]
        await until(lambda: grid.downloads.budget.used >= 6 * self.SEGMENT)
        self.assertTrue(await grid.read(file.cap) == file.plaintext)
        for got, download in paused:
            async for piece in download:
                got.append(piece)
            download.stop()
            self.assertTrue(b"".join(got) == file.plaintext)
        self.assertEqual(grid.downloads.budget.used, 0)
