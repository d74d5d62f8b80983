"""Servers that a grid manager approves of, and others."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import TestCase

from tests.grid_managers import DAY, Manager, public_text, when
from tests.grids import REACTOR, Grid, files_below, in_chunks, pause, until
from tests.storage.test_foolscap_client import Loopback, new_client, new_disk
from truckee.codec.caps import ChkReadCap
from truckee.codec.grid_certificate import parse_public_key
from truckee.frontends.web.welcome import GridStatus, status_json, welcome_page
from truckee.grid.announcements import Announcement, parse_fields
from truckee.grid.pool import ServerPool
from truckee.grid.selection import NotEnoughApproved
from truckee.grid.transports import Dialer
from truckee.immutable.check import Checker
from truckee.immutable.repair import Repairer
from truckee.immutable.upload.keys import GivenKey, KeyChoice, RandomKey
from truckee.immutable.upload.options import UploadOptions
from truckee.immutable.upload.sinks import KeyReused
from truckee.storage.foolscap_server import FoolscapStorage
from truckee.storage.interfaces import IStorageServer
from truckee.storage.server import DiskServer

START = 1_700_000_000.0
INDEX = b"i" * 16
IDS = [public_text(Manager().key) for _ in range(4)]


class PoolTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        client = new_client(self)
        self.now = START
        self.manager = Manager()
        keys = [parse_public_key(self.manager.public_identity)]
        self.pool = ServerPool(
            Dialer(client.tub, REACTOR, os.urandom), lambda: self.now, keys
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(pause(0.05)))
        self.addCleanup(self.pool.stop)

    def serve(self) -> str:
        """Run a storage server; return its furl."""
        loopback = Loopback()
        self.addCleanup(lambda: Deferred.fromCoroutine(loopback.stop()))
        return loopback.register(FoolscapStorage(new_disk(self), REACTOR))

    def announced(self, server_id: str, furl: str, certificates: Any) -> Announcement:
        fields = {"anonymous-storage-FURL": furl, "nickname": f"n{server_id[3:7]}"}
        return parse_fields(server_id, fields | {"grid-manager-certificates": certificates})

    def certificate(self, server_id: str, seconds: float = DAY) -> dict[str, Any]:
        return self.manager.sign(server_id, when(START, seconds))

    def names(self, servers: Sequence[IStorageServer]) -> set[str]:
        return {server.name for server in servers}

    def refusals(self) -> list[str]:
        return [status.refusal for status in self.pool.statuses()]

    async def test_approved(self) -> None:
        """All servers are read from, and only those with a certificate are written to."""
        good, bad = IDS[:2]
        self.pool.heard(self.announced(good, self.serve(), [self.certificate(good)]))
        self.pool.heard(self.announced(bad, self.serve(), [self.certificate(good)]))
        await until(lambda: len(self.pool.servers()) == 2)
        self.assertEqual(self.names(self.pool.takers()), {f"n{good[3:7]}"})
        self.assertEqual(self.refusals(), ["", "its certificate is that of another server"])

    async def test_expires(self) -> None:
        """A certificate that expires while we run counts no more; a new one does."""
        one = IDS[0]
        furl = self.serve()
        self.pool.heard(self.announced(one, furl, [self.certificate(one)]))
        await until(self.pool.takers)
        with capturedLogs() as events:
            self.now = START + DAY
            for _ in range(3):
                self.assertEqual(self.pool.takers(), [])
            self.assertEqual(len(self.pool.servers()), 1)
            self.pool.heard(self.announced(one, furl, [self.certificate(one, 2 * DAY)]))
            self.assertEqual(len(self.pool.takers()), 1)
        texts = [formatEvent(event) or "" for event in events]
        told = [text for text in texts if "uploaded to" in text]
        self.assertEqual(len(told), 2, texts)
        self.assertIn("its certificate expired on 2023-11-15", told[0])

    async def test_static(self) -> None:
        """The operator's word for a server needs a certificate too."""
        one, two = IDS[:2]
        self.pool.add_static(self.announced(one, self.serve(), [self.certificate(one)]))
        self.pool.add_static(self.announced(two, self.serve(), None))
        self.pool.add_static(self.announced("a", self.serve(), [self.certificate(one)]))
        await until(lambda: len(self.pool.servers()) == 3)
        self.assertEqual(self.names(self.pool.takers()), {f"n{one[3:7]}"})

    async def test_other_names(self) -> None:
        """Who announces another's furl does not keep it from being used."""
        furl = self.serve()
        first, second = sorted(IDS[:2])
        self.pool.heard(self.announced(first, furl, []))
        await until(self.pool.servers)
        self.assertEqual(self.pool.takers(), [])
        self.pool.heard(self.announced(second, furl, [self.certificate(second)]))
        self.assertEqual(len(self.pool.takers()), 1)
        await until(lambda: all(each.server for each in self.pool.known.values()))
        self.assertEqual(len(self.pool.takers()), 1)
        self.assertEqual(self.refusals(), [""])

    async def test_told(self) -> None:
        """People and programs are told why nothing is uploaded to a server."""
        self.pool.heard(self.announced(IDS[0], self.serve(), "<b>"))
        await until(self.pool.servers)
        status = GridStatus(self.pool.statuses())
        page = welcome_page(status, "x").decode()
        self.assertIn("nothing is uploaded to it: its certificates are no list", page)
        [server] = json.loads(status_json(status))["servers"]
        self.assertEqual(server["no_uploads"], "its certificates are no list")


