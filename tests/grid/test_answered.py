"""Tests of truckee.grid.answered, and of what a selector makes of it."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.grids import Grid, failing
from truckee.grid.answered import LATELY, Answered
from truckee.grid.selection import Holders, Placement


class AnsweredTests(SynchronousTestCase):
    def test_for_a_while(self) -> None:
        """An answer counts for some seconds, and until the server gives none."""
        clock = Clock()
        servers = Grid.new(self, servers=3).servers
        answered = Answered(clock)
        answered.heard(servers, servers[:2])
        self.assertEqual(answered.lately(servers), set(servers[:2]))
        clock.advance(LATELY / 2)
        answered.heard(servers[1:], servers[2:])
        self.assertEqual(answered.lately(servers), {servers[0], servers[2]})
        answered.forget(servers[2:])
        self.assertEqual(answered.lately(servers), {servers[0]})
        clock.advance(LATELY / 2)
        self.assertEqual(answered.lately(servers), set())


class FreshTests(TestCase):
    timeout = 60

    async def place(self, grid: Grid, index: bytes, fresh: bool = True) -> Placement:
        """Place a file, give it up, and return where it was to be."""

        async def believe(claims: Holders) -> Holders:
            return {} if fresh else claims

        request = grid.selector.request(index, 100)
        placement = await grid.selector.place(
            request, 4, needed=1, prove=believe, fresh=fresh
        )
        for writer in placement.writers.values():
            await writer.abort()
        return placement

    async def test_asked_once(self) -> None:
        """Of a new key nobody has shares: who answered lately is not asked once more."""
        grid, asked = Grid.new(self, servers=6, happy=4), []

        async def count(operation: str, share: int) -> None:
            asked.append(operation)

        for server in grid.servers:
            server.mood = count
        for number in range(3):
            await self.place(grid, bytes([number]) * 16)
        self.assertEqual(asked.count("buckets"), 6)
        self.assertEqual(asked.count("allocate"), 12)
        await self.place(grid, b"k" * 16, fresh=False)
        self.assertEqual(asked.count("buckets"), 12)

    async def test_failing(self) -> None:
        """Whoever does not answer is asked each time, and gets nothing."""
        grid = Grid.new(self, servers=6, happy=4)
        await self.place(grid, b"a" * 16)
        for operation in ("allocate", "buckets"):
            for server in grid.servers[:2]:
                server.mood = failing(operation)
            for number in range(3):
                placement = await self.place(grid, bytes([number]) * 16)
                self.assertEqual(placement.happiness(), 4)
            self.assertFalse(set(placement.servers.values()) & set(grid.servers[:2]))
        self.flushLoggedErrors(OSError)
