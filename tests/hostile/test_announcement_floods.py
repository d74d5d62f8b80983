"""Whoever is in a grid announces too much, too often, or addresses that are not his."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.grids import REACTOR, new_directory, new_workers, pause, until
from tests.storage.test_foolscap_client import new_client
from truckee.codec import base32
from truckee.grid.addresses import AddressPolicy, Reach
from truckee.grid.announced import BURST, INTERVAL
from truckee.grid.announcements import Announcement, Envelope, parse_fields, sign
from truckee.grid.guarded import GuardedReactor
from truckee.grid.introducer import IntroducerClient
from truckee.grid.pool import ServerPool
from truckee.grid.transports import Dialer
from truckee.node.announcement_cache import AnnouncementCache
from truckee.node.peers import load_cache
from truckee.status.problems import Problems

TUB = base32.encode(bytes(20))


def envelope(key: Ed25519PrivateKey, **fields: object) -> Envelope:
    """Return a signed announcement."""
    furl = f"pb://{TUB}@tcp:127.0.0.1:1/swissnum"
    return sign(key, {"anonymous-storage-FURL": furl, **fields})


def keys(count: int) -> list[Ed25519PrivateKey]:
    """Return keys, the same each time."""
    return [
        Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big"))
        for number in range(count)
    ]


class FloodTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.heard: list[Announcement] = []
        self.introducer = IntroducerClient(
            "i", "pb://x", None, "nick", self.heard.append, self.clock
        )

    def test_one_key(self) -> None:
        """One server that announces itself 500 times is heard a few times, and its last."""
        [key] = keys(1)
        for seqnum in range(500):
            self.introducer.remote_announce_v2([envelope(key, seqnum=seqnum)])
        self.clock.advance(0)
        self.assertEqual(len(self.heard), BURST)
        self.clock.advance(INTERVAL)
        self.assertEqual(len(self.heard), BURST + 1)
        self.assertEqual(self.heard[-1].seqnum, 499)
        self.clock.advance(10 * INTERVAL)
        self.assertEqual(len(self.heard), BURST + 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_too_large(self) -> None:
        """What is too large to be of a server is not kept in memory."""
        for large in ((bytes(1 << 20), b"", b""), (b"", bytes(1 << 20), b"")):
            self.introducer.remote_announce_v2([large] * 10)
            self.assertEqual(len(self.introducer._queue), 0)

    def test_in_turns(self) -> None:
        """Many at once are looked at in turns, between which others have theirs."""
        hasty = _Hasty()
        self.introducer._clock = hasty
        self.introducer.remote_announce_v2([envelope(key) for key in keys(20)])
        while hasty.calls:
            hasty.advance(1)
        self.assertEqual(len(self.heard), 20)
        self.assertGreaterEqual(hasty.turns, 20)

    def test_stop(self) -> None:
        """After the end nothing is heard."""
        self.introducer.remote_announce_v2([envelope(key) for key in keys(3)])
        self.introducer.stop()
        self.introducer.remote_announce_v2([envelope(key) for key in keys(3)])
        self.clock.advance(1000)
        self.assertEqual(self.heard, [])


class _Hasty(Clock):
    """Time that passes with every look at it."""

    turns = 0

    def callLater(self, *arguments: Any, **options: Any) -> Any:
        self.turns += 1
        return super().callLater(*arguments, **options)

    def seconds(self) -> float:
        self.rightNow += 1.0
        return self.rightNow


class CacheTests(TestCase):
    timeout = 120

    async def test_written_once(self) -> None:
        """200 announcements are one write of the cache, some time later."""
        writes: list[None] = []
        disk = new_workers(self, 1, lambda: writes.append(None))
        path = Path(new_directory(self)) / "cache.yaml"
        clock = Clock()
        known: dict[str, Announcement] = {}
        cache = AnnouncementCache(path, lambda: known, disk, clock)
        for number in range(200):
            fields = {"anonymous-storage-FURL": f"pb://{TUB}@tcp:127.0.0.1:1/x"}
            known[str(number)] = parse_fields(str(number), fields)
            cache.changed()
        self.assertFalse(path.exists())
        clock.advance(3)
        await until(path.exists)
        await until(lambda: len(load_cache(path)) == 200)
        self.assertEqual(len(writes), 1)
        await until(lambda: cache._writing is None)
        cache.changed()
        clock.advance(3)
        await pause()
        self.assertEqual(len(writes), 1)
        known.clear()
        await cache.stop()
        self.assertEqual(load_cache(path), [])

    async def test_disk(self) -> None:
        """While the disk takes nothing that is a problem, and then it is written."""
        disk, clock, path = new_workers(self, 1), Clock(), new_directory(self) / "p" / "c"
        problems = Problems(lambda: 0.0)
        known = {
            "a": parse_fields("a", {"anonymous-storage-FURL": f"pb://{TUB}@tcp:a:1/x"})
        }
        cache = AnnouncementCache(path, lambda: known, disk, clock, problems)
        cache.changed()
        clock.advance(3)
        await until(lambda: "private/c" in problems)
        await until(lambda: cache._writing is None)
        path.parent.mkdir()
        clock.advance(15)
        await until(lambda: not problems)
        self.assertEqual(len(load_cache(path)), 1)
        await cache.stop()


class AddressTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.came: list[object] = []

        class Listener(Protocol):
            def connectionMade(protocol) -> None:
                self.came.append(protocol)
                assert protocol.transport is not None
                protocol.transport.loseConnection()

        port = REACTOR.listenTCP(0, Factory.forProtocol(Listener), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.port = port.getHost().port

    async def test_own_ports(self) -> None:
        """An introducer far away cannot have us connect to our own ports, by no name."""
        dialer = Dialer.guarded(
            new_client(self).tub, REACTOR, os.urandom, AddressPolicy(Reach.PUBLIC)
        )
        pool = ServerPool(dialer, lambda: 0.0)
        self.addCleanup(pool.stop)
        for number, host in enumerate(("127.0.0.1", "[::ffff:127.0.0.1]", "localhost")):
            nurl = f"pb://{'a' * 43}@{host}:{self.port}/swissnum#v=1"
            furl = f"pb://{TUB}@tcp:{host}:{self.port}/swissnum"
            fields = {"anonymous-storage-FURL": furl, "anonymous-storage-NURLs": [nurl]}
            pool.heard(parse_fields(str(number), fields))
            self.assertFalse(pool.known[str(number)].announcement.has_hints)
            self.assertEqual(pool.known[str(number)].announcement.nurls, ())
        await pause(0.1)
        self.assertEqual(self.came, [])

    async def test_resolved(self) -> None:
        """A name is looked at when it was resolved: it can say what it likes before."""
        guarded = GuardedReactor(REACTOR, AddressPolicy(Reach.PUBLIC))
        endpoint = HostnameEndpoint(guarded, "localhost", self.port)
        connecting = endpoint.connect(Factory.forProtocol(Protocol))
        await self.assertFailure(connecting, ConnectError)
        self.assertEqual(self.came, [])
        near = GuardedReactor(REACTOR, AddressPolicy(Reach.LOOPBACK))
        endpoint = HostnameEndpoint(near, "127.0.0.1", self.port)
        await endpoint.connect(Factory.forProtocol(Protocol))
        await until(lambda: self.came)
