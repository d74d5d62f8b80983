"""Our client over HTTPS with a stock server, and with servers that lie."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Set
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import SkipTest

import cbor2
from attrs import define, evolve, field
from foolscap.api import Tub
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory
from twisted.internet.ssl import PrivateCertificate
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase

from tests.contracts import storage_server
from tests.contracts.storage_server import INDEX, OTHER
from tests.grids import OTHER_SECRETS, REACTOR, SECRETS, pause, until
from tests.integration.stock import TAHOE, StockNode, stock_node
from tests.storage.gbs_liars import OK, Liar, Lie, Lies, beginning, body, lying, saying
from tests.storage.gbs_served import Ends, certificate, close, listen, new_client, tub_id
from truckee.codec import base32
from truckee.codec.secrets import LeaseSecrets
from truckee.errors import Unavailable
from truckee.grid.announcements import tubid_of
from truckee.storage import gbs_schema
from truckee.storage.gbs_client import GbsServer
from truckee.storage.gbs_connection import WrongKey
from truckee.storage.gbs_schema import Nurl
from truckee.storage.gbs_server import certificate_hash, tls_options
from truckee.storage.gbs_writer import GbsWriter, WriteRequest
from truckee.storage.interfaces import (
    Allocation,
    BadAnswer,
    CallFailed,
    IShareWriter,
    IStorageServer,
    NotConnected,
)
from truckee.storage.limited import Patience, TooSlow


@define(eq=False)
class TidyServer(GbsServer):
    """Knows what it was given, so that nothing is left in progress after a test."""

    given: list[IShareWriter] = field(factory=list, init=False)

    async def allocate(
        self,
        storage_index: bytes,
        secrets: LeaseSecrets,
        shares: Set[int],
        size: int,
        open_ended: bool = False,
    ) -> Allocation:
        answer = await GbsServer.allocate(
            self, storage_index, secrets, shares, size, open_ended
        )
        self.given += answer.writers.values()
        return answer

    async def give_back(self) -> None:
        for writer in self.given:
            await writer.abort()


class StockContractTests(storage_server.StorageServerContract):
    """Our client over a stock server in a process of its own."""

    open_ended = False
    takes_open_ends = False
    holes = False
    waits_when_cancelled = False
    cleanup: ExitStack
    node: StockNode
    nurl: Nurl
    lease_seed: bytes

    @classmethod
    def setUpClass(cls) -> None:
        if not TAHOE.exists():
            raise SkipTest("tahoe-lafs is not installed")
        cls.cleanup = ExitStack()
        room = Path(cls.cleanup.enter_context(tempfile.TemporaryDirectory()))
        try:
            cls.node = cls.cleanup.enter_context(
                stock_node(room / "node", room / "storage", (1, 1, 1))
            )
        except BaseException:
            cls.cleanup.close()
            raise
        private = cls.node.directory / "private"
        key = certificate_hash((private / "node.pem").read_bytes())
        furl = (private / "storage.furl").read_text("ascii").strip()
        (cls.nurl,) = gbs_schema.nurls_of(furl, key)
        cls.lease_seed = tubid_of(furl)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.cleanup.close()

    async def setUp(self) -> None:  # type: ignore[override]
        self.server = await self.new_server()
        self.forget()

    async def new_server(self) -> IStorageServer:
        server = TidyServer(
            "stock",
            b"p" * 20,
            self.lease_seed,
            self.nurl,
            REACTOR,
            os.urandom,
            to=Ends(),
        )
        self.addCleanup(close, server)
        self.addCleanup(lambda: Deferred.fromCoroutine(server.give_back()))
        return server

    def forget(self) -> None:
        shares = self.node.storage / "shares"
        for index in (INDEX, OTHER):
            name = base32.encode(index)
            shutil.rmtree(shares / name[:2] / name, ignore_errors=True)

    async def test_left_in_progress(self) -> None:
        """What a client left in progress when it died is begun again by its successor."""
        answer = await self.server.allocate(INDEX, SECRETS, {1, 2}, 10)
        await answer.writers[1].write(0, [b"other"])
        successor = await self.new_server()
        answer = await successor.allocate(INDEX, SECRETS, {1, 2, 3}, 10)
        self.assertEqual(answer.writers.keys(), {1, 2, 3})
        await answer.writers[1].write(0, [b"0123456789"])
        await answer.writers[1].close(10)
        (reader,) = (await self.server.buckets(INDEX)).values()
        self.assertEqual(await reader.read(0, 20), b"0123456789")

    async def test_left_by_another(self) -> None:
        """What others have in progress, or another upload of ours, is left alone."""
        mine = await self.server.allocate(INDEX, SECRETS, {1}, 10)
        self.assertEqual((await self.server.allocate(INDEX, SECRETS, {1}, 10)).writers, {})
        other = await self.new_server()
        answer = await other.allocate(INDEX, OTHER_SECRETS, {1, 2}, 10)
        self.assertEqual(answer.writers.keys(), {2})
        await mine.writers[1].write(0, [b"0123456789"])
        await mine.writers[1].close(10)
        self.assertEqual((await self.server.buckets(INDEX)).keys(), {1})

    async def test_space(self) -> None:
        """A stock server tells of its disk."""
        self.assertGreater(await self.server.available_space(), 0)
        self.assertFalse(self.server.durable)

    # They change the disk server below, which is another program here.
    test_refused = None  # type: ignore[assignment]
    test_partly_refused = None  # type: ignore[assignment]
    test_leases = None  # type: ignore[assignment]

    async def test_conflict(self) -> None:
        """A stock server refuses other bytes where some are, and keeps the share."""
        writer = await self.writer()
        await writer.write(0, [b"1234"])
        with self.assertRaises(CallFailed):
            await writer.write(2, [b"xx"])
        await writer.write(2, [b"345678"])
        await writer.close(8)
        self.assertEqual(await self.found(), {0: b"12345678"})

    async def test_leases_and_reports(self) -> None:
        """Leases are added, and reports are taken however long they are."""
        await self.store(0, b"12345678")
        await self.server.add_lease(INDEX, SECRETS)
        await self.server.advise_corrupt(INDEX, 0, "")
        await self.server.advise_corrupt(INDEX, 0, "\N{SNOWMAN}" * 100_000)

    async def test_wrong_swissnum(self) -> None:
        """Who does not know the swissnum is let down, with a status."""
        nurl = Nurl(self.nurl.spki_hash, self.nurl.host, self.nurl.port, "other")
        with self.assertRaises(CallFailed) as caught:
            await new_client(self, nurl, lease_seed=self.lease_seed).available_space()
        self.assertIn("401", str(caught.exception))

    async def test_wrong_key(self) -> None:
        """A stock server under the hash, or the tub id, of another is told nothing."""
        other = evolve(self.nurl, spki_hash=bytes(32))
        for nurl, lease_seed in ((other, self.lease_seed), (self.nurl, tub_id())):
            with self.assertRaises(WrongKey):
                await new_client(self, nurl, lease_seed=lease_seed).available_space()


class LyingTests(TestCase):
    timeout = 120

    def liar(self, lie: Lie, patience: float = 5.0) -> tuple[GbsServer, Lies]:
        """Return a client of a server that lies."""
        return lying(self, lie, patience)

    async def refused(self, key: bytes, spki_hash: bytes, lease_seed: bytes) -> None:
        """See that a server with *key* hears not one byte, and nobody waits for it."""
        lies = Lies(body(b""))
        nurl = listen(self, TLSMemoryBIOFactory(tls_options(key), False, lies), key)
        wrong = evolve(nurl, spki_hash=spki_hash)
        client = new_client(self, wrong, lease_seed=lease_seed)
        for _ in range(12):  # more than there are connections
            with self.assertRaises(WrongKey):
                await client.allocate(INDEX, SECRETS, {0}, 8)
        self.assertEqual(lies.heard, b"")

    async def test_wrong_key(self) -> None:
        """A server that has not the key of its NURL is told nothing."""
        await self.refused(certificate(), bytes(32), tub_id())

    async def test_other_tub(self) -> None:
        """Nor is one that has it, and the tub id of another: the secrets are that one's."""
        key = bytes(Tub().getCertData())
        await self.refused(key, certificate_hash(key), tub_id())

    async def test_other_certificate(self) -> None:
        """The tub id names a certificate; another one for the same key is not enough."""
        loaded = PrivateCertificate.loadPEM(certificate())
        again = loaded.privateKey.selfSignedCert(2, CN="again")
        self.assertEqual(certificate_hash(again.dumpPEM()), certificate_hash(certificate()))
        await self.refused(again.dumpPEM(), certificate_hash(certificate()), tub_id())

    async def test_no_answers(self) -> None:
        """What is no answer is called that, and the next question has a new chance."""
        nested = b"\x81" * 500_000
        for lie in (
            saying(b"nonsense\r\n\r\n"),
            saying(b"HTTP/1.1 abc\r\n\r\n"),
            saying(OK + b"Content-Length: -5\r\n\r\n"),
            saying(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345"),
            saying(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
            saying(OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffff\r\n"),
            saying(OK + b"Content-Length: 4294967296\r\n\r\n"),
            saying(OK + b"X: " + b"x" * 20_000 + b"\r\n\r\n"),
            body(b""),
            body(b"nonsense"),
            body(nested),
            body(cbor2.dumps({b"x": 1})),
            body(cbor2.dumps({gbs_schema._PROTOCOL: {gbs_schema._AVAILABLE_SPACE: -1}})),
            body(bytes.fromhex("bbffffffffffffffff")),
            body(gbs_schema.encode_version(b"a", 5) + b"\0"),
        ):
            client, _ = self.liar(lie, 1.0)
            try:
                await client.available_space()
            except (BadAnswer, TooSlow, NotConnected):
                continue
            self.fail("it was taken for an answer")

    async def test_statuses(self) -> None:
        """Other statuses are failures; nobody is sent elsewhere."""
        for status in (b"302 Found\r\nLocation: http://127.0.0.1:1/", b"500 No", b"204 No"):
            client, lies = self.liar(body(b"", b"HTTP/1.1 " + status + b"\r\n"))
            with self.assertRaises(CallFailed) as caught:
                await client.available_space()
            self.assertIn(status[:3].decode(), str(caught.exception))
            self.assertEqual(lies.heard.count(b"HTTP/1.1"), 1)

    async def test_other_allocations(self) -> None:
        """Shares that were not asked for are ignored; arrays are no sets."""
        client, _ = self.liar(body(gbs_schema.encode_allocated({7}, {0, 1, 9})))
        answer = await client.allocate(INDEX, SECRETS, {0, 5}, 8)
        self.assertEqual((set(answer.already), set(answer.writers)), ({7}, {0}))
        client, lies = self.liar(body(cbor2.dumps({"already-have": [7], "allocated": [1]})))
        with self.assertRaises(BadAnswer):
            await client.allocate(INDEX, SECRETS, {0}, 8)
        # What was asked for is given back.
        await pause(0.1)
        self.assertIn(b"/0/abort HTTP/1.1", lies.heard)

    async def test_other_bytes(self) -> None:
        """More bytes than asked for, others, or all of them are not used."""
        part = b"HTTP/1.1 206 Part\r\nContent-Range: "
        for lie in (
            body(b"12345", part + b"bytes 0-4/*\r\n"),
            body(b"1234", part + b"bytes 1-4/*\r\n"),
            body(b"123", part + b"bytes 0-3/*\r\n"),
            body(b"1234", part + b"bytes 0-3\r\n"),
            body(b"1234", b"HTTP/1.1 206 Part\r\n"),
            body(bytes(2 << 20), part + b"bytes 0-2097151/*\r\n"),
            body(b"", part + b"bytes 0-3/*\r\n"),
        ):
            shares = gbs_schema.encode_shares({0})
            answers = [body(shares), lie]
            client, _ = self.liar(lambda liar, answers=answers: answers.pop(0)(liar))  # type: ignore[misc]
            reader = (await client.buckets(INDEX))[0]
            with self.assertRaises(BadAnswer):
                await reader.read(0, 4)

    async def test_never_answers(self) -> None:
        """Silence has an end, in each part of an answer, and for a trickle too."""
        for lie in (
            saying(b""),
            saying(b"HTTP/1.1 200"),
            saying(OK),
            saying(OK + b"Content-Length: 5\r\n\r\n1"),
            saying(b"HTTP/1.1 100 Continue\r\n\r\n"),
            lambda liar: liar.repeat(b"H", 0.01),
        ):
            client, _ = self.liar(lie, 0.2)
            begin = time.monotonic()
            with self.assertRaises(Unavailable):
                await client.available_space()
            self.assertLess(time.monotonic() - begin, 20)

    async def test_many_waiting(self) -> None:
        """Questions that wait for a connection are served when the others gave up."""
        client, _ = self.liar(saying(b""), 0.2)
        asked = [Deferred.fromCoroutine(client.available_space()) for _ in range(25)]
        for each in asked:
            await self.assertFailure(each, TooSlow)

    async def test_never_shakes_hands(self) -> None:
        """A server that takes connections and says nothing, or no TLS, has an end too."""
        lies = Lies(saying(b""))
        nurl = listen(self, lies, certificate())
        client = new_client(self, nurl, Patience(0.2, 0.2, 0.2))
        with self.assertRaises(TooSlow):
            await client.available_space()

        class Rude(Liar):
            def connectionMade(self) -> None:
                self.say(b"HTTP/1.1 400 This is no TLS\r\n\r\n")

        lies.buildProtocol = lambda addr: Rude(lies)  # type: ignore[method-assign]
        with self.assertRaises(NotConnected):
            await client.available_space()

    async def test_cancelled_while_connecting(self) -> None:
        """A question that is cancelled before there is a connection ends as cancelled."""
        with ExitStack() as sockets:
            # It takes nobody in, and its queue is full: one more waits.
            busy = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            host, port = busy.getsockname()
            for _ in range(2):
                caller = sockets.enter_context(socket.socket())
                caller.setblocking(False)
                caller.connect_ex((host, port))
            client = new_client(self, Nurl(bytes(32), host, port, "x"))
            asked = Deferred.fromCoroutine(client.available_space())
            await pause(0.05)
            self.assertNoResult(asked)
            asked.cancel()
            await self.assertFailure(asked, CancelledError)

    async def test_cancelled_while_looking_up(self) -> None:
        """So does one that is cancelled before the address of a name is known."""
        client = new_client(self, Nurl(bytes(32), "localhost", 1, "x"))
        asked = Deferred.fromCoroutine(client.available_space())
        asked.cancel()
        await self.assertFailure(asked, CancelledError)

    async def test_cancelled_while_shaking_hands(self) -> None:
        """So does one that is cancelled before the server has shown who it is."""
        lies = Lies(saying(b""))
        client = new_client(self, listen(self, lies, certificate()))
        asked = Deferred.fromCoroutine(client.available_space())
        await until(lambda: lies.connections)
        await pause(0.05)
        self.assertNoResult(asked)
        asked.cancel()
        await self.assertFailure(asked, CancelledError)

    async def test_nobody_there(self) -> None:
        """Nobody at the address is no connection."""
        port = REACTOR.listenTCP(0, Factory(), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        client = new_client(self, Nurl(bytes(32), "127.0.0.1", number, "x"))
        with self.assertRaises(NotConnected):
            await client.available_space()

    async def test_endless(self) -> None:
        """What never ends is cut off after a megabyte or so, wherever it is."""
        chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
        chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n"
        lies = (
            beginning(OK, b"X: " + b"x" * 8000 + b"\r\n"),
            beginning(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000),
            beginning(b"", bytes(65536)),
            beginning(OK + b"\r\n", bytes(65536)),
            beginning(chunked, chunk),
        )
        for lie in lies:
            client, said = self.liar(lie, 25.0)
            begin = time.monotonic()
            with self.assertRaises(BadAnswer):
                await client.available_space()
            self.assertLess(time.monotonic() - begin, 20)
            # The rest of it stands in the buffers of the system.
            self.assertLess(said.said, 32 << 20)

    async def test_leaves(self) -> None:
        """A server that leaves in the middle of an answer has not answered."""
        for words in (
            b"",
            b"HTTP/1.1 2",
            OK,
            OK + b"Content-Length: 5\r\n\r\n1",
            OK + b"\r\n1",
        ):

            def leave(liar: Liar, words: bytes = words) -> None:
                liar.say(words)
                assert liar.transport is not None
                liar.transport.loseConnection()

            client, _ = self.liar(leave)
            with self.assertRaises((NotConnected, BadAnswer)):
                await client.available_space()

    async def test_connections_are_kept(self) -> None:
        """One connection serves questions that follow each other."""
        version = gbs_schema.encode_version(b"a", 77)
        client, lies = self.liar(body(version))
        for _ in range(5):
            self.assertEqual(await client.available_space(), 77)
        self.assertEqual(lies.connections, 1)
        self.assertEqual(lies.heard.count(b"GET /storage/v1/version HTTP/1.1\r\n"), 5)


class CollectedTests(TestCase):
    def test_write(self) -> None:
        """A write that is collected as it waits wakes nobody, who would ask the server."""
        asked = []

        class Deaf(GbsServer):
            async def ask(self, call: str, *_: object, **__: object) -> Any:
                asked.append(call)
                await Deferred()

        def begin() -> None:
            nurl = Nurl(bytes(32), "127.0.0.1", 1, "x")
            server = Deaf("deaf", b"p" * 20, b"l" * 20, nurl, REACTOR, os.urandom)
            request = WriteRequest("home", SECRETS, b"secret", 10, set())
            writer = GbsWriter("deaf", server.ask, Patience(), "path", 0, request)
            Deferred.fromCoroutine(writer.write(0, [b"123"]))
            Deferred.fromCoroutine(writer.abort())

        begin()
        gc.collect()
        self.assertEqual(asked, ["write"])
