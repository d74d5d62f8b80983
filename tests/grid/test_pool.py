"""Connections to servers that come and go, over real tubs on loopback."""

from __future__ import annotations

import json
import os
from typing import Any

from attrs import evolve
from foolscap.api import Referenceable, Tub
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import TestCase

from tests.contracts.slot_server import SECRETS as SLOT_SECRETS
from tests.contracts.slot_server import writes
from tests.contracts.test_slot_server import new_disk as new_disk_with_slots
from tests.grids import REACTOR, SECRETS, calm, failing, pause, until
from tests.storage.gbs_served import SWISSNUM, Served, certificate, listen, stop
from tests.storage.liars import Liar
from tests.storage.test_foolscap_client import INDEX, Loopback, new_client, new_disk
from truckee.codec import base32
from truckee.frontends.web.welcome import GridStatus, status_json
from truckee.grid.announcements import Announcement, parse_fields, tubid_of
from truckee.grid.pool import ServerPool
from truckee.grid.transports import Dialer, Pace
from truckee.storage.foolscap_schema import (
    AVAILABLE_SPACE,
    KEEPS_SHARES,
    MAX_SLOT_SHARE_SIZE,
    PROTOCOL,
    RIStorageServer,
    serves,
)
from truckee.storage.foolscap_server import FoolscapStorage
from truckee.storage.gbs_server import GbsStorage
from truckee.storage.interfaces import IStorageServer, SlotRead
from truckee.storage.kept_shares import KeptShares

NOW = 1e9
PACE = Pace(patience=0.1, longest=0.2)  # seconds
# Where nobody listens.
DEAD = "tcp:127.0.0.1:1"


@serves(RIStorageServer)
class _Odd(Referenceable):  # type: ignore[misc]
    """Answers get_version as it is told."""

    def __init__(self, version: Any) -> None:
        self.version = version

    def remote_get_version(self) -> Any:
        return self.version


class _Case(TestCase):
    timeout = 120

    def setUp(self) -> None:
        client = new_client(self)
        dialer = Dialer(client.tub, REACTOR, os.urandom, PACE)
        self.dialer = dialer
        self.pool = ServerPool(dialer, lambda: NOW)
        # Connections over HTTPS take a moment to end.
        self.addCleanup(lambda: Deferred.fromCoroutine(pause(0.05)))
        self.addCleanup(self.pool.stop)

    def serve(self, thing: Referenceable | None = None) -> tuple[Loopback, str]:
        """Serve *thing*, or some storage; return it and its furl."""
        loopback = self.new_tub()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.end(loopback)))
        return loopback, loopback.register(thing or self.storage())

    def new_tub(self) -> Loopback:
        """Return a tub of a server."""
        return Loopback()

    def storage(self) -> Referenceable:
        return FoolscapStorage(new_disk(self), REACTOR)

    async def end(self, loopback: Loopback) -> None:
        if loopback.tub.running:
            await loopback.stop()

    def moved(self, furl: str, hints: str) -> str:
        """Return *furl* with other hints."""
        return f"{furl.partition('@')[0]}@{hints}/{furl.rpartition('/')[2]}"

    async def store_and_read(self, server: IStorageServer) -> None:
        """See that a server does what servers do."""
        answer = await server.allocate(INDEX, SECRETS, {0}, 8)
        await answer.writers[0].write(0, [b"12345678"])
        await answer.writers[0].close(8)
        readers = await server.buckets(INDEX)
        self.assertEqual(await readers[0].read(0, 100), b"12345678")

    async def write_and_read(self, server: IStorageServer) -> None:
        """See that a server stores mutable files."""
        slots = server.slots
        assert slots is not None
        change = {0: writes((0, b"mutable"))}
        await slots.test_and_write(INDEX, SLOT_SECRETS, change, [])
        found = await slots.read(INDEX, frozenset(), [SlotRead(0, 100)])
        self.assertEqual(found, {0: [b"mutable"]})

    def announced(self, name: str, furl: str, **fields: object) -> Announcement:
        return parse_fields(name, {"anonymous-storage-FURL": furl, **fields})


