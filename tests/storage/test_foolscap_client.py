"""Our foolscap client and server, over a real connection on loopback."""

from __future__ import annotations

from typing import Any, cast

from attrs import define, field
from foolscap.api import Referenceable
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.grids import (
    OTHER_SECRETS,
    SECRETS,
    files_below,
    new_directory,
    new_workers,
    until,
)
from tests.ports import free_port
from truckee.codec import base32
from truckee.node.tub import make_tub
from truckee.storage.foolscap_client import FoolscapServer
from truckee.storage.foolscap_schema import (
    AVAILABLE_SPACE,
    MAX_SHARE_SIZE,
    PROTOCOL,
    RIBucketReader,
    RIStorageServer,
    serves,
)
from truckee.storage.foolscap_server import FoolscapStorage
from truckee.storage.interfaces import (
    Allocation,
    BadAnswer,
    CallFailed,
    IStorageServer,
    NotConnected,
)
from truckee.storage.quotas import IDLE_LIMIT
from truckee.storage.server import DiskServer
from truckee.storage.sharefiles import ShareDirectory

INDEX = b"i" * 16


@define(eq=False)
class Loopback:
    """A tub that listens; whoever knows a furl of it can connect."""

    tub: Any = field(factory=lambda: make_tub(None))

    def __attrs_post_init__(self) -> None:
        self.tub.startService()
        port = free_port()
        self.tub.listenOn(f"tcp:{port}:interface=127.0.0.1")
        self.tub.setLocation(f"tcp:127.0.0.1:{port}")

    def register(self, thing: Referenceable) -> str:
        """Serve *thing*; return its furl."""
        return str(self.tub.registerReference(thing))

    async def stop(self) -> None:
        """Serve nothing any more."""
        await self.tub.stopService()


@define(eq=False)
class Client:
    """A tub of a client."""

    tub: Any = field(factory=lambda: make_tub(None))

    def __attrs_post_init__(self) -> None:
        self.tub.startService()

    async def connect(self, furl: str) -> FoolscapServer:
        """Return the storage server at *furl*."""
        remote = await self.tub.getReference(furl)
        return FoolscapServer("far", b"p" * 20, b"l" * 20, remote)

    async def stop(self) -> None:
        """Break all connections; may be called twice."""
        if self.tub.running:
            await self.tub.stopService()


def new_disk(case: TestCase) -> DiskServer:
    """Return a server over a directory."""
    disk = DiskServer(
        name="disk",
        permutation_seed=b"p" * 20,
        lease_seed=b"l" * 20,
        directory=ShareDirectory(new_directory(case)),
        disk=new_workers(case),
        now=lambda: 1e9,
    )
    disk.start()
    return disk


def serve(case: TestCase, thing: Referenceable) -> str:
    """Serve *thing* until the test ends; return its furl."""
    loopback = Loopback()
    case.addCleanup(lambda: Deferred.fromCoroutine(loopback.stop()))
    return loopback.register(thing)


def new_client(case: TestCase) -> Client:
    """Return a client that is there until the test ends."""
    client = Client()
    case.addCleanup(lambda: Deferred.fromCoroutine(client.stop()))
    return client


class _Case(TestCase):
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        self.disk = new_disk(self)
        self.clock = Clock()
        self.furl = serve(self, FoolscapStorage(self.disk, self.clock))
        self.client = new_client(self)
        self.server = await self.client.connect(self.furl)

    def incoming(self) -> list[str]:
        root = self.disk.directory.root / "shares" / "incoming"
        return [path.name for path in files_below(root)]

    async def refused(self, method: str, *arguments: object) -> CallFailed:
        """Call the server past our client, which would not say such things."""
        with self.assertRaises(CallFailed) as caught:
            await self.server.call(self.server.remote, method, *arguments)
        self.assertNotIn(str(self.disk.directory.root), str(caught.exception))
        error: CallFailed = caught.exception
        return error


@define(eq=False)
class _Slow:
    """A disk that is asked for shares and makes them later."""

    disk: DiskServer
    asked: Deferred[None] = field(factory=Deferred, init=False)
    go: Deferred[None] = field(factory=Deferred, init=False)
    allocated: Deferred[None] = field(factory=Deferred, init=False)

    async def available_space(self) -> int:
        return await self.disk.available_space()

    async def allocate(self, *arguments: Any) -> Allocation:
        self.asked.callback(None)
        await self.go
        answer = await self.disk.allocate(*arguments)
        self.allocated.callback(None)
        return answer


