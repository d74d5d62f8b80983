"""Connections over foolscap: peers without a swissnum, and with one, that take memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from foolscap.api import SturdyRef
from foolscap.banana import int2b128
from foolscap.tokens import INT, OPEN, PING, STRING
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    connectProtocol,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, SECRETS, pause, put_share, until
from tests.ports import free_port
from tests.storage.test_foolscap_client import new_client, new_disk
from truckee.net.connection_admission import Admission, AdmissionLimits
from truckee.net.foolscap.connection_bounds import ConnectionBounds, ConnectionLimits
from truckee.net.port_sharing import SharedEndpoint
from truckee.node.tub import make_tub
from truckee.storage.foolscap_client import FoolscapServer
from truckee.storage.foolscap_server import FoolscapStorage
from truckee.storage.sharefiles import ShareFile

KIB, MIB = 1 << 10, 1 << 20
INDEX = b"i" * 16


def number(value: int) -> bytes:
    """Return a number as foolscap writes it in front of a token's type."""
    found: list[bytes] = []
    int2b128(value, found.append)
    joined: bytes = b"".join(found)
    return joined


def begun_string(size: int) -> bytes:
    """Return the beginning of a call, up to a string of *size* bytes."""
    name = b"call"
    begun = number(0) + OPEN + number(len(name)) + STRING + name
    return bytes(begun + number(1) + INT + number(0) + INT + number(size) + STRING)


class _Silent(Protocol):
    """A connection on which nothing is said."""

    lost = False

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True


class _Case(TestCase):
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        self.limits = ConnectionLimits(unfinished=8 * MIB)
        self.bounds = ConnectionBounds(REACTOR.seconds, self.limits)
        self.admission = Admission(
            REACTOR, AdmissionLimits(strangers_of_address=8, stranger_time=2.0)
        )
        self.tub = make_tub(None, bounds=self.bounds)
        self.tub.bounds_known = self.admission.proved
        self.tub.startService()
        self.addCleanup(self.tub.stopService)
        port = free_port()
        self.port = port
        inner = TCP4ServerEndpoint(REACTOR, port, interface="127.0.0.1")
        self.tub.listenOn(SharedEndpoint(inner, REACTOR, admission=self.admission))
        self.tub.setLocation(f"tcp:127.0.0.1:{port}")
        self.disk = new_disk(self)
        self.storage = FoolscapStorage(self.disk, REACTOR)
        self.furl = self.tub.registerReference(self.storage)

    async def stranger(self) -> Any:
        """Return the connection of a peer that knows no swissnum."""
        client = new_client(self)
        reference = SturdyRef(self.furl).getTubRef()
        broker: Any = await client.tub.getBrokerForTubRef(reference)
        return broker

    async def silent(self) -> _Silent:
        """Return a connection of one who says nothing."""
        endpoint = TCP4ClientEndpoint(REACTOR, "127.0.0.1", self.port)
        found: _Silent = await connectProtocol(endpoint, _Silent())
        self.addCleanup(found.transport.abortConnection)  # type: ignore[union-attr]
        return found

    async def known(self) -> tuple[FoolscapServer, Any]:
        """Return the server as a client with the furl sees it, and the connection."""
        server = await new_client(self).connect(self.furl)
        return server, server.remote.tracker.broker

    async def version(self) -> None:
        """Be an honest client."""
        server, _ = await self.known()
        self.assertGreater(await server.available_space(), 0)


class StrangerTests(_Case):
    async def test_unfinished_string(self) -> None:
        """A few KiB are kept of what a peer sends that has shown no swissnum."""
        brokers = [await self.stranger() for _ in range(4)]
        for broker in brokers:
            broker.transport.write(begun_string(64 * MIB) + b"x" * MIB)
        await until(lambda: all(broker.disconnected for broker in brokers))
        self.assertLess(self.bounds.unfinished, 64 * KIB)
        await self.version()
        self.flushLoggedErrors()

    async def test_many(self) -> None:
        """The oldest strangers go when there are many, and all of them in time."""
        silent = [await self.silent() for _ in range(12)]
        await until(lambda: sum(each.lost for each in silent) >= 4)
        self.assertEqual([each.lost for each in silent[-4:]], [False] * 4)
        self.assertLessEqual(self.admission.strangers, 8)
        server, broker = await self.known()
        await until(lambda: not self.admission.strangers)
        await until(lambda: all(each.lost for each in silent))
        self.assertFalse(broker.disconnected)
        self.assertGreater(await server.available_space(), 0)


