"""
Clients of one helper against each other.

An attacker who knows a storage index can neither see, change, end nor hold up what others
upload under it, nor have the helper tell them that the attacker's file is theirs.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any, cast

from attrs import evolve
from foolscap.api import RemoteException
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase, TestCase

import truckee.helper.server.upload
from tests.grids import CONVERGENCE, REACTOR, new_events, until
from tests.helper.helped import (
    INDEX,
    PARAMETERS,
    Content,
    Gateway,
    Helped,
    begin,
    cut,
)
from tests.helper.server.test_push_service import Peer
from tests.helper.stock_ends import Reader, StockClient
from tests.net.http.wire import HOSTS, Reply, Wire
from truckee.codec import base32
from truckee.codec.caps import ChkReadCap, parse_cap
from truckee.codec.hashes import storage_index_of
from truckee.codec.secrets import KEY_SIZE, convergence_hasher
from truckee.frontends.web.root import STATUSES, RootResource
from truckee.frontends.web.welcome import GridStatus
from truckee.helper import wire
from truckee.helper.gateway.proved_sink import ProvedSinks
from truckee.helper.gateway.route import Routes
from truckee.helper.ownership import (
    NOBODY,
    Owner,
    name_of,
    parse_name,
    upload_secret,
)
from truckee.helper.server.limits import HelperLimits
from truckee.helper.server.push_service import Helper
from truckee.helper.server.stored_files import StoredFiles
from truckee.helper.server.upload import HelperUpload
from truckee.immutable.upload.presence import PresenceProver
from truckee.immutable.upload.uploader import Uploader
from truckee.net.http.respond import Responder
from truckee.net.http.site import StreamingSite

SIZE = 300


class _Case(TestCase):
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        self.content = Content(SIZE)
        self.garbage = Content(SIZE, seed=9)
        await self.start()

    async def start(self, **options: Any) -> None:
        self.helped = Helped.new(self, **options)
        self.helped.listen()
        self.gateway = await Gateway.of(self.helped)

    async def attackers(self) -> list[Peer]:
        """Return peers that know the storage index: with a secret, and without."""
        made = [await Peer.of(self.helped, number) for number in (2, 3)]
        made[0].secret = b"a" * 32
        made[1].secret = None
        return made


class IsolationTests(_Case):
    def first_bytes(self, *call: Any) -> Any:
        """Answer as a stock client that brings 64 bytes and no more."""
        if call[0] != "read_encrypted":
            return None
        return [self.garbage.ciphertext[:64]] if call[1] == 0 else Deferred()

    async def test_unseen(self) -> None:
        """What others have sent is not shown, not taken from, and not forgotten."""
        sink = await self.gateway.open(SIZE)
        await sink.write(self.content.ciphertext[:200])
        await until(lambda: self.helped.uploads.used == 200)
        for attacker in await self.attackers():
            for forget in (True, False):
                answer = await attacker.open(SIZE)
                self.assertEqual(answer[:4], (wire.RECEIVE, b"", 0, b""))
                held = await answer[4].callRemote("push", 150, b"x" * 100)
                self.assertEqual(held, (0, wire.GAP))
                told = await answer[4].callRemote("finish", 200, bytes(32))
                self.assertEqual(told[0], wire.GAP)
                await answer[4].callRemote("abort", forget)
        self.assertEqual(self.helped.uploads.used, 200)
        await sink.write(self.content.ciphertext[200:])
        self.assertEqual((await sink.close()).ueb_hash, self.content.cap.ueb_hash)
        await self.helped.assert_stored(self.content)

    async def test_garbage_beside(self) -> None:
        """Wrong bytes for the same file, pushed and pulled meanwhile."""
        sink = await self.gateway.open(SIZE)
        await sink.write(self.content.ciphertext[:100])
        uploads = []
        for attacker in await self.attackers():
            uploads.append(await attacker.begin(SIZE))
            await uploads[-1].callRemote("push", 0, self.garbage.ciphertext[:250])
        stock = await StockClient.of(self.helped, 4)
        reader = Reader(self.garbage, self.first_bytes)
        begin(stock.store(reader)).addErrback(lambda _: None)
        await until(lambda: len(reader.reads) > 1)
        await sink.write(self.content.ciphertext[100:])
        self.assertEqual((await sink.close()).ueb_hash, self.content.cap.ueb_hash)
        found = await self.helped.grid.read(self.content.cap)
        self.assertEqual(found, self.content.plaintext)
        for upload in uploads:
            await upload.callRemote("abort", True)
        cut(stock.tub)

    async def test_squatted_shares(self) -> None:
        """One that leases the shares first and never ends keeps nobody from them."""
        for attacker in await self.attackers():
            upload = await attacker.begin(SIZE)
            await upload.callRemote("push", 0, self.garbage.ciphertext[:64])
            await until(self.helped.incoming_shares)
            self.assertEqual((await self.gateway.push(self.content)), self.content.cap)
            found = await self.helped.grid.read(self.content.cap)
            self.assertEqual(found, self.content.plaintext)
            await upload.callRemote("abort", True)
            self.helped.remove_shares()
        await self.helped.assert_nothing_kept()

    async def test_squatted_by_a_stock_client(self) -> None:
        """Nor does a stock client that brings the first bytes and no more."""
        stock = await StockClient.of(self.helped, 4)
        reader = Reader(self.garbage, self.first_bytes)
        storing = begin(stock.store(reader))
        storing.addErrback(lambda _: None)
        await until(lambda: len(reader.reads) > 1)
        self.assertEqual((await self.gateway.push(self.content)), self.content.cap)
        honest = await StockClient.of(self.helped, 5)
        self.helped.remove_shares()
        results = await honest.store(Reader(self.content))
        self.assertEqual(results.uri_extension_hash, self.content.cap.ueb_hash)
        cut(stock.tub)

    async def test_stock_clients_are_not_told(self) -> None:
        """A stock client, which cannot check it, is not told that garbage is its file."""
        attacker = await Peer.of(self.helped, 2)
        upload = await attacker.begin(SIZE)
        await upload.callRemote("push", 0, self.garbage.ciphertext)
        told = await upload.callRemote("finish", SIZE, self.garbage.root)
        self.assertEqual(told[0], b"")
        honest = await StockClient.of(self.helped, 5)
        reader = Reader(self.content)
        try:
            results = await honest.store(reader)
        except RemoteException:
            pass  # it hears of an error instead
        else:
            self.assertEqual(results.uri_extension_hash, self.content.cap.ueb_hash)
        self.assertEqual(sum(length for _, length in reader.reads), SIZE)

    async def test_same_secret(self) -> None:
        """Whoever shows the secret goes on, over another connection and another tub."""
        first, second = await Peer.of(self.helped, 2), await Peer.of(self.helped, 3)
        first.secret = second.secret = b"s" * 32
        upload = await first.begin(SIZE)
        await upload.callRemote("push", 0, self.content.ciphertext[:100])
        self.assertEqual((await second.open(SIZE))[2], 100)
        cut(first.tub)
        cut(second.tub)
        await self.helped.assert_settled()
        third = await Peer.of(self.helped, 4)
        third.secret = b"s" * 32
        self.assertEqual((await third.open(SIZE))[2], 100)


class PoisonTests(_Case):
    """The attacker stores another file, whole, where that of its victim belongs."""

    async def start(self, **options: Any) -> None:
        await _Case.start(self, happy=2, **options)
        self.data = Content(SIZE, seed=7).plaintext
        geometry = self.helped.grid.encoding.geometry(SIZE)
        hasher = convergence_hasher(CONVERGENCE, geometry)
        hasher.update(self.data)
        self.index = storage_index_of(hasher.digest()[:KEY_SIZE])
        self.attacker = await Peer.of(self.helped, 2)
        self.attacker.secret = b"a" * 32

    async def poison(self, size: int | None = SIZE) -> None:
        """Have the helper store garbage."""
        upload = await self.attacker.begin(size, self.index)
        await upload.callRemote("push", 0, self.garbage.ciphertext)
        told = await upload.callRemote("finish", SIZE, self.garbage.root)
        self.assertEqual(told[0], b"")

    async def put(self, verify: bool = True) -> Any:
        """Upload the file to the gateway; return its JSON."""
        grid, sinks = self.helped.grid, self.gateway.sinks
        prover = PresenceProver(grid.selector, grid.cpu, REACTOR, os.urandom, retries=0.6)
        proved = ProvedSinks(sinks, grid.encoding, 2, prover, REACTOR)
        pushed: Any = proved if verify else sinks
        connection, needed = self.gateway.connection, grid.encoding.needed
        routes = Routes(grid.sinks, pushed, pushed, connection, grid.selector, needed)
        reply = await self.ask(evolve(grid.uploader, sinks=routes))
        self.assertEqual(reply.status, 200, reply.body)
        return json.loads(reply.body)

    async def ask(self, uploader: Uploader) -> Reply:
        """Return the answer to a PUT of the file."""
        responder = Responder(STATUSES)
        root = RootResource(
            uploader,
            self.helped.grid.downloader,
            responder,
            lambda: GridStatus([]),
            events=new_events(self),
        )
        site = StreamingSite(root, responder, reactor=REACTOR, hosts=HOSTS)
        port = REACTOR.listenTCP(0, site, interface="127.0.0.1")
        endpoint = TCP4ClientEndpoint(REACTOR, "127.0.0.1", port.getHost().port)
        wire: Any = await endpoint.connect(Factory.forProtocol(Wire))
        try:
            head = f"Host: x\r\nContent-Length: {SIZE}\r\n\r\n"
            request = f"PUT /uri?key=CHK&output=json HTTP/1.1\r\n{head}"
            wire.write(request.encode() + self.data)
            return cast(Reply, await wire.reply())
        finally:
            wire.transport.abortConnection()
            await wire.closed()
            await port.stopListening()
            site.abort()
            await site.drain()

    async def assert_whole(self, told: Any, route: str) -> None:
        """The JSON is that of a file that can be read, all of whose shares are its own."""
        cap = parse_cap(told["cap"])
        assert isinstance(cap, ChkReadCap)
        self.assertEqual(cap.storage_index, self.index)
        self.assertEqual(await self.helped.grid.read(cap), self.data)
        self.assertEqual(told["route"], route)
        self.assertEqual(sorted(told["shares"]), ["0", "1", "2"])
        self.assertGreaterEqual(told["happiness"], 2)
        self.assertEqual(told["unplaced"], [])
        self.helped.grid.forget_files()

    async def test_before(self) -> None:
        """Stored before: the file goes to the servers, also where all have garbage."""
        for servers in (3, 8):
            for verify in (True, False):
                await self.start(servers=servers)
                await self.poison()
                before = self.helped.grid.shares(self.index)
                self.assertEqual(sorted(before), [0, 1, 2])
                told = await self.put(verify)
                await self.assert_whole(told, "servers")
                # Again: it is there, or the garbage is seen again.
                again = await self.put(verify)
                self.assertEqual(again["cap"], told["cap"])
                # By now the helper may have found out which shares are good.
                await self.assert_whole(again, again["route"])
                await self.helped.stop()

    async def test_meanwhile(self) -> None:
        """Stored while the file is on its way: the helper stores both."""
        self.index = INDEX
        sink = await self.gateway.open(SIZE)
        await sink.write(self.content.ciphertext[:100])
        await until(lambda: self.helped.uploads.used == 100)
        await self.poison()
        await sink.write(self.content.ciphertext[100:])
        self.assertEqual((await sink.close()).ueb_hash, self.content.cap.ueb_hash)
        self.assertEqual(
            await self.helped.grid.read(self.content.cap), self.content.plaintext
        )
        await self.helped.assert_nothing_kept()

    async def test_of_unknown_size(self) -> None:
        """Nor does it matter whether its size was told."""
        await self.start(servers=3)
        await self.poison(None)
        await self.assert_whole(await self.put(), "servers")


class VersionTests(_Case):
    async def test_gateway_of_before(self) -> None:
        """One without secrets is known by its tub, and goes on after a cut."""
        version = self.helped.helper.remote_get_version()
        del version[wire.PUSH_OWNED]
        self.patch(Helper, "remote_get_version", lambda _: version)
        cut(self.helped.tub)
        await self.gateway.reconnected()
        self.assertFalse(self.gateway.connection.owns)
        sink = await self.gateway.open(SIZE)
        await sink.write(self.content.ciphertext[:200])
        await until(lambda: self.helped.uploads.used == 200)
        cut(self.helped.tub)
        await self.gateway.reconnected()
        await sink.write(self.content.ciphertext[200:])
        self.assertEqual((await sink.close()).ueb_hash, self.content.cap.ueb_hash)
        await self.helped.assert_stored(self.content)

    async def test_files_of_before(self) -> None:
        """What the version before left complete is stored; else nobody goes on with it."""
        home, name = self.helped.home, base32.encode(INDEX)
        upload = await self.helped.uploads.open(INDEX, PARAMETERS, SIZE, owner=NOBODY)
        assert isinstance(upload, HelperUpload)
        await upload.append(0, self.content.ciphertext[:100])
        upload.leave()
        await self.helped.assert_settled()
        self.assertEqual(self.helped.kept, {f"CHK_incoming/{name}": 100})
        for attacker in await self.attackers():
            self.assertEqual((await attacker.open(SIZE))[2], 0)
            cut(attacker.tub)
        self.assertEqual((await self.gateway.push(self.content)), self.content.cap)
        self.assertTrue((home / "CHK_incoming" / name).exists())


class QuotaTests(_Case):
    def index(self, number: int) -> bytes:
        return storage_index_of(b"%016d" % number)

    async def test_uploads(self) -> None:
        """One client takes its part of the places, and another still finds one."""
        await self.start(limits=HelperLimits(uploads=6, client_uploads=3))
        attacker = await Peer.of(self.helped, 2)
        states = []
        for number in range(10):
            attacker.secret = bytes([number]) * 32
            states.append((await attacker.open(SIZE, index=self.index(number)))[:2])
        self.assertEqual(states[:3], [(wire.RECEIVE, b"")] * 3)
        self.assertEqual(states[3:], [(wire.REFUSED, wire.BUSY)] * 7)
        self.assertEqual((await self.gateway.push(self.content)), self.content.cap)

    async def test_spool(self) -> None:
        """One client takes its part of the spool, also with what it leaves behind."""
        await self.start(limits=HelperLimits(spool=1000, client_spool=500))
        attacker = await Peer.of(self.helped, 2)
        for number, code in ((1, b""), (2, wire.FULL)):
            attacker.secret = bytes([number]) * 32
            upload = await attacker.begin(None, self.index(number))
            _, answer = await upload.callRemote("push", 0, bytes(300))
            self.assertEqual(answer, code)
            await upload.callRemote("abort", False)
        await self.helped.restart()
        attacker = await Peer.of(self.helped, 2)
        attacker.secret = bytes(32)
        answers = await attacker.open(300, index=self.index(3))
        self.assertEqual(answers[:2], (wire.REFUSED, wire.FULL))
        await until(lambda: self.gateway.connection.connected)
        self.assertEqual((await self.gateway.push(self.content)), self.content.cap)

    async def test_many_tubs(self) -> None:
        """Places that many tubs took are given up when they bring nothing."""
        self.patch(truckee.helper.server.upload, "IDLE", 0.2)
        await self.start(limits=HelperLimits(uploads=4, client_uploads=2))
        for number in range(2, 6):
            attacker = await Peer.of(self.helped, number)
            await attacker.begin(SIZE, self.index(number))
        held = self.helped.uploads.active
        self.assertEqual(len(held), 4)
        await until(lambda: any(upload.idle for upload in held.values()))
        self.assertEqual((await self.gateway.push(self.content)), self.content.cap)

    async def test_connections(self) -> None:
        """One upload is not opened again and again without an end."""
        attacker = await Peer.of(self.helped, 2)
        attacker.secret = b"a" * 32
        states = [(await attacker.open(SIZE))[0] for _ in range(20)]
        self.assertIn(wire.REFUSED, states)
        self.assertEqual((await self.gateway.push(self.content)), self.content.cap)

    def test_stored_files(self) -> None:
        """Of what was stored so much is remembered, and each client's own."""
        files = StoredFiles()
        victim = Owner.by_secret(b"v" * 32, b"victim")
        files.add(INDEX, victim, b"ueb", 5.0)
        for number in range(1000):
            owner = Owner.by_secret(b"%032d" % number, b"attacker")
            files.add(self.index(number), owner, b"garbage", 5.0)
        self.assertLess(len(files), 502)
        self.assertEqual(files.ueb(INDEX, victim), b"ueb")
        self.assertEqual(files.unheard(INDEX, victim, 4.0), b"ueb")
        self.assertEqual(files.unheard(INDEX, victim, 5.0), b"")
        self.assertEqual(files.ueb(INDEX, owner), b"")


