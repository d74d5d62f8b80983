"""When a server is looked for over HTTPS."""

from __future__ import annotations

from typing import Any

from foolscap.api import Tub
from foolscap.util import allocate_tcp_port
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, calm, failing, hanging, pause, until
from tests.storage.gbs_served import Served, certificate, listen, new_client
from truckee.grid.transports import (
    Address,
    FoolscapTransport,
    Greeting,
    HttpsTransport,
    Pace,
)
from truckee.node.tub import make_tub
from truckee.storage.foolscap_client import FoolscapServer
from truckee.storage.foolscap_server import FoolscapStorage
from truckee.storage.gbs_schema import Nurl
from truckee.storage.interfaces import NotConnected
from truckee.storage.limited import LimitedServer

PACE = Pace(patience=5, longest=60)


class Dead(Factory):
    """Takes nobody in."""

    noisy = False
    calls = 0

    def buildProtocol(self, addr: Any) -> None:
        self.calls += 1


class KnockTests(TestCase):
    timeout = 120

    async def test_knock(self) -> None:
        """A server that is away is soon there again for whoever asks for it."""
        theirs, ours = (make_tub(Tub().getCertData()) for _ in range(2))
        for tub in (theirs, ours):
            tub.startService()
            self.addCleanup(tub.stopService)
        port = allocate_tcp_port()
        theirs.setLocation(f"tcp:127.0.0.1:{port}")
        served = Served.new(self)
        furl = theirs.registerReference(FoolscapStorage(served.disk, REACTOR))
        heard: list[Greeting] = []
        server = FoolscapServer("far", b"p" * 20, b"l" * 20)
        limited = LimitedServer(server, REACTOR)
        way = FoolscapTransport(
            server, limited, furl, ours, heard.append, lambda: None, REACTOR, None
        )
        way.start()
        self.addCleanup(way.stop)
        way._reconnector.factor = 1000
        await until(lambda: (way._reconnector.getDelayUntilNextAttempt() or 0) > 30)
        theirs.listenOn(f"tcp:{port}:interface=127.0.0.1")
        for _ in range(2):
            with self.assertRaises(NotConnected):
                await server.ask("get_version")
        await until(lambda: heard)
        self.assertTrue(way.connected)


class LookTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.served = Served.new(self)
        self.clock = Clock()
        self.heard: list[Greeting] = []
        self.way = self.new_way(self.served.nurl)

    def address(self, nurl: Nurl) -> Address:
        server = new_client(self, nurl)
        return Address(nurl, server, LimitedServer(server, REACTOR))

    def new_way(self, *nurls: Nurl) -> HttpsTransport:
        addresses = [self.address(nurl) for nurl in nurls]
        way = HttpsTransport(addresses, self.clock, PACE, self.heard.append)
        self.addCleanup(way.stop)
        return way

    async def look(self) -> float:
        """Let it look for the server; return how long it waits then."""
        self.clock.advance(await self.pause())
        return await self.pause()

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
        # It promised that its shares last, as stock servers do not.
        self.assertTrue(self.heard[0].durable)

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

    async def test_dead_address(self) -> None:
        """Where one address is dead the next is tried at once, and kept when it answers."""
        dead = Dead()
        nowhere = listen(self, dead, certificate())
        way = self.new_way(nowhere, self.served.nurl, nowhere)
        way.start(0)
        for looks in range(1, 4):
            self.assertEqual(await self.look(), 60)
            self.assertTrue(way.connected)
            self.assertEqual(way.nurl, self.served.nurl)
            self.assertEqual(await way.limited.buckets(b"i" * 16), {})
            self.assertEqual(len(self.heard), looks)
            self.assertEqual(dead.calls, 1)

    async def test_addresses_in_turn(self) -> None:
        """An address is used until it does not answer; all are tried before the pause."""
        other = Served.new(self)
        first, second = self.served, other
        way = self.new_way(first.nurl, second.nurl)
        way.start(0)
        for now, then in ((first, second), (second, first), (first, second)):
            self.assertEqual(await self.look(), 60)
            self.assertEqual(way.nurl, now.nurl)
            now.disk.mood = failing("available_space")
            self.assertEqual(await self.look(), 60)
            self.assertEqual(way.nurl, then.nurl)
            # That the other is back is no reason to leave this one.
            now.disk.mood = calm
        second.disk.mood = first.disk.mood = failing("available_space")
        self.assertEqual(await self.look(), 5)
        self.assertEqual(await self.look(), 10)
        self.assertFalse(way.connected)
        first.disk.mood = calm
        self.assertEqual(await self.look(), 60)
        self.assertEqual(way.nurl, first.nurl)
        self.flushLoggedErrors(OSError)

    async def test_moves(self) -> None:
        """What is announced anew changes nothing at an address that stays."""
        other = Served.new(self)
        self.way.start(0)
        await self.look()
        limited = self.way.limited
        news = [self.address(other.nurl), self.address(self.served.nurl)]
        news[1].server.permutation_seed = b"another"
        self.way.hear(news)
        self.assertTrue(self.way.connected)
        self.assertIs(self.way.limited, limited)
        self.assertEqual(limited.permutation_seed, b"another")
        self.served.disk.mood = failing("available_space")
        self.assertEqual(await self.look(), 60)
        self.assertIs(self.way.limited, news[0].limited)
        self.way.hear(news[:1])
        self.assertEqual(await self.look(), 60)
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