class KnownTests(_Case):
    async def test_unfinished_strings(self) -> None:
        """Of messages that are not whole only so much is kept; the slowest goes."""
        greedy = [(await self.known())[1] for _ in range(4)]
        for broker in greedy[:3]:
            broker.transport.write(begun_string(6 * MIB) + b"x" * (3 * MIB))
        await until(lambda: sum(broker.disconnected for broker in greedy) >= 1)
        self.assertLessEqual(self.bounds.unfinished, 8 * MIB)
        self.assertFalse(greedy[3].disconnected)
        await self.version()

    async def test_too_long(self) -> None:
        """Nothing is longer than the longest message."""
        _, broker = await self.known()
        broker.transport.write(begun_string(1 << 40) + b"x" * (9 * MIB))
        await until(lambda: broker.disconnected)

    async def test_pings(self) -> None:
        """One who asks all the time whether we live keeps nobody waiting."""
        _, broker = await self.known()
        honest, _ = await self.known()
        broker.transport.write(PING * (16 * KIB))
        began, longest = REACTOR.seconds(), 0.0
        for _ in range(10):
            asked = REACTOR.seconds()
            await honest.available_space()
            longest = max(longest, REACTOR.seconds() - asked)
        # Without turns it is the time of all that one read brings, many times over.
        self.assertLess(longest, 2.0)
        self.assertGreater(REACTOR.seconds(), began)

    async def test_slow_disk(self) -> None:
        """What a disk does not take yet waits at its sender, and is written in the end."""
        go: Deferred[None] = Deferred()
        count, size = 40, MIB
        server, _ = await self.known()
        answer = await server.allocate(INDEX, SECRETS, {0}, count * size)
        inner = self.disk._writers[INDEX, 0]
        assert inner is not None
        writing = inner.write

        async def slow(*arguments: Any) -> None:
            await go
            await writing(*arguments)

        bucket = next(
            each
            for each in self._referenceables()
            if getattr(each, "_writer", None) is inner
        )
        bucket._writer = _Slow(slow, inner)
        writes = [
            Deferred.fromCoroutine(answer.writers[0].write(number * size, [b"x" * size]))
            for number in range(count)
        ]
        await until(lambda: self.bounds.paused)
        await pause(0.2)
        self.assertLess(self.bounds.calls, self.limits.calls + 2 * MIB)
        # Others are served.
        await self.version()
        go.callback(None)
        for write in writes:
            await write
        await answer.writers[0].close(count * size)
        share = (await self.disk.buckets(INDEX))[0]
        self.assertEqual(await share.read((count - 1) * size, size + 1), b"x" * size)

    def _referenceables(self) -> list[Any]:
        """Return what was given to peers."""
        found: list[Any] = []
        for broker in self.tub.brokers.values():
            found += [tracker.obj for tracker in broker.myReferenceByCLID.values()]
        return found


class _Slow:
    """A writer whose writes wait."""

    def __init__(self, write: Callable[..., Any], inner: Any) -> None:
        self.write = write
        self.close = inner.close
        self.abort = inner.abort


class ReadTests(_Case):
    async def test_long(self) -> None:
        """A read of any length is answered whole, with little of it in memory."""
        size = 24 * MIB + 5
        data = bytes(range(251)) * (size // 251 + 1)
        put_share(self.disk, INDEX, 0, data[:size])
        server, _ = await self.known()
        remote = (await server.buckets(INDEX))[0]._remote  # type: ignore[attr-defined]
        reads = [remote.callRemote("read", 3, 1 << 40), remote.callRemote("read", 0, size)]
        # Smaller ones come behind it, in order.
        reads += [
            remote.callRemote("read", size - 3, 10),
            remote.callRemote("read", 0, MIB),
        ]
        reads += [remote.callRemote("read", size, 2 * MIB)]
        found = [await read for read in reads]
        self.assertEqual([len(each) for each in found], [size - 3, size, 3, MIB, 0])
        self.assertEqual(found[0], data[3:size])
        self.assertEqual(found[1], data[:size])
        self.assertEqual(found[2:4], [data[size - 3 : size], data[:MIB]])
        self.assertEqual(self.storage._answers._ready.used, 0)

    async def test_unread(self) -> None:
        """One who does not take what it asked for has little of it in our memory."""
        read: list[int] = []
        size = 64 * MIB
        put_share(self.disk, INDEX, 0, b"s" * size)
        server, broker = await self.known()
        remote = (await server.buckets(INDEX))[0]._remote  # type: ignore[attr-defined]
        whole = ShareFile.read

        def counted(file: ShareFile, offset: int, length: int) -> bytes:
            found = whole(file, offset, length)
            read.append(len(found))
            return found

        self.patch(ShareFile, "read", counted)
        broker.transport.pauseProducing()
        for start in range(2):
            remote.callRemote("read", start, size).addErrback(lambda _: None)
        for start in range(100):
            remote.callRemote("read", start * 1000, MIB).addErrback(lambda _: None)
        await pause(1.0)
        # The system has some megabytes of it.
        self.assertLess(sum(read), 32 * MIB)
        await self.version()
