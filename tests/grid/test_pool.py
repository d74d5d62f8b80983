"""Connections to servers that come and go, over real tubs on loopback."""

from __future__ import annotations

import json
from typing import Any

from foolscap.api import Referenceable, Tub
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, SECRETS, until
from tests.storage.test_foolscap import INDEX, Loopback, new_client, new_disk
from truckee.codec import base32
from truckee.frontends.web.welcome import GridStatus, status_json
from truckee.grid.announcements import Announcement, parse_fields
from truckee.grid.pool import ServerPool
from truckee.storage.foolscap_schema import (
    AVAILABLE_SPACE,
    PROTOCOL,
    RIStorageServer,
    serves,
)
from truckee.storage.foolscap_server import FoolscapStorage

NOW = 1e9


@serves(RIStorageServer)
class _Odd(Referenceable):  # type: ignore[misc]
    """Answers get_version as it is told."""

    def __init__(self, version: Any) -> None:
        self.version = version

    def remote_get_version(self) -> Any:
        return self.version


class _Case(TestCase):
    timeout = 30

    def setUp(self) -> None:
        client = new_client(self)
        self.pool = ServerPool(client.tub, REACTOR, lambda: NOW)
        self.addCleanup(self.pool.stop)

    def serve(self, thing: Referenceable | None = None) -> tuple[Loopback, str]:
        """Serve *thing*, or some storage; return it and its furl."""
        loopback = Loopback()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.end(loopback)))
        return loopback, loopback.register(thing or self.storage())

    def storage(self) -> Referenceable:
        return FoolscapStorage(new_disk(self), REACTOR)

    async def end(self, loopback: Loopback) -> None:
        if loopback.tub.running:
            await loopback.stop()

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

    async def test_returns(self) -> None:
        """A server that went away is not asked; when it is back it is."""
        first = Loopback()
        furl = first.register(self.storage())
        certificate = first.tub.getCertData()
        self.pool.heard(self.announced("one", furl))
        await until(self.pool.servers)
        await first.stop()
        await until(lambda: not self.pool.servers())
        second = make_again(certificate, furl, self.storage())
        self.addCleanup(second.stopService)
        await until(self.pool.servers)
        [server] = self.pool.servers()
        answer = await server.allocate(INDEX, SECRETS, {0}, 1)
        await answer.writers[0].abort()

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
        self.pool.known.clear()  # stopped once is enough


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


def make_again(certificate: bytes, furl: str, thing: Referenceable) -> Any:
    """Return a running tub that serves *thing* at *furl*, as before a restart."""
    tub: Any = Tub(certData=certificate)
    _, _, rest = furl.partition("@tcp:127.0.0.1:")
    port, _, name = rest.partition("/")
    tub.startService()
    tub.listenOn(f"tcp:{port}:interface=127.0.0.1")
    tub.setLocation(f"tcp:127.0.0.1:{port}")
    tub.registerReference(thing, name)
    return tub
