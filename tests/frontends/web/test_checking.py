"""Checks and repairs of one file, as a client asks for them."""

from __future__ import annotations

import json
import random
import shutil
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory
from twisted.trial.unittest import TestCase

from tests.grids import (
    REACTOR,
    Grid,
    MadeFile,
    failing,
    hanging,
    make_file,
    new_events,
    put_share,
    until,
)
from tests.net.http.wire import HOSTS, Reply, Wire
from truckee.codec import base32
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import storage_index_of
from truckee.frontends.web.checking import Checks
from truckee.frontends.web.root import STATUSES, RootResource
from truckee.frontends.web.welcome import GridStatus
from truckee.immutable.check import Checker
from truckee.immutable.repair import Repairer
from truckee.net.http.respond import Responder
from truckee.net.http.site import StreamingSite
from truckee.storage.interfaces import IStorageServer
from truckee.tree.object_check import ObjectChecker

KEY = b"k" * 16
INDEX = storage_index_of(KEY)
TEXT = "text/plain;charset=utf-8"


def server_id(server: IStorageServer) -> str:
    """Return what programs call a server here."""
    return f"v0-{server.name}"


class CheckingTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        """Serve a grid with one file, share i on server i."""
        self.file: MadeFile = make_file(
            random.Random(1).randbytes(3000), KEY, Encoding(2, 3, 64)
        )
        grid = self.grid = Grid.new(self, servers=5)
        for number, share in enumerate(self.file.shares):
            put_share(grid.servers[number], INDEX, number, share)
        checker = Checker(grid.selector, grid.cpu, grid.budget)
        self.repairer = Repairer(
            checker, grid.selector, grid.journal, grid.cpu, grid.budget, REACTOR
        )
        events = new_events(self)
        root = RootResource(
            grid.uploader,
            grid.downloader,
            Responder(STATUSES),
            lambda: GridStatus([]),
            checks=Checks(ObjectChecker(self.repairer), server_id, events.tasks),
            events=events,
        )
        self.site = StreamingSite(root, Responder(STATUSES), reactor=REACTOR, hosts=HOSTS)
        self.port = REACTOR.listenTCP(0, self.site, interface="127.0.0.1")
        self.addCleanup(self.stop)

    async def stop(self) -> None:
        await self.port.stopListening()
        self.site.abort()
        await self.site.drain()

    async def ask(self, path: str, *headers: str, method: str = "POST") -> Wire:
        """Return a connection on which a request was made."""
        endpoint = TCP4ClientEndpoint(REACTOR, "127.0.0.1", self.port.getHost().port)
        wire: Any = await endpoint.connect(Factory.forProtocol(Wire))
        assert isinstance(wire, Wire)
        lines = [f"{method} {path} HTTP/1.1", "Host: x", "Content-Length: 0", *headers]
        wire.write("\r\n".join([*lines, "", ""]).encode())
        return wire

    async def post(self, cap: object, query: str, *headers: str) -> Reply:
        """Return the answer to a POST."""
        wire = await self.ask(f"/uri/{cap}?{query}", *headers)
        reply = await wire.reply()
        wire.transport.abortConnection()
        await wire.closed()
        return reply

    async def check(self, cap: object, more: str = "") -> Any:
        """Return what a check says in JSON."""
        reply = await self.post(cap, f"t=check&output=JSON{more}")
        self.assertEqual((reply.status, reply.headers["content-type"]), (200, TEXT))
        self.assertEqual(reply.headers["cache-control"], "no-store")
        return json.loads(reply.body)

    def damage(self) -> None:
        """Have share 0 corrupt."""
        share = bytearray(self.file.shares[0])
        share[self.file.layout.block(7)] ^= 1
        put_share(self.grid.servers[0], INDEX, 0, bytes(share))

    async def test_no_answer(self) -> None:
        """A server that gives no answer is named, in the document and to people."""
        self.grid.servers[1].mood = failing("buckets")
        results = (await self.check(self.file.cap))["results"]
        self.assertEqual(results["servers-not-responding"], ["v0-server 1"])
        self.assertNotIn("v0-server 1", results["servers-responding"])
        self.assertFalse(results["healthy"])
        reply = await self.post(self.file.cap, "t=check")
        self.assertIn(b"no answer from: server 1", reply.body)

    async def test_documents(self) -> None:
        """The documents have stock's keys, for both caps, counted and verified."""
        si = base32.encode(INDEX)
        responding = [f"v0-server {number}" for number in range(5)]
        healthy = {
            "storage-index": si,
            "summary": "Healthy",
            "results": {
                "count-happiness": 3,
                "count-shares-good": 3,
                "count-shares-needed": 2,
                "count-shares-expected": 3,
                "count-good-share-hosts": 3,
                "count-corrupt-shares": 0,
                "list-corrupt-shares": [],
                "servers-responding": responding,
                "sharemap": {str(n): [f"v0-server {n}"] for n in range(3)},
                "count-wrong-shares": 0,
                "count-recoverable-versions": 1,
                "count-unrecoverable-versions": 0,
                "healthy": True,
                "recoverable": True,
            },
        }
        caps = (self.file.cap, self.file.cap.verify_cap())
        for cap in caps:
            for more in ("", "&verify=true", "&add-lease=true"):
                self.assertEqual(await self.check(cap, more), healthy)
        self.damage()
        for cap in caps:
            self.assertEqual(await self.check(cap), healthy)
            found = await self.check(cap, "&verify=true")
            self.assertEqual(found["summary"], "Not Healthy: 2 shares (enc 2-of-3)")
            results = found["results"]
            self.assertEqual(results["list-corrupt-shares"], [["v0-server 0", si, 0]])
            self.assertEqual(results["count-corrupt-shares"], 1)
            self.assertEqual(list(results["sharemap"]), ["1", "2"])
            self.assertFalse(results["healthy"])
            self.assertTrue(results["recoverable"])
        done = await self.check(caps[1], "&verify=true&repair=true")
        self.assertEqual(
            (done["repair-attempted"], done["repair-successful"]), (True, True)
        )
        self.assertEqual(done["pre-repair-results"], found)
        after = done["post-repair-results"]
        self.assertEqual(after["summary"], "healthy")
        self.assertEqual(after["results"]["count-shares-good"], 3)
        self.assertEqual(await self.grid.read(self.file.cap), self.file.plaintext)
        again = await self.check(caps[0], "&verify=true&repair=true")
        self.assertFalse(again["repair-attempted"] or again["repair-successful"])
        self.assertEqual(again["pre-repair-results"], again["post-repair-results"])

    async def test_literal(self) -> None:
        """A literal is healthy, and nothing else is said of it."""
        for more in ("", "&repair=true", "&verify=true"):
            found = await self.check("URI:LIT:mfrgg", more)
            self.assertEqual(found, {"storage-index": "", "results": {"healthy": True}})
        reply = await self.post("URI:LIT:mfrgg", "t=check", "Accept: */*")
        self.assertTrue(reply.body.startswith(b"Healthy"))

    async def test_text(self) -> None:
        """Without output=JSON people are told what is wrong, and what was done."""
        cap = self.file.cap
        page = await self.post(cap, "t=check")
        self.assertIn(b"<span>Healthy</span>", page.body)
        reply = await self.post(cap, "t=check", "Accept: */*")
        self.assertTrue(reply.body.startswith(b"Healthy\n3 good shares on 3 servers"))
        self.damage()
        for query, told in (
            ("t=check&verify=true", (b"missing: 0", b"corrupt: share 0 on server 0: ")),
            ("t=check&verify=true&repair=true", (b"\nRepaired.\n", b"After:\nHealthy\n")),
            ("t=check&repair=true", (b"nothing to repair",)),
        ):
            reply = await self.post(cap, query, "Accept: text/plain")
            self.assertEqual(reply.status, 200)
            for each in told:
                self.assertIn(each, reply.body)
            self.assertNotIn(base32.encode(KEY).encode(), reply.body)

    async def test_too_few(self) -> None:
        """What cannot be read is reported by a check; a repair of it is answered 410."""
        for server in self.grid.servers[1:]:
            shutil.rmtree(server.directory.home(INDEX), ignore_errors=True)
        found = await self.check(self.file.cap)
        results = found["results"]
        self.assertEqual(found["summary"], "Not Healthy: 1 shares (enc 2-of-3)")
        self.assertEqual(results["count-unrecoverable-versions"], 1)
        self.assertFalse(results["recoverable"])
        reply = await self.post(self.file.cap, "t=check&repair=true&output=JSON")
        self.assertEqual(reply.status, 410)
        self.assertIn(b"1 good shares", reply.body)

    async def test_refusals(self) -> None:
        """Other arguments, caps, methods and sites are refused, with a reason."""
        cap, verify_cap = self.file.cap, self.file.cap.verify_cap()
        for target, query, headers, status in (
            (cap, "", (), 400),
            (verify_cap, "", (), 400),
            (cap, "t=nonsense", (), 400),
            (cap, "t=check&verify=perhaps", (), 400),
            (cap, "t=check&output=xml", (), 400),
            ("URI:CHK-Verifier:x", "t=check", (), 400),
            ("URI:SSK:x", "t=check", (), 400),
            (cap, "t=check", ("Origin: http://elsewhere",), 403),
            (verify_cap, "t=check", ("Sec-Fetch-Site: cross-site",), 403),
            (f"{cap}/x", "t=check", (), 400),
            (f"{verify_cap}/x", "t=check", (), 400),
        ):
            reply = await self.post(target, query, *headers)
            self.assertEqual(reply.status, status, (query, headers))
        wire = await self.ask(f"/uri/{verify_cap}", method="GET")
        self.assertEqual((await wire.reply()).status, 400)
        wire.transport.abortConnection()
        await wire.closed()

    async def test_client_gone(self) -> None:
        """A check ends when its client goes away, and a repair leaves nothing."""
        shutil.rmtree(self.grid.servers[0].directory.home(INDEX))
        for operation in ("read", "write"):
            for server in self.grid.servers:
                server.mood = hanging(operation)
            wire = await self.ask(f"/uri/{self.file.cap}?t=check&repair=true")
            await until(lambda: self.repairer.active)
            wire.transport.abortConnection()
            await wire.closed()
            await until(lambda: not self.repairer.active)
            self.assertEqual(sorted(self.grid.shares(INDEX)), [1, 2])