class WriterTests(_Case):
    async def test_client_gone(self) -> None:
        """When the client's connection is lost, what it was writing is removed."""
        answer = await self.server.allocate(INDEX, SECRETS, {0, 1}, 8)
        await answer.writers[0].write(0, [b"1234"])
        self.assertEqual(sorted(self.incoming()), ["0", "1"])
        await self.client.stop()
        await until(lambda: not self.incoming())
        self.assertEqual(await self.disk.buckets(INDEX), {})
        # And nothing waits for a time when they are idle.
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_client_gone_while_it_asks(self) -> None:
        """Also when the connection is lost before the writers were handed out."""
        slow = _Slow(self.disk)
        furl = serve(self, FoolscapStorage(cast(IStorageServer, slow), self.clock))
        server = await self.client.connect(furl)
        asking = Deferred.fromCoroutine(server.allocate(INDEX, SECRETS, {0}, 8))
        await slow.asked
        await self.client.stop()
        with self.assertRaises(NotConnected):
            await asking
        slow.go.callback(None)
        await slow.allocated
        self.assertEqual(self.incoming(), ["0"])
        await until(lambda: not self.incoming())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_idle(self) -> None:
        """A share that nobody wrote to for half an hour is given up."""
        answer = await self.server.allocate(INDEX, SECRETS, {0, 1}, 8)
        self.clock.advance(IDLE_LIMIT - 1)
        await answer.writers[0].write(0, [b"1234"])
        self.clock.advance(2)
        await until(lambda: self.incoming() == ["0"])
        with self.assertRaises(CallFailed):
            await answer.writers[1].write(0, [b"1234"])
        await answer.writers[0].close(8)
        self.clock.advance(IDLE_LIMIT)
        self.assertEqual(list(await self.disk.buckets(INDEX)), [0])

    async def test_order(self) -> None:
        """Calls that were sent one after the other take effect in that order."""
        answer = await self.server.allocate(INDEX, SECRETS, {0}, 300)
        writer = answer.writers[0]
        calls = [
            Deferred.fromCoroutine(writer.write(0, [bytes([number]) * 300]))
            for number in range(20)
        ]
        calls.append(Deferred.fromCoroutine(writer.close(300)))
        for call in calls:
            await call
        [reader] = (await self.server.buckets(INDEX)).values()
        self.assertEqual(await reader.read(0, 300), bytes([19]) * 300)

    async def test_early_close(self) -> None:
        """A share closed early has its allocated length."""
        answer = await self.server.allocate(INDEX, SECRETS, {0}, 8, open_ended=True)
        await answer.writers[0].write(0, [b"1234"])
        await answer.writers[0].close(4)
        [reader] = (await self.server.buckets(INDEX)).values()
        self.assertEqual(await reader.read(0, 100), b"1234" + bytes(4))

    async def test_bad_writes(self) -> None:
        """Writes that make no sense are refused, and the share goes on."""
        remote = (
            await self.server.call(
                self.server.remote,
                "allocate_buckets",
                INDEX,
                SECRETS.renew,
                SECRETS.cancel,
                {0},
                8,
                Referenceable(),
            )
        )[1][0]
        for offset, data in ((-1, b"x"), (0, b""), (8, b"x"), (0, b"123456789")):
            with self.assertRaises(CallFailed):
                await self.server.call(remote, "write", offset, data)
        await self.server.call(remote, "write", 0, b"12345678")
        await self.server.call(remote, "close")
        with self.assertRaises(CallFailed):
            await self.server.call(remote, "close")
        await self.server.call(remote, "abort")
        [reader] = (await self.server.buckets(INDEX)).values()
        self.assertEqual(await reader.read(0, 8), b"12345678")


class RefusedTests(_Case):
    async def test_storage_indexes(self) -> None:
        """A storage index has 16 bytes and share numbers are 0 to 255, in every call."""
        secrets = (SECRETS.renew, SECRETS.cancel)
        for index, shares, size in (
            (b"short", {0}, 1),
            (b"", {0}, 1),
            (INDEX, {256}, 1),
            (INDEX, {-1}, 1),
            (INDEX, {0}, -1),
        ):
            await self.refused(
                "allocate_buckets", index, *secrets, shares, size, Referenceable()
            )
        await self.refused("get_buckets", b"short")
        await self.refused("add_lease", b"short", *secrets)
        await self.refused("advise_corrupt_share", b"immutable", b"short", 0, b"")
        self.assertEqual(self.incoming(), [])

    async def test_mutable_files(self) -> None:
        """Where there are no slots, nobody can store in one."""
        vectors: list[tuple[int, int]] = [(0, 1)]
        read = self.server.call(self.server.remote, "slot_readv", INDEX, [], vectors)
        self.assertEqual(await read, {})
        secrets = (b"w" * 32, SECRETS.renew, SECRETS.cancel)
        await self.refused("slot_testv_and_readv_and_writev", INDEX, secrets, {}, vectors)

    async def test_readonly(self) -> None:
        """A read-only server says that it has no room, and takes nothing."""
        self.disk.readonly = True
        self.assertEqual(await self.server.available_space(), 0)
        answer = await self.server.allocate(INDEX, SECRETS, {0}, 1)
        self.assertEqual((set(answer.already), dict(answer.writers)), (set(), {}))

    async def test_bad_reads(self) -> None:
        """A negative offset is refused; a negative length reads nothing."""
        writer = (await self.server.allocate(INDEX, SECRETS, {0}, 1)).writers[0]
        await writer.close(1)
        found = await self.server.call(self.server.remote, "get_buckets", INDEX)
        with self.assertRaises(CallFailed):
            await self.server.call(found[0], "read", -1, 1)
        self.assertEqual(await self.server.call(found[0], "read", 0, -1), b"")


