"""Foolscap and HTTPS on one port."""

from __future__ import annotations

from typing import Any

from foolscap.api import Tub, flushEventualQueue
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.grids import REACTOR, SECRETS, new_directory, new_server, new_workers, pause
from tests.ports import free_port
from tests.storage.gbs_served import certificate, new_client, stop
from truckee.net.port_sharing import SharedEndpoint
from truckee.storage.foolscap_client import FoolscapServer
from truckee.storage.foolscap_server import FoolscapStorage
from truckee.storage.gbs_schema import nurls_of
from truckee.storage.gbs_server import GbsStorage, certificate_hash
from truckee.storage.interfaces import IStorageServer

INDEX = b"i" * 16


class OnePortTests(TestCase):
    timeout = 120

    def tub(self, key: bytes | None = None) -> Any:
        """Return a running tub that is stopped when the test ends."""
        tub = Tub(certData=key)
        tub.setOption("expose-remote-exception-types", False)
        tub.startService()
        self.addCleanup(self.stop_tub, tub)
        return tub

    def stop_tub(self, tub: Any) -> Deferred[None]:
        stopped: Deferred[None] = tub.stopService()
        stopped.addCallback(flushEventualQueue)
        return stopped.addCallback(lambda _: Deferred.fromCoroutine(pause(0.02)))

    async def test_both(self) -> None:
        """What a foolscap client stores an HTTPS client reads, and back, on one port."""
        disk = new_server(new_directory(self), new_workers(self))
        number = free_port()
        tub = self.tub(certificate())
        inner = TCP4ServerEndpoint(REACTOR, number, interface="127.0.0.1")
        shared = SharedEndpoint(inner, REACTOR)
        tub.listenOn(shared)
        tub.setLocation(f"tcp:127.0.0.1:{number}")
        furl = tub.registerReference(FoolscapStorage(disk, REACTOR))
        remote = await self.tub().getReference(furl)
        foolscap = FoolscapServer("foolscap", b"p", b"l" * 20, remote)
        (nurl,) = nurls_of(furl, certificate_hash(certificate()))
        storage = GbsStorage(disk, nurl.swissnum, REACTOR)
        self.addCleanup(stop, storage)
        shared.https = storage.https(certificate())
        https = new_client(self, nurl)
        servers: list[IStorageServer] = [foolscap, https]
        for number, server in enumerate(servers):
            answer = await server.allocate(INDEX, SECRETS, {number}, 1 << 20)
            # What one has in progress the other does not offer.
            other = await servers[1 - number].allocate(INDEX, SECRETS, {number}, 1 << 20)
            self.assertEqual(set(other.writers), set())
            await answer.writers[number].write(0, [bytes([number]) * (1 << 20)])
            await answer.writers[number].close(1 << 20)
        for server in servers:
            found = await server.buckets(INDEX)
            self.assertEqual(set(found), {0, 1})
            for number, reader in found.items():
                self.assertEqual(await reader.read(0, 2 << 20), bytes([number]) * (1 << 20))

    async def test_foolscap_alone(self) -> None:
        """Without HTTPS the port is foolscap's, and late joining is possible."""
        number = free_port()
        tub = self.tub(certificate())
        endpoint = TCP4ServerEndpoint(REACTOR, number, interface="127.0.0.1")
        tub.listenOn(SharedEndpoint(endpoint, REACTOR))
        tub.setLocation(f"tcp:127.0.0.1:{number}")
        disk = new_server(new_directory(self), new_workers(self))
        furl = tub.registerReference(FoolscapStorage(disk, REACTOR))
        remote = await self.tub().getReference(furl)
        server = FoolscapServer("foolscap", b"p", b"l" * 20, remote)
        self.assertGreater(await server.available_space(), 0)

    async def test_noise(self) -> None:
        """What is neither of the two is hung up on, and the port goes on."""
        disk = new_server(new_directory(self), new_workers(self))
        number = free_port()
        tub = self.tub(certificate())
        inner = TCP4ServerEndpoint(REACTOR, number, interface="127.0.0.1")
        storage = GbsStorage(disk, "s" * 32, REACTOR)
        shared = SharedEndpoint(inner, REACTOR, storage.https(certificate()))
        tub.listenOn(shared)
        for noise in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03" + bytes(100),
            b"GET /id/x\r\n\r\n",
        ):
            gone: Deferred[None] = Deferred()

            class Noisy(Protocol):
                def connectionLost(self, *_: Any, gone: Deferred[None] = gone) -> None:
                    gone.callback(None)

            client = TCP4ClientEndpoint(REACTOR, "127.0.0.1", number)
            noisy: Any = await client.connect(Factory.forProtocol(Noisy))
            noisy.transport.write(noise)
            await gone