class ComeAndGoTests(_Case):
    async def test_connects(self) -> None:
        """A server can be asked when it has said hello, and its status tells of it."""
        _, furl = self.serve()
        self.pool.heard(self.announced("one", furl, nickname="Nick"))
        self.assertEqual(self.pool.servers(), [])
        self.assertFalse(self.pool.known["one"].status.connected)
        await until(self.pool.servers)
        [server] = self.pool.servers()
        self.assertEqual(server.name, "Nick")
        self.assertEqual(await server.buckets(INDEX), {})
        status = self.pool.known["one"].status
        self.assertEqual((status.server_id, status.nickname), ("one", "Nick"))
        self.assertTrue(status.connected)
        self.assertTrue((status.version or "").startswith("truckee/"))
        self.assertGreater(status.available_space or 0, 0)
        self.assertEqual(status.last_received, NOW)

    async def test_server_id(self) -> None:
        """By its lease seed a server is found that others call otherwise; or it is none."""
        _, furl = self.serve()
        _, other = self.serve()
        self.pool.heard(self.announced("v0-one", furl, nickname="Nick"))
        self.pool.heard(self.announced("v0-two", other, nickname="Nick"))
        for server_id in ("v0-one", "v0-two"):
            seed = self.pool.known[server_id].announcement.lease_seed
            self.assertEqual(self.pool.server_id(seed), server_id.encode())
        self.assertEqual(self.pool.server_id(b"x" * 20), b"x" * 20)

    async def test_returns(self) -> None:
        """A server that went away is not asked; when it is back it is."""
        first = Loopback()
        furl = first.register(self.storage())
        key = first.tub.getCertData()
        self.pool.heard(self.announced("one", furl))
        await until(self.pool.servers)
        await first.stop()
        await until(lambda: not self.pool.servers())
        second = make_again(key, furl, self.storage())
        self.addCleanup(second.stopService)
        await until(self.pool.servers)
        [server] = self.pool.servers()
        answer = await server.allocate(INDEX, SECRETS, {0}, 1)
        await answer.writers[0].abort()

    async def test_slots(self) -> None:
        """A server has slots when it says so, each time that it is reached."""
        first = Loopback()
        furl = first.register(self.storage())
        key = first.tub.getCertData()
        self.pool.heard(self.announced("one", furl))
        await until(self.pool.servers)
        [server] = self.pool.servers()
        self.assertIsNone(server.slots)
        await first.stop()
        await until(lambda: not self.pool.servers())
        disk, slots = new_disk_with_slots(self)
        second = make_again(key, furl, FoolscapStorage(disk, REACTOR, slots))
        self.addCleanup(lambda: second.stopService() if second.running else None)
        await until(self.pool.servers)
        await self.write_and_read(self.pool.servers()[0])
        await second.stopService()
        await until(lambda: not self.pool.servers())
        third = make_again(key, furl, _Odd({PROTOCOL: {MAX_SLOT_SHARE_SIZE: b"1"}}))
        self.addCleanup(third.stopService)
        await until(self.pool.servers)
        self.assertIsNone(self.pool.servers()[0].slots)

    async def test_kept_shares(self) -> None:
        """A server keeps shares in progress when it says so."""
        disk = new_disk(self)
        disk.kept = KeptShares(disk, disk._disk, disk._now)
        _, furl = self.serve(FoolscapStorage(disk, REACTOR))
        self.pool.heard(self.announced("one", furl))
        await until(self.pool.servers)
        kept = self.pool.servers()[0].kept
        assert kept is not None
        self.assertEqual(await kept.unfinished(INDEX, bytes(32)), {})
        odd: object
        for odd in (b"1", 2, None, [], {PROTOCOL: 1}):
            _, furl = self.serve(_Odd({KEEPS_SHARES: odd}))
            self.pool.heard(self.announced(repr(odd), furl))
        await until(lambda: len(self.pool.servers()) == 6)
        keepers = [each.kept is not None for each in self.pool.servers()]
        self.assertEqual(sum(keepers), 1)

    async def test_moves(self) -> None:
        """A server with a new furl is asked there, and not where it was."""
        _, one = self.serve(_Odd({b"application-version": b"one"}))
        _, two = self.serve(_Odd({b"application-version": b"two"}))
        self.pool.heard(self.announced("server", one))
        await until(self.pool.servers)
        self.pool.heard(self.announced("server", two))
        await until(lambda: self.pool.known["server"].version == "two")
        self.assertEqual(len(self.pool.known), 1)
        self.assertEqual(len(self.pool.servers()), 1)

    async def test_news(self) -> None:
        """News of a server that stays where it is breaks no connection."""
        _, furl = self.serve()
        self.pool.heard(self.announced("one", furl))
        await until(self.pool.servers)
        seed = base32.encode(b"another")
        news = self.announced("one", furl, **{"permutation-seed-base32": seed})
        self.pool.heard(news)
        [server] = self.pool.servers()
        self.assertEqual(server.permutation_seed, b"another")

    async def test_static(self) -> None:
        """What the operator said of a server stands against any announcement."""
        _, furl = self.serve()
        _, other = self.serve()
        self.pool.add_static(self.announced("one", furl))
        self.pool.heard(self.announced("one", other, nickname="better"))
        self.assertEqual(self.pool.known["one"].announcement.furl, furl)
        await until(self.pool.servers)
        self.assertEqual(self.pool.known["one"].status.nickname, "")

    async def test_stop(self) -> None:
        """After the end no server can be asked."""
        _, furl = self.serve()
        self.pool.heard(self.announced("one", furl))
        await until(self.pool.servers)
        self.pool.stop()
        self.assertEqual(self.pool.servers(), [])


