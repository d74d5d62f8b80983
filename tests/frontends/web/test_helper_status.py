"""/helper_status: real uploads on a real disk, and one real node."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.grids import NOW, REACTOR, Grid, make_file, new_tasks, until
from tests.integration.stock_grid import (
    MIB,
    Shape,
    reaches,
    use_helper,
    write_helper,
    write_node,
)
from tests.net.http.wire import HOSTS, Reply, Wire
from tests.ports import free_ports
from tests.processes import Wire as Client
from tests.processes import ask, eventually
from truckee.codec import base32
from truckee.codec.cipher import crypt
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import storage_index_of
from truckee.frontends.web.events import Events
from truckee.frontends.web.helper_report import MOST_KEPT, HelperReporter
from truckee.frontends.web.root import STATUSES, RootResource
from truckee.frontends.web.welcome import GridStatus
from truckee.helper.gateway.push_session import LARGEST_PIECE
from truckee.helper.server.limits import HelperLimits
from truckee.helper.server.registry import Uploads, new_uploads
from truckee.helper.server.upload import HelperUpload
from truckee.helper.wire import Parameters
from truckee.immutable.upload.grid_sink import GridSinks
from truckee.net.http.respond import Responder
from truckee.net.http.site import StreamingSite

DAY = 86400.0
KEY = b"k" * 16
INDEX = storage_index_of(KEY)
NAME = base32.encode(INDEX)
PARAMETERS = Parameters(2, 2, 3, 64)

# A file as clients send it, and the root of the hash tree over that.
CIPHERTEXT = crypt(KEY, 0, bytes(1000))
ROOT = make_file(bytes(1000), KEY, Encoding(2, 3, 64)).crypttext_tree[:32]

# What stock helpers tell, in their order.
COUNTERS = (
    "active_uploads",
    "incoming_count",
    "incoming_size",
    "incoming_size_old",
    "encoding_count",
    "encoding_size",
    "encoding_size_old",
    "upload_requests",
    "upload_already_present",
    "upload_need_upload",
    "resumes",
    "fetched_bytes",
    "encoded_bytes",
)


class _Case(TestCase):
    """A site with a helper."""

    timeout = 120

    def setUp(self) -> None:
        self.grid = Grid.new(self)
        self.uploads = self.new_uploads()
        reporter = HelperReporter(self.uploads, self.grid.disk, lambda: NOW)
        self.port = self.serve(reporter)

    def new_uploads(self, limits: HelperLimits | None = None) -> Uploads:
        """Return a helper's uploads, which end with the test."""

        def sinks(parameters: Parameters) -> GridSinks:
            return evolve(
                self.grid.sinks,
                encoding=parameters.encoding,
                selector=self.grid.selector.demanding(parameters.happy),
            )

        grid, home = self.grid, self.grid.root / "helper"
        uploads = new_uploads(
            home, limits or HelperLimits(), grid.selector, sinks, grid.disk, REACTOR, now
        )
        uploads.look()
        uploads.start()
        self.addCleanup(until, lambda: not uploads.active)
        self.addCleanup(uploads.stop)
        return uploads

    def serve(self, reporter: HelperReporter | None) -> Any:
        """Return the port of a site that tells of a helper."""
        responder = Responder(STATUSES)
        root = RootResource(
            self.grid.uploader,
            self.grid.downloader,
            responder,
            lambda: GridStatus([]),
            reporter,
            # By this clock a report takes no time, so each who asks gets a new one.
            events=Events(new_tasks(self), Clock(), lambda: NOW),
        )
        site = StreamingSite(root, responder, reactor=REACTOR, hosts=HOSTS)
        port = REACTOR.listenTCP(0, site, interface="127.0.0.1")

        async def stop() -> None:
            await port.stopListening()
            site.abort()
            await site.drain()

        self.addCleanup(stop)
        return port

    async def ask(self, query: str = "", method: str = "GET", port: Any = None) -> Reply:
        """Return the answer of /helper_status."""
        number = (port or self.port).getHost().port
        endpoint = TCP4ClientEndpoint(REACTOR, "127.0.0.1", number)
        wire: Any = await endpoint.connect(Factory.forProtocol(Wire))
        assert isinstance(wire, Wire)
        try:
            body = "t=json&token=x" if method == "POST" else ""
            wire.write(
                f"{method} /helper_status{query} HTTP/1.1\r\nHost: x\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            return await wire.reply(head=method == "HEAD")
        finally:
            wire.transport.abortConnection()
            await wire.closed()

    async def told(self) -> Any:
        """Return what programs are told."""
        return json.loads((await self.ask("?t=json")).body)

    async def page(self) -> str:
        """Return what people are told."""
        return (await self.ask()).body.decode()

    async def open(self, size: int | None, index: bytes = INDEX) -> HelperUpload:
        """Have a client bring a file; it goes with the test."""
        upload = await self.uploads.open(index, PARAMETERS, size)
        assert isinstance(upload, HelperUpload)
        return upload

    async def gone(self, upload: HelperUpload) -> None:
        """Have a client go away, and wait until nothing is open any more."""
        upload.leave()
        await until(lambda: not self.uploads.active)

    def put(self, place: Path, name: str, size: int, age: float) -> Path:
        """Leave a file on the helper's disk that was last written *age* seconds ago."""
        path = place / name
        path.write_bytes(bytes(size))
        os.utime(path, (NOW - age, NOW - age))
        return path


def now() -> float:
    """The uploads' clock stands still."""
    return NOW


class JsonTests(_Case):
    async def test_no_helper(self) -> None:
        """A node that is no helper says so: {} to programs, a sentence to people."""
        port = self.serve(None)
        told = await self.ask("?t=json", port=port)
        self.assertEqual(json.loads(told.body), {})
        self.assertTrue(told.headers["content-type"].startswith("text/plain"))
        self.assertIn("is no helper", (await self.ask(port=port)).body.decode())

    async def test_idle(self) -> None:
        """A helper has all of stock's counters, and what is ours under one key."""
        told = await self.told()
        ours = told.pop("truckee")
        self.assertEqual(
            list(told), [f"chk_upload_helper.{counter}" for counter in COUNTERS]
        )
        self.assertEqual(set(told.values()), {0})
        self.assertGreater(ours.pop("disk_free"), 0)
        self.assertEqual(
            ours,
            {
                "spool_limit": 64 << 30,
                "spool_used": 0,
                "max_size": 1 << 40,
                "max_uploads": 64,
                "expire_after": 14 * DAY,
                "uploads": [],
                "kept": [],
                "kept_count": 0,
                "problems": [],
            },
        )

    async def test_receiving(self) -> None:
        """An upload is told with what is held, what is stored, and how large it is."""
        upload = await self.open(1000)
        await upload.append(0, bytes(200))
        await until(lambda: upload.stored == 192)
        told = await self.told()
        self.assertEqual(
            told["truckee"]["uploads"],
            [
                {
                    "storage_index": NAME[:5],
                    "held": 200,
                    "stored": 192,
                    "size": 1000,
                    "phase": "receiving",
                    "clients": 1,
                }
            ],
        )
        self.assertEqual(told["truckee"]["spool_used"], 200)
        self.assertEqual(told["truckee"]["kept"], [])
        for counter, number in (
            ("active_uploads", 1),
            ("incoming_count", 1),
            ("incoming_size", 200),
            ("upload_requests", 1),
            ("upload_need_upload", 1),
            ("fetched_bytes", 200),
        ):
            self.assertEqual(told[f"chk_upload_helper.{counter}"], number, counter)
        await self.gone(upload)

    async def test_unknown_size(self) -> None:
        """An open file has no size yet, and is stored all the same."""
        upload = await self.open(None)
        await upload.append(0, bytes(200))
        await until(lambda: upload.stored == 192)
        [told] = (await self.told())["truckee"]["uploads"]
        self.assertEqual((told["size"], told["held"], told["stored"]), (None, 200, 192))
        await self.gone(upload)

    async def check_phase(self, phase: str) -> None:
        """Check what is told of the one complete file."""
        told = await self.told()
        [upload] = told["truckee"]["uploads"]
        self.assertEqual((upload["held"], upload["phase"]), (1000, phase))
        self.assertEqual(told["chk_upload_helper.encoding_size"], 1000)

    async def test_phases(self) -> None:
        """A complete file is being stored, and then its shares are being finished."""
        gates: dict[str, Deferred[None]] = {"write": Deferred(), "close": Deferred()}

        async def mood(operation: str, share: int) -> None:
            if operation in gates:
                await gates[operation]

        for server in self.grid.servers:
            server.mood = mood
        upload = await self.open(1000)
        await upload.append(0, CIPHERTEXT)
        finishing = Deferred.fromCoroutine(upload.finish(1000, ROOT))
        await self.check_phase("storing")
        gates.pop("write").callback(None)
        await until(lambda: upload.phase == "closing")
        await self.check_phase("closing")
        gates.pop("close").callback(None)
        await finishing
        await self.gone(upload)

    async def test_counters(self) -> None:
        """A file that is stored, asked for again, and gone on with, is counted as such."""
        upload = await self.open(1000)
        await upload.append(0, CIPHERTEXT[:100])
        await self.gone(upload)
        upload = await self.open(1000)
        await upload.append(100, CIPHERTEXT[100:])
        await upload.finish(1000, ROOT)
        await self.gone(upload)
        await self.uploads.open(INDEX, PARAMETERS, 1000)
        told = await self.told()
        for counter, number in (
            ("upload_requests", 3),
            ("upload_need_upload", 2),
            ("upload_already_present", 1),
            ("resumes", 1),
            ("fetched_bytes", 1000),
            ("encoded_bytes", 1000),
            ("active_uploads", 0),
            ("incoming_count", 0),
            ("encoding_count", 0),
        ):
            self.assertEqual(told[f"chk_upload_helper.{counter}"], number, counter)
        self.assertEqual(told["truckee"]["spool_used"], 0)


class KeptTests(_Case):
    async def test_kept(self) -> None:
        """What nobody brings is told with when it expires, what expires first at first."""
        young = base32.encode(b"y" * 16)
        self.put(self.uploads.spool.incoming, young, 300, 1 * DAY)
        self.put(self.uploads.spool.encoding, NAME, 700, 3 * DAY)
        self.put(self.uploads.spool.encoding, f"{NAME}.json", 9, 3 * DAY)
        told = await self.told()
        self.assertEqual(
            told["truckee"]["kept"],
            [
                {
                    "storage_index": name[:5],
                    "held": held,
                    "complete": complete,
                    "last_byte": NOW - age,
                    "expires": NOW - age + 14 * DAY,
                }
                for name, held, complete, age in (
                    (NAME, 700, True, 3 * DAY),
                    (young, 300, False, 1 * DAY),
                )
            ],
        )
        for counter, number in (
            ("incoming_count", 1),
            ("incoming_size", 300),
            ("incoming_size_old", 0),
            ("encoding_count", 1),
            ("encoding_size", 700),
            ("encoding_size_old", 700),  # it is older than two days
        ):
            self.assertEqual(told[f"chk_upload_helper.{counter}"], number, counter)

    async def test_many(self) -> None:
        """However many files are kept, a page has a bounded number of them."""
        for number in range(MOST_KEPT + 3):
            name = base32.encode(number.to_bytes(16, "big"))
            self.put(self.uploads.spool.incoming, name, 1, float(number))
        told = (await self.told())["truckee"]
        self.assertEqual(
            (len(told["kept"]), told["kept_count"]), (MOST_KEPT, MOST_KEPT + 3)
        )
        self.assertEqual(told["kept"][0]["last_byte"], NOW - MOST_KEPT - 2)
        self.assertIn("And 3 more", await self.page())

    async def test_left(self) -> None:
        """What a client left is not under way any more, and is kept."""
        upload = await self.open(1000)
        await upload.append(0, bytes(100))
        await self.gone(upload)
        told = (await self.told())["truckee"]
        self.assertEqual(told["uploads"], [])
        self.assertEqual([kept["held"] for kept in told["kept"]], [100])
        self.assertIn("waits for a client", await self.page())

    async def test_strange_disk(self) -> None:
        """What is not ours on the disk is not told, and what is gone does no harm."""
        (self.uploads.spool.incoming / "lost+found").mkdir()
        (self.uploads.spool.incoming / base32.encode(b"d" * 16)).mkdir()
        (self.uploads.spool.incoming / base32.encode(b"l" * 16)).symlink_to("/nowhere")
        self.put(self.uploads.spool.incoming, "<b>letter", 5, 0.0)
        self.put(self.uploads.spool.incoming, NAME, 7, 0.0)
        self.uploads.spool.encoding.rmdir()
        told = await self.told()
        self.assertEqual(told["chk_upload_helper.incoming_count"], 1)
        self.assertEqual(told["chk_upload_helper.incoming_size"], 7)
        self.assertEqual(told["chk_upload_helper.encoding_count"], 0)
        self.assertNotIn("letter", await self.page())
        shutil.rmtree(self.uploads.spool.directory)
        told = await self.told()
        self.assertEqual(told["truckee"]["disk_free"], None)
        self.assertEqual((await self.ask()).status, 200)


# Of all pages: one ends service workers that are not ours, one keeps the page as it is.
SCRIPT = re.compile(r'<script src="static/(workers|live)\.js"[^>]*></script>')
STYLE = '<link rel="stylesheet" href="static/style.css" />'


class PageTests(_Case):
    async def test_bars(self) -> None:
        """People see how far each upload is, in a bar and in words."""
        upload = await self.open(10**5)
        await upload.append(0, bytes(25_000))
        await until(lambda: upload.stored == 24_960)
        page = await self.page()
        bars = re.findall('<progress max="([0-9]+)" value="([0-9]+)" ', page)
        self.assertIn(("100000", "25000"), bars)
        self.assertIn(("100000", "24960"), bars)
        self.assertIn((str(64 << 30), "25000"), bars)
        self.assertIn("25.0 kB of 100.0 kB", page)
        self.assertIn("1 of at most 64.", page)
        await self.gone(upload)

    async def test_unknown_size(self) -> None:
        """Of what nobody knows the end, no bar is shown."""
        upload = await self.open(None)
        await upload.append(0, bytes(2000))
        page = await self.page()
        self.assertIn("2.0 kB of a length not known yet", page)
        self.assertEqual(page.count("<progress"), 1)  # the disk's
        await self.gone(upload)

    async def test_storage_index(self) -> None:
        """Nobody learns a whole storage index, by which shares could be asked for."""
        upload = await self.open(1000)
        self.put(self.uploads.spool.incoming, base32.encode(b"y" * 16), 300, 0.0)
        for text in (await self.page(), json.dumps(await self.told())):
            self.assertIn(NAME[:5], text)
            self.assertNotIn(NAME[:6], text)
            self.assertNotIn(base32.encode(b"y" * 16)[:6], text)
        await self.gone(upload)

    async def test_refresh(self) -> None:
        """A browser looks again, also without scripts, while something is under way."""
        self.assertNotIn("refresh", await self.page())
        upload = await self.open(1000)
        page = await self.page()
        self.assertIn('http-equiv="refresh"', page)
        self.assertNotIn("<script", SCRIPT.sub("", page))
        await self.gone(upload)

    async def test_nothing_from_elsewhere(self) -> None:
        """A browser fetches the scripts and the style of all pages, nothing more."""
        # Without an icon of its own a browser would ask for one.
        page = (await self.page()).replace('<link rel="icon" href="data:," />', "")
        page = SCRIPT.sub("", page).replace(STYLE, "")
        for word in ("src=", "<link", "url(", "@import", "http:", "https:"):
            self.assertNotIn(word, page)

    async def test_expiry(self) -> None:
        """People see after how long, and when, what is kept will be deleted."""
        self.put(self.uploads.spool.incoming, NAME, 300, 0.0)
        page = await self.page()
        self.assertIn("deleted 14 days after its last byte", page)
        self.assertIn("28 Nov 2023, 22:13 UTC", page)


class RequestTests(_Case):
    async def test_methods(self) -> None:
        """GET, HEAD and POST are the same: programs for stock gateways send a POST."""
        for method in ("GET", "POST", "HEAD"):
            reply = await self.ask("?t=json", method)
            self.assertEqual(reply.status, 200)
            self.assertTrue(reply.headers["content-type"].startswith("text/plain"))
            self.assertEqual(b"spool_limit" in reply.body, method != "HEAD")

    async def test_arguments(self) -> None:
        """A kind of answer that is not known is refused."""
        reply = await self.ask("?t=xml")
        self.assertEqual(reply.status, 400)
        self.assertIn(b"json", reply.body)

    async def test_caches(self) -> None:
        """Nobody keeps what is of the moment."""
        for query in ("", "?t=json"):
            reply = await self.ask(query)
            self.assertEqual(reply.headers["cache-control"], "no-store")


class NodeTests(SynchronousTestCase):
    def test_node(self) -> None:
        """
        A helper's own page shows an upload that a gateway pushes, while it is under way;
        the gateway's first page says that it goes there.
        """
        room = tempfile.TemporaryDirectory()
        self.addCleanup(room.cleanup)
        shape, [port] = Shape(1, 1, 1), free_ports(1)
        directory = Path(room.name)
        server = write_node(directory / "server", "", port, storage=True, web=False)
        helper = write_helper(directory / "helper", "", shape)
        gateway = write_node(directory / "gateway", "", shape=shape)
        use_helper(gateway, helper.helper_furl)
        # It reaches no servers, which could confirm what the helper says.
        config = gateway.directory / "tahoe.cfg"
        config.write_text(
            config.read_text().replace("[client]\n", "[client]\nhelper.verify = false\n")
        )
        known = {"ann": {"anonymous-storage-FURL": server.furl}}
        (helper.directory / "private" / "servers.yaml").write_text(
            yaml.safe_dump({"storage": {"one": known}})
        )
        for node in (server, helper, gateway):
            node.spawn("ours")
            self.addCleanup(node.stop)
        helper.wait_until(partial(reaches, helper, 1))
        gateway.wait_until(lambda: _document(gateway.url)["truckee"]["helper"]["pushes"])
        routes = _document(gateway.url)["truckee"]["next_upload"]
        self.assertEqual(routes["known_length"], "helper")
        status = f"{helper.url}helper_status?t=json"

        def uploads() -> Any:
            return _document(status)["truckee"]["uploads"]

        with Client(gateway.url) as client:
            client.request("PUT /uri?output=json", f"Content-Length: {4 * MIB}")
            client.send(bytes(2 * MIB))
            # A piece that is not full waits in the gateway; its size is up to the line.
            least = 2 * MIB - LARGEST_PIECE
            eventually(lambda: [each["held"] >= least for each in uploads()] == [True])
            [upload] = uploads()
            self.assertEqual((upload["size"], upload["clients"]), (4 * MIB, 1))

            def shown() -> bool:
                [upload] = uploads()
                page = ask(f"{helper.url}helper_status").body.decode()
                return f'value="{upload["held"]}"' in page

            eventually(shown)  # more may come between the two
            self.assertIn("1 upload under way", ask(helper.url).body.decode())
            client.send(bytes(2 * MIB))
            self.assertEqual(json.loads(client.reply().body)["route"], "helper")
        eventually(lambda: uploads() == [])
        told = _document(status)
        self.assertEqual(told["chk_upload_helper.encoded_bytes"], 4 * MIB)
        self.assertEqual(_document(f"{gateway.url}helper_status?t=json"), {})
        # It has no servers of its own, so without the helper there is no way.
        body = bytes(1000)
        direct = ask(
            "-X", "PUT", "--data-binary", "@-", f"{gateway.url}uri?helper=no", data=body
        )
        self.assertEqual(direct.status, 503)
        helper.stop()
        eventually(
            lambda: (
                _document(gateway.url)["truckee"]["next_upload"]["known_length"]
                == "servers"
            )
        )
        self.assertIn("Not connected", ask(gateway.url).body.decode())


def _document(url: str) -> Any:
    return json.loads(ask(url if "?" in url else f"{url}?t=json").body)