class Recorder(Protocol):
    """Notes what it gets."""

    def __init__(self, log: list[bytes]) -> None:
        self.log = log

    def dataReceived(self, data: bytes) -> None:
        self.log.append(data)


class Recording(Factory):
    noisy = False

    def __init__(self) -> None:
        self.log: list[bytes] = []

    def buildProtocol(self, addr: Any) -> Recorder:
        return Recorder(self.log)


class SniffingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.foolscap, self.https = Recording(), Recording()
        reactor = MemoryReactorClock()
        endpoint = TCP4ServerEndpoint(reactor, 1)
        self.shared = SharedEndpoint(endpoint, self.clock, self.https)
        self.successResultOf(self.shared.listen(self.foolscap))
        self.factory: Any = reactor.tcpServers[0][1]

    def connect(self) -> Any:
        """Return the transport of a new connection."""
        transport: Any = StringTransport()
        transport.protocol = self.factory.buildProtocol(None)
        transport.protocol.makeConnection(transport)
        return transport

    def test_first_bytes(self) -> None:
        """The first eight bytes decide, in one piece or one by one; none is lost."""
        for first, log in (
            (b"GET /id/abc HTTP/1.1", self.foolscap.log),
            (b"GET /ix/abc HTTP/1.1", self.https.log),
            (b"\x16\x03\x01 the rest", self.https.log),
            (b"GET /id", None),
            (b"", None),
        ):
            for step in (1, 3, 100):
                self.foolscap.log.clear()
                self.https.log.clear()
                transport = self.connect()
                for start in range(0, len(first), step):
                    transport.protocol.dataReceived(first[start : start + step])
                got = self.foolscap.log, self.https.log
                self.assertEqual(
                    [b"".join(each) for each in got if each], [first][: log is not None]
                )
                if log is not None:
                    self.assertEqual(b"".join(log), first)

    def test_silence(self) -> None:
        """Who says too little is hung up on; who is known, or left, is not."""
        for known in (False, True):
            self.check_silence(known)

    def check_silence(self, known: bool) -> None:
        silent, decided, left = self.connect(), self.connect(), self.connect()
        silent.protocol.dataReceived(b"GET /")
        decided.protocol.dataReceived(b"\x16")
        left.connected = False
        left.protocol.connectionLost()
        if known:
            self.shared.admission.proved(decided)
        self.clock.advance(29)
        self.assertFalse(silent.disconnected)
        self.clock.advance(2)
        self.assertTrue(silent.disconnected)
        # It had as long to show that it knows the swissnum.
        self.assertEqual(decided.disconnected, not known)
        self.assertFalse(left.disconnected)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_read_size(self) -> None:
        """A known peer is read as before, unless who speaks with it reads it otherwise."""
        for chosen in (None, 100, 1 << 20):
            guest = self.connect()
            before = guest.bufferSize
            self.assertEqual(before, self.shared.admission.limits.stranger_read)
            if chosen is not None:
                guest.bufferSize = chosen
            self.shared.admission.proved(guest)
            self.assertEqual(guest.bufferSize, 0 if chosen is None else chosen)

    def test_nobody(self) -> None:
        """A factory that takes no connection closes it."""
        self.https.buildProtocol = lambda addr: None  # type: ignore[assignment, method-assign, return-value]
        transport = self.connect()
        transport.protocol.dataReceived(b"\x16")
        self.assertTrue(transport.disconnected)
