"""Asking all servers, of which some hang."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.grids import Grid, calm, pause, put_share, until
from truckee.storage.limited import TooSlow

INDEX = b"i" * 16


class LooksTests(TestCase):
    async def test_silent_server(self) -> None:
        """Who gives no answer until its timeout is waited for once, and named each time."""
        grid = Grid.new(self, servers=4)
        for number in range(4):
            put_share(grid.servers[number], INDEX, number, b"share")
        frozen, asked = grid.servers[2], []

        async def mood(call: str, share: int) -> None:
            asked.append(Deferred[None]())
            await asked[-1]

        frozen.mood = mood
        looks = [Deferred.fromCoroutine(grid.selector.everywhere(INDEX)) for _ in range(3)]
        await until(lambda: len(asked) == 3)
        for _ in range(20):
            await pause()
        for each in looks:
            self.assertNoResult(each)
        # The first timeout is enough for all.
        asked[0].errback(TooSlow(frozen.name, 15.0))
        for each in looks:
            held, silent = await each
            self.assertEqual((len(held), silent), (3, [frozen]))
        for question in asked[1:]:
            question.errback(TooSlow(frozen.name, 15.0))
        # From now on it has one question at a time, for which nobody waits.
        for _ in range(3):
            held, silent = await grid.selector.everywhere(INDEX)
            self.assertEqual((len(held), silent), (3, [frozen]))
        self.assertEqual(len(asked), 4)
        asked[-1].callback(None)
        frozen.mood = calm
        await until(lambda: not grid.selector._looks._silent)
        held, silent = await grid.selector.everywhere(INDEX)
        self.assertEqual((len(held), silent), (4, []))

    async def test_many_silent_servers(self) -> None:
        """When many are silent the fault may be ours: then all are waited for."""
        grid = Grid.new(self, servers=4)
        grid.selector._looks._silent |= set(grid.servers[:2])
        waiting: list[Deferred[None]] = []

        async def mood(call: str, share: int) -> None:
            waiting.append(Deferred())
            await waiting[-1]

        for server in grid.servers[:2]:
            server.mood = mood
        look = Deferred.fromCoroutine(grid.selector.everywhere(INDEX))
        await until(lambda: len(waiting) == 2)
        self.assertNoResult(look)
        # With one of four it is hardly ours.
        waiting[0].callback(None)
        held, silent = await look
        self.assertEqual((len(held), len(silent)), (3, 1))
        waiting[1].callback(None)
        await until(lambda: not grid.selector._looks._silent)
