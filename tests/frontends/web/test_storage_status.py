"""/storage: a real server, its crawler, and what both kinds of readers see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory
from twisted.trial.unittest import TestCase

from tests.grids import NOW, REACTOR, Grid, new_events, put_share, until
from tests.integration.stock_grid import write_node
from tests.net.http.wire import Reply, Wire
from tests.ports import free_ports
from tests.processes import GridProcess, ask
from truckee.codec.lease_expiry import ExpiryPolicy, ShareKind
from truckee.frontends.web.root import STATUSES, RootResource
from truckee.frontends.web.storage_report import StorageReporter
from truckee.frontends.web.storage_status import report_page
from truckee.frontends.web.welcome import GridStatus
from truckee.net.http.respond import Responder
from truckee.net.http.site import StreamingSite
from truckee.storage.kept_shares import KeptShares
from truckee.storage.lease_crawler import CrawlPace, LeaseCrawler

INDEX = b"i" * 16


class StorageTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.grid = Grid.new(self)
        self.server = self.grid.servers[0]
        put_share(self.server, INDEX, 0, b"share")
        put_share(self.server, INDEX, 1, b"share")
        pace = CrawlPace(pause=0.001, first=0.0)
        self.crawler = LeaseCrawler(
            self.server.directory.root,
            self.server.remove_expired,
            ExpiryPolicy(),
            self.grid.disk,
            REACTOR,
            lambda: NOW,
            pace,
        )
        self.kept = KeptShares(self.server, self.grid.disk, lambda: NOW)
        self.reporter = StorageReporter(
            self.server, self.crawler, self.kept, self.grid.disk
        )

    async def ask(self, reporter: StorageReporter | None, query: str = "") -> Reply:
        """Return the answer of /storage."""
        responder = Responder(STATUSES)
        root = RootResource(
            self.grid.uploader,
            self.grid.downloader,
            responder,
            lambda: GridStatus([]),
            events=new_events(self),
            storage=lambda: reporter,
        )
        site = StreamingSite(root, responder, reactor=REACTOR)
        port = REACTOR.listenTCP(0, site, interface="127.0.0.1")
        endpoint = TCP4ClientEndpoint(REACTOR, "127.0.0.1", port.getHost().port)
        wire: Any = await endpoint.connect(Factory.forProtocol(Wire))
        try:
            host = f"127.0.0.1:{port.getHost().port}"
            request = f"GET /storage{query} HTTP/1.1\r\nHost: {host}\r\n\r\n"
            wire.write(request.encode("ascii"))
            return await wire.reply()  # type: ignore[no-any-return]
        finally:
            wire.transport.abortConnection()
            await port.stopListening()
            site.abort()
            await site.drain()

    async def test_numbers(self) -> None:
        """Programs are told of the disk and the leases; people, too."""
        await self.server.add_lease(INDEX, self.grid.selector.secrets(INDEX, self.server))
        self.crawler.start()
        self.addCleanup(self.crawler.stop)
        await until(lambda: self.crawler.state.cycles)
        told = json.loads((await self.ask(self.reporter, "?t=json")).body)
        self.assertGreater(told["stats"]["storage_server.disk_total"], 0)
        self.assertEqual(told["stats"]["storage_server.accepting_immutable_shares"], 1)
        leases = told["truckee"]["leases"]
        self.assertEqual(leases["expiry"]["mode"], "age")
        self.assertEqual(leases["expiry"]["kinds"], ["immutable", "mutable"])
        self.assertEqual((leases["cycles"], leases["last_cycle"]["shares"]), (1, 2))
        self.assertEqual(leases["last_cycle"]["leases"], 2)
        self.assertGreaterEqual(leases["next_cycle"], NOW)
        page = (await self.ask(self.reporter)).body.decode()
        for text in (
            "2 (178 bytes)",
            "31 days",
            "immutable and mutable",
            "looked at again",
        ):
            self.assertIn(text, page)

    def keep(self, storage: Path) -> None:
        """Have a share of 100 bytes that was left incomplete."""
        path = storage / "incomplete" / "aa" / ("a" * 26) / ("0." + "a" * 16)
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(12 + 100))

    async def test_incomplete(self) -> None:
        """Both are told of shares in progress, and until when they are kept."""
        self.keep(self.server.directory.root)
        self.kept.start()
        told = json.loads((await self.ask(self.reporter, "?t=json")).body)
        expected = {"keep": 3 * 86400, "shares": 1, "bytes": 100, "removed_shares": 0}
        self.assertEqual(told["truckee"]["incomplete"], expected)
        page = (await self.ask(self.reporter)).body.decode()
        for text in ("Incomplete shares", "1 (100 bytes)", "for 3 days"):
            self.assertIn(text, page)
        report = await self.reporter.report()
        for keep, text in ((86400.0, "for 1 day;"), (0.0, "removed at once")):
            self.assertIn(text, report_page(evolve(report, keep=keep)).decode())

    def test_grid(self) -> None:
        """Metrics of a grid of its own count those in all its directories."""
        node = GridProcess.create(
            self.grid.root / "node", needed=1, happy=1, total=2, storage_dirs=2
        )
        for number in range(2):
            self.keep(node.directory / "storage" / str(number))
        node.start()
        self.addCleanup(node.stop)
        metrics = ask(f"{node.url}metrics").body
        self.assertIn(b"\ntruckee_storage_incomplete_shares 2.0\n", metrics)
        self.assertIn(b"\ntruckee_storage_incomplete_bytes 200.0\n", metrics)

    def test_node(self) -> None:
        """A storage node with a web port tells of what it offers, and by which rule."""
        node = write_node(self.grid.root / "node", "", free_ports(1)[0], storage=True)
        self.keep(node.directory / "storage")
        config = node.directory / "tahoe.cfg"
        rule = "expire.enabled = true\nexpire.mode = age\n"
        rule += "expire.override_lease_duration = 2 months\nexpire.mutable = false\n"
        rule += "incomplete.keep = 2 days\n"
        config.write_text(config.read_text() + rule)
        node.spawn("ours")
        self.addCleanup(node.stop)
        node.wait_until(lambda: ask(node.url).status == 200)
        told = json.loads(ask(f"{node.url}storage?t=json").body)["truckee"]
        incomplete = {"keep": 2 * 86400, "shares": 1, "bytes": 100, "removed_shares": 0}
        self.assertEqual(told["incomplete"], incomplete)
        expiry = told["leases"]["expiry"]
        self.assertEqual((expiry["duration"], expiry["kinds"]), (62 * 86400, ["immutable"]))
        self.assertFalse(told["leases"]["expiry"]["removes"])
        metrics = ask(f"{node.url}metrics").body
        self.assertNotIn(b"truckee_storage_shares", metrics)
        self.assertIn(b"\ntruckee_storage_incomplete_shares 1.0\n", metrics)

    async def test_no_server(self) -> None:
        """A node that keeps no shares says so."""
        self.assertEqual(json.loads((await self.ask(None, "?t=json")).body), {})
        self.assertIn(b"No storage server", (await self.ask(None)).body)
        self.assertEqual((await self.ask(None, "?t=xml")).status, 400)

    async def test_page(self) -> None:
        """People read what goes, what is in the way, and how far it is."""
        report = await self.reporter.report()
        report.state.started, report.state.prefix = NOW, "qa"
        mutable = frozenset([ShareKind.MUTABLE])
        for changes, texts in (
            ({"policy": None}, ["kept whether"]),
            (
                {"policy": ExpiryPolicy(cutoff=0, kinds=mutable)},
                ["1970-01-01", "mutable"],
            ),
            ({"policy": ExpiryPolicy(kinds=frozenset())}, ["of no files"]),
            ({"error": "No space left"}, ["No space left"]),
            ({"readonly": True}, ["read-only"]),
            ({"progress": 0.5}, ["50 %", "first look"]),
        ):
            page = report_page(evolve(report, **changes)).decode()
            for text in texts:
                self.assertIn(text, page)