class HttpsTests(_Case):
    """Servers that announce NURLs."""

    def setUp(self) -> None:
        super().setUp()
        self.served = Served.new(self)
        # The furl of a server that is reached over HTTPS only.
        self.furl = self.moved(self.serve()[1], "")

    def new_tub(self) -> Loopback:
        """Return a tub of the server that is served over HTTPS."""
        return Loopback(Tub(certData=certificate()))

    def hear(self, furl: str, *nurls: object, **fields: object) -> None:
        """Hear of the server."""
        fields |= {"anonymous-storage-NURLs": list(nurls)}
        self.pool.heard(self.announced("one", furl, **fields))

    def wait_for_foolscap(self) -> None:
        """Have a new pool that gives foolscap all the time it needs to connect."""
        self.pool.stop()
        pace = Pace(patience=20.0, longest=PACE.longest)
        self.pool = ServerPool(evolve(self.dialer, pace=pace), lambda: NOW)
        self.addCleanup(self.pool.stop)

    @property
    def over_https(self) -> bool:
        """Whether the server is asked over HTTPS now."""
        return self.pool.known["one"].status.over_https

    async def test_no_hints(self) -> None:
        """A server whose furl says not where it is is reached over HTTPS, at once."""
        begin = REACTOR.seconds()
        self.hear(self.furl, self.served.nurl.text, nickname="Nick")
        await until(self.pool.servers)
        self.assertLess(REACTOR.seconds() - begin, 5)
        [server] = self.pool.servers()
        self.assertEqual(server.name, "Nick")
        self.assertEqual(server.lease_seed, tubid_of(self.furl))
        self.assertFalse(server.takes_open_ends)
        await self.store_and_read(server)
        status = self.pool.known["one"].status
        self.assertTrue(status.connected)
        self.assertTrue(status.over_https)
        self.assertTrue((status.version or "").startswith("truckee/"))
        self.assertGreater(status.available_space or 0, 0)
        self.assertEqual(status.last_received, NOW)

    async def test_slots(self) -> None:
        """Over HTTPS a server has slots when it says so."""
        self.hear(self.furl, self.served.nurl.text)
        await until(self.pool.servers)
        self.assertIsNone(self.pool.servers()[0].slots)
        disk, slots = new_disk_with_slots(self)
        storage = GbsStorage(disk, SWISSNUM, REACTOR, slots)
        nurl = listen(self, storage.https(certificate()), certificate())
        self.addCleanup(stop, storage)
        self.hear(self.furl, nurl.text)
        await until(self.pool.servers)
        await self.write_and_read(self.pool.servers()[0])

    async def test_dead_furl(self) -> None:
        """So is one that foolscap does not reach where its furl says."""
        self.hear(self.moved(self.furl, DEAD), self.served.nurl.text)
        await until(self.pool.servers)
        await self.store_and_read(self.pool.servers()[0])
        self.assertTrue(self.over_https)

    async def test_foolscap_first(self) -> None:
        """A server that foolscap reaches is not looked for over HTTPS."""
        self.wait_for_foolscap()
        _, furl = self.serve()
        looks: list[None] = []

        async def mood(operation: str, share: int) -> None:
            looks.append(None)

        self.served.disk.mood = mood
        self.hear(furl, self.served.nurl.text)
        await until(self.pool.servers)
        await pause(3 * PACE.longest)
        self.assertTrue(self.pool.servers()[0].takes_open_ends)
        self.assertFalse(self.over_https)
        self.assertEqual(looks, [])

    async def test_by_turns(self) -> None:
        """HTTPS is used while foolscap is away, and foolscap again when it is back."""
        first = self.new_tub()
        furl = first.register(self.storage())
        self.hear(furl, self.served.nurl.text)
        await until(self.pool.servers)
        await first.stop()
        await until(lambda: self.over_https)
        [server] = self.pool.servers()
        second = make_again(certificate(), furl, self.storage())
        self.addCleanup(second.stopService)
        await until(lambda: not self.over_https)
        [other] = self.pool.servers()
        self.assertIsNot(server, other)
        self.assertTrue(other.takes_open_ends)
        # Whoever still has the other one ends in peace.
        await self.store_and_read(server)

    async def test_away_and_back(self) -> None:
        """A server that does not answer over HTTPS is away until it does."""
        self.hear(self.furl, self.served.nurl.text)
        for _ in range(2):
            await until(self.pool.servers)
            self.served.disk.mood = failing("available_space")
            await until(lambda: not self.pool.servers())
            self.assertFalse(self.pool.known["one"].status.connected)
            self.served.disk.mood = calm
        await until(self.pool.servers)
        self.flushLoggedErrors(OSError)

    async def test_first_that_is_one(self) -> None:
        """NURLs that cannot be read are passed over."""
        good = self.served.nurl.text
        broken = ["", "pb://", good.replace("v=1", "v=2"), "x" * 5000, 7, None]
        self.hear(self.furl, *broken, good, good.replace("127.0.0.1", "127.0.0.2"))
        await until(self.pool.servers)
        self.hear(self.furl, *broken)
        self.assertEqual(self.pool.servers(), [])
        _, furl = self.serve()
        self.hear(furl, *broken)
        await until(self.pool.servers)
        self.assertFalse(self.over_https)

    async def test_dead_address(self) -> None:
        """A server with a NURL where nobody is is reached at the next, in any order."""
        good = self.served.nurl.text
        dead = evolve(self.served.nurl, port=1).text
        self.hear(self.furl, dead, good)
        await until(self.pool.servers)
        [server] = self.pool.servers()
        await self.store_and_read(server)
        for nurls in ((good, dead), (dead, dead, good), (good,)):
            self.hear(self.furl, *nurls)
            self.assertEqual(self.pool.servers(), [server])
            self.assertTrue(self.over_https)
        # What is in use goes, and another comes.
        other = Served.new(self)
        self.hear(self.furl, dead, other.nurl.text)
        self.assertEqual(self.pool.servers(), [])
        await until(self.pool.servers)
        self.assertIsNot(self.pool.servers()[0], server)

    async def test_many_addresses(self) -> None:
        """Of a server's NURLs eight are looked at, and no more."""
        good = self.served.nurl
        dead = [evolve(good, port=port).text for port in range(1, 9)]
        self.hear(self.furl, *dead, good.text)
        await pause(3 * PACE.longest)
        self.assertEqual(self.pool.servers(), [])
        self.hear(self.furl, *dead[1:], good.text)
        await until(self.pool.servers)

    async def test_news(self) -> None:
        """A new NURL is used instead of the old one; foolscap does not notice."""
        other = Served.new(self)
        self.hear(self.furl, self.served.nurl.text)
        await until(self.pool.servers)
        [before] = self.pool.servers()
        seed = base32.encode(b"another")
        same = {"permutation-seed-base32": seed}
        self.hear(self.furl, self.served.nurl.text, **same)
        self.assertEqual(self.pool.servers(), [before])
        self.assertEqual(before.permutation_seed, b"another")
        self.hear(self.furl, other.nurl.text)
        await until(self.pool.servers)
        await self.store_and_read(self.pool.servers()[0])
        self.assertEqual(len(other.disk.directory.shares(INDEX)), 1)
        self.wait_for_foolscap()
        _, furl = self.serve()
        self.hear(furl, self.served.nurl.text)
        await until(self.pool.servers)
        [foolscap] = self.pool.servers()
        self.hear(furl, other.nurl.text)
        self.assertEqual(self.pool.servers(), [foolscap])

    async def test_wrong_key(self) -> None:
        """A server that has not the key of its NURL is told nothing, and is away."""
        self.hear(self.furl, evolve(self.served.nurl, spki_hash=bytes(32)).text)
        await pause(3 * PACE.longest)
        self.assertEqual(self.pool.servers(), [])

    async def test_tub_of_another(self) -> None:
        """A server that announces the tub id of another is told nothing, and is away."""
        furl = f"pb://{Tub().tubID}@/{SWISSNUM}"
        self.hear(furl, self.served.nurl.text)
        await pause(3 * PACE.longest)
        self.assertEqual(self.pool.servers(), [])

    async def test_stop(self) -> None:
        """After the end no server can be asked, and nobody looks for it any more."""
        self.hear(self.furl, self.served.nurl.text)
        await until(self.pool.servers)
        self.pool.stop()
        self.assertEqual(self.pool.servers(), [])
        self.served.disk.mood = failing("available_space")
        await pause(3 * PACE.longest)
        self.assertEqual(self.pool.servers(), [])
        self.assertEqual(self.flushLoggedErrors(OSError), [])