class OwnershipTests(SynchronousTestCase):
    def test_secrets(self) -> None:
        """A secret is another one for another node, helper and file."""
        made = {
            upload_secret(node, helper, index)
            for node in (b"n" * 32, b"m" * 32)
            for helper in (b"helper", b"other")
            for index in (INDEX, bytes(16))
        }
        self.assertEqual({len(each) for each in made}, {32})
        self.assertEqual(len(made), 8)
        owners = {Owner.by_secret(each, b"tub").id for each in made}
        self.assertEqual(len(owners | {Owner.by_tub(b"tub").id}), 9)
        with self.assertRaises(ValueError):
            Owner.by_secret(b"short", b"tub")

    def test_names(self) -> None:
        """The name of a file says whose it is, and not with which secret."""
        secret = b"s" * 32
        for owner in (NOBODY, Owner.by_secret(secret, b"t"), Owner.by_tub(b"t")):
            name = name_of(INDEX, owner)
            self.assertEqual(parse_name(name), (INDEX, owner))
            self.assertNotIn(base32.encode(secret), name)
        chance = random.Random(1)
        for _ in range(200):
            parse_name("".join(chance.choices("abc-234.", k=chance.randrange(90))))
        others = ("", "x", "README", name[:-1], f"{name}-", name.upper(), "../etc")
        for other in (*others, f"{name}.json", f"{name}.new"):
            self.assertIsNone(parse_name(other))