class ReportTests(_Case):
    async def test_advice(self) -> None:
        """A report reaches the operator, if the share is here."""
        writer = (await self.server.allocate(INDEX, SECRETS, {0}, 1)).writers[0]
        await writer.close(1)
        await self.server.advise_corrupt(INDEX, 7, "no such share")
        self.assertEqual(self.notes(), [])
        await self.server.advise_corrupt(INDEX, 0, "a bad block")
        [note] = self.notes()
        self.assertIn("a bad block", note)

    async def test_any_words(self) -> None:
        """A report may have any bytes; the first of them are kept."""
        writer = (await self.server.allocate(INDEX, SECRETS, {0}, 1)).writers[0]
        await writer.close(1)
        found = await self.server.call(self.server.remote, "get_buckets", INDEX)
        await found[0].callRemote("advise_corrupt_share", b"\xff" * 100_000)
        [note] = self.notes()
        self.assertLess(len(note), 40_000)

    def notes(self) -> list[str]:
        return [
            path.read_text("utf-8")
            for path in self.disk.directory.root.rglob("*")
            if path.is_file() and "corruption-advisories" in path.parts
        ]

    async def test_version(self) -> None:
        """The version has what stock clients need, and counts the free bytes."""
        version = await self.server.call(self.server.remote, "get_version")
        self.assertTrue(version[b"application-version"].startswith(b"truckee/"))
        protocol = version[PROTOCOL]
        self.assertEqual(protocol[MAX_SHARE_SIZE], protocol[AVAILABLE_SPACE])
        self.assertGreater(protocol[AVAILABLE_SPACE], 0)

    async def test_leases(self) -> None:
        """Another client's lease is added to a finished share, once."""
        writer = (await self.server.allocate(INDEX, SECRETS, {0}, 1)).writers[0]
        await writer.close(1)
        for _ in range(2):
            await self.server.add_lease(INDEX, OTHER_SECRETS)
        [path] = self.disk.directory.home(INDEX).iterdir()
        self.assertEqual(path.stat().st_size, 12 + 1 + 2 * 72)


class ConnectionTests(_Case):
    async def test_no_connection(self) -> None:
        """Without a connection every call fails at once; aborting does not."""
        writer = (await self.server.allocate(INDEX, SECRETS, {0}, 1)).writers[0]
        await self.client.stop()
        for call in (
            self.server.available_space(),
            self.server.buckets(INDEX),
            writer.write(0, [b"x"]),
            writer.close(1),
        ):
            with self.assertRaises(NotConnected):
                await call
        await writer.abort()
        self.server.remote = None
        with self.assertRaises(NotConnected):
            await self.server.buckets(INDEX)

    async def test_tub(self) -> None:
        """The tub id in a furl is 20 bytes in base32."""
        tubid = self.furl.removeprefix("pb://").partition("@")[0]
        self.assertEqual(len(base32.decode(tubid)), 20)


@serves(RIBucketReader)
class _Liar(Referenceable):  # type: ignore[misc]
    def remote_read(self, offset: int, length: int) -> bytes:
        return bytes(length + 1)


@serves(RIStorageServer)
class _BadServer(Referenceable):  # type: ignore[misc]
    """Answers what the schema lets through."""

    version: Any = None

    def remote_get_version(self) -> object:
        return self.version

    def remote_get_buckets(self, storage_index: bytes) -> object:
        return {0: _Liar()}

    def remote_add_lease(self, *_: object) -> object:
        raise RuntimeError("a\nlong" + "x" * 5000)

    def remote_allocate_buckets(self, *_: object) -> object:
        return set(), {}


class BadServerTests(TestCase):
    """What a server says is not believed."""

    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        self.bad = _BadServer()
        furl = serve(self, self.bad)
        self.server = await new_client(self).connect(furl)

    async def test_versions(self) -> None:
        """A version without free space is no answer."""
        versions: tuple[dict[bytes, Any], ...] = (
            {},
            {PROTOCOL: 5},
            {PROTOCOL: {}},
            {PROTOCOL: {AVAILABLE_SPACE: b"1"}},
        )
        for version in versions:
            self.bad.version = version
            with self.assertRaises(BadAnswer):
                await self.server.available_space()

    async def test_too_much(self) -> None:
        """More bytes than were asked for are no answer."""
        [reader] = (await self.server.buckets(INDEX)).values()
        with self.assertRaises(BadAnswer):
            await reader.read(0, 10)

    async def test_words(self) -> None:
        """The server's own words on its error are one short line."""
        with self.assertRaises(CallFailed) as caught:
            await self.server.add_lease(INDEX, SECRETS)
        self.assertNotIn("\n", str(caught.exception))
        self.assertLess(len(str(caught.exception)), 400)