class OddServerTests(_Case):
    async def greeted(self, version: Any) -> Any:
        """Return the status of a server that answers *version*."""
        _, furl = self.serve(_Odd(version))
        self.pool.heard(self.announced("odd", furl))
        await until(self.pool.servers)
        return self.pool.known["odd"].status

    async def test_nothing_said(self) -> None:
        """A server that says nothing of itself is used all the same."""
        status = await self.greeted({})
        self.assertEqual((status.version, status.available_space), ("?", None))

    async def test_nonsense(self) -> None:
        """What is no number of bytes is none, and people still see the other servers."""
        status = await self.greeted(
            {b"application-version": b"\xffx", PROTOCOL: {AVAILABLE_SPACE: b"many"}}
        )
        self.assertIsNone(status.available_space)
        [shown] = json.loads(status_json(GridStatus([status])))["servers"]
        self.assertEqual(shown["nodeid"], "odd")

    async def test_too_much(self) -> None:
        """Of endless words some are shown, and of endless numbers none."""
        for space in (1 << 64, 10**5000, -1):
            status = await self.greeted(
                {b"application-version": b"x" * 9000, PROTOCOL: {AVAILABLE_SPACE: space}}
            )
            self.assertIsNone(status.available_space)
            self.assertLess(len(status.version), 300)
            status_json(GridStatus([status]))

    async def test_no_answer(self) -> None:
        """One who does not say what it is, and answers anything, is no server."""
        for version in (None, 5, "text", [PROTOCOL], {5: 6}, "x" * 9000):
            _, furl = self.serve(Liar("", {"get_version": version}))
            told: list[str] = []
            with capturedLogs() as events:
                self.pool.heard(self.announced("odd", furl))
                while not told:
                    await pause(0.01)
                    told = [text for text in map(formatEvent, events) if "odd" in text]
            self.assertEqual(self.pool.servers(), [], version)
            self.assertIn("does not answer as it should", told[0])
            self.assertLess(len(told[0]), 400)


def make_again(key: bytes, furl: str, thing: Referenceable) -> Any:
    """Return a running tub that serves *thing* at *furl*, as before a restart."""
    tub: Any = Tub(certData=key)
    _, _, rest = furl.partition("@tcp:127.0.0.1:")
    port, _, name = rest.partition("/")
    tub.startService()
    tub.listenOn(f"tcp:{port}:interface=127.0.0.1")
    tub.setLocation(f"tcp:127.0.0.1:{port}")
    tub.registerReference(thing, name)
    return tub