class SelectionTests(TestCase):
    timeout = 120

    async def test_upload(self) -> None:
        """Shares go to servers that may be given some, and are found on all."""
        grid = Grid.new(self, servers=6, happy=2)
        grid.takers = grid.servers[3:5]
        cap = await put(grid)
        holders = {number for number, server in enumerate(grid.servers) if has(server)}
        self.assertEqual(holders, {3, 4})
        grid.takers = grid.servers[:1]
        self.assertEqual(await grid.read(cap), b"x" * 1000)

    async def test_key_reused(self) -> None:
        """A key that stands for a file on any server is used for no other one."""
        grid = Grid.new(self, servers=6, happy=2)
        key = GivenKey(b"k" * 16)
        first = await put(grid, b"x" * 1000, key)
        grid.takers = [server for server in grid.servers if not has(server)]
        with self.assertRaises(KeyReused):
            await put(grid, b"y" * 1000, key)
        self.assertFalse(any(has(server) for server in grid.takers))
        self.assertEqual(await put(grid, b"x" * 1000, key), first)
        self.assertTrue(all(has(server) for server in grid.takers))

    async def test_too_few(self) -> None:
        """The error says that there are servers, and why they are not used."""
        for approved in (0, 1):
            grid = Grid.new(self, servers=4, happy=2)
            grid.takers = grid.servers[:approved]
            with self.assertRaises(NotEnoughApproved) as caught:
                await put(grid)
            error = caught.exception
            self.assertEqual((error.found, error.refused), (approved, 4 - approved))
            self.assertIn(f"{4 - approved} more can be reached", str(error))
            self.assertIn("[grid_managers]", str(error))
            self.assertEqual(grid.files, [])

    async def test_repair(self) -> None:
        """What is missing is stored on servers that may be given shares."""
        grid = Grid.new(self, servers=6, happy=2)
        cap = await put(grid)
        [lost, *_] = [server for server in grid.servers if has(server)]
        free = [server for server in grid.servers if not has(server)]
        for path in shares_of(lost):
            path.unlink()
        grid.takers = free[1:2]
        checker = Checker(grid.selector, grid.cpu, grid.budget)
        repairer = Repairer(
            checker, grid.selector, grid.journal, grid.cpu, grid.budget, REACTOR
        )
        report = await repairer.check_and_repair(cap.verify_cap())
        self.assertTrue(report.after.healthy)
        now = [server for server in grid.servers if has(server)]
        self.assertEqual([server for server in free if server in now], free[1:2])
        self.assertNotIn(lost, now)


async def put(
    grid: Grid, data: bytes = b"x" * 1000, choice: KeyChoice | None = None
) -> ChkReadCap:
    """Store a file."""
    chunks = in_chunks(data, 100)
    cap = await grid.uploader.upload(
        chunks, UploadOptions(choice or RandomKey(), len(data))
    )
    assert isinstance(cap, ChkReadCap)
    return cap


def shares_of(server: DiskServer) -> list[Path]:
    """Return the finished shares on a server."""
    return files_below(server.directory.root / "shares")


def has(server: DiskServer) -> bool:
    """Tell whether a server has a share."""
    return bool(shares_of(server))
