"""When a server is looked for over HTTPS."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, calm, failing, hanging, pause, until
from tests.storage.gbs_served import Served, new_client
from truckee.grid.transports import Greeting, HttpsTransport, Pace
from truckee.storage.limited import LimitedServer

PACE = Pace(patience=5, longest=60)


class LookTests(TestCase):
    timeout = 30

    def setUp(self) -> None:
        self.served = Served.new(self)
        self.clock = Clock()
        self.heard: list[Greeting] = []
        server = new_client(self, self.served.nurl)
        limited = LimitedServer(server, REACTOR)
        self.way = HttpsTransport(
            server, limited, self.served.nurl, self.clock, PACE, self.heard.append
        )
        self.addCleanup(self.way.stop)

    async def pause(self) -> float:
        """Return how long it waits when it has looked."""
        await until(self.clock.getDelayedCalls)
        [call] = self.clock.getDelayedCalls()
        return call.getTime() - self.clock.seconds()

    async def test_there(self) -> None:
        """A server that is there is looked at every minute."""
        self.way.start(5)
        self.assertEqual(await self.pause(), 5)
        self.assertFalse(self.way.connected)
        for looks in range(1, 4):
            self.clock.advance(await self.pause())
            self.assertEqual(await self.pause(), 60)
            self.assertTrue(self.way.connected)
            self.assertEqual(len(self.heard), looks)

    async def test_not_there(self) -> None:
        """One that is not there is looked for more and more rarely, and never given up."""
        self.served.disk.mood = failing("available_space")
        self.way.start(0)
        waits = []
        for _ in range(7):
            self.clock.advance(await self.pause())
            waits.append(await self.pause())
            self.assertFalse(self.way.connected)
        self.assertEqual(waits, [5, 10, 20, 40, 60, 60, 60])
        self.served.disk.mood = calm
        self.clock.advance(60)
        self.assertEqual(await self.pause(), 60)
        self.assertTrue(self.way.connected)
        # Once it was there, a short absence is soon over.
        self.served.disk.mood = failing("available_space")
        self.clock.advance(60)
        self.assertEqual(await self.pause(), 5)
        self.assertFalse(self.way.connected)
        self.flushLoggedErrors(OSError)

    async def test_rest(self) -> None:
        """At rest it looks no more, whatever it was doing, and can start again."""
        self.way.rest()
        self.way.start(5)
        self.way.rest()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        # While the address of a name is found out.
        self.way.start(0)
        self.clock.advance(0)
        self.way.rest()
        await pause(0.05)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        asked: Deferred[None] = Deferred()

        async def mood(operation: str, share: int) -> None:
            asked.callback(None)
            await hanging("available_space")(operation, share)

        self.served.disk.mood = mood
        self.way.start(0)
        self.clock.advance(0)
        await asked
        self.way.rest()
        await pause(0.05)
        self.assertEqual((self.clock.getDelayedCalls(), self.heard), ([], []))
        self.served.disk.mood = calm
        self.way.start(0)
        self.way.start(1)
        self.clock.advance(1)
        self.assertEqual(await self.pause(), 60)
        self.assertEqual(len(self.heard), 1)
