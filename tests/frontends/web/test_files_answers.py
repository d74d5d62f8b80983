"""What the client of an upload is told of it, with ``output=json``."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, Grid, new_events
from tests.net.http.wire import HOSTS, Reply, Wire
from truckee.codec.caps import ChkReadCap, LiteralCap, parse_cap
from truckee.frontends.web.root import STATUSES, RootResource
from truckee.frontends.web.welcome import GridStatus
from truckee.net.http.respond import Responder
from truckee.net.http.site import StreamingSite

DATA = bytes(range(200)) * 5
BOUNDARY = "b" * 20


class AnswerTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.grid = Grid.new(self, happy=2)
        responder = Responder(STATUSES)
        root = RootResource(
            self.grid.uploader,
            self.grid.downloader,
            responder,
            lambda: GridStatus([]),
            events=new_events(self),
        )
        site = StreamingSite(root, responder, reactor=REACTOR, hosts=HOSTS)
        self.port = REACTOR.listenTCP(0, site, interface="127.0.0.1")

        async def stop() -> None:
            await self.port.stopListening()
            site.abort()
            await site.drain()

        self.addCleanup(stop)

    async def ask(self, head: str, body: bytes) -> Reply:
        """Return the answer to a request."""
        endpoint = TCP4ClientEndpoint(REACTOR, "127.0.0.1", self.port.getHost().port)
        wire: Any = await endpoint.connect(Factory.forProtocol(Wire))
        assert isinstance(wire, Wire)
        try:
            lines = [head, "Host: x", f"Content-Length: {len(body)}", "", ""]
            wire.write("\r\n".join(lines).encode() + body)
            return await wire.reply()
        finally:
            wire.transport.abortConnection()
            await wire.closed()

    async def put(self, query: str, body: bytes = DATA) -> Reply:
        """Return the answer to a PUT."""
        return await self.ask(f"PUT /uri{query} HTTP/1.1", body)

    async def post(self, query: str, *fields: tuple[str, str]) -> Reply:
        """Return the answer to a form with *fields*, and then the file."""
        form = "".join(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
            f"{value}\r\n"
            for name, value in (*fields, ('file"; filename="a', DATA.decode("latin-1")))
        )
        kind = f"Content-Type: multipart/form-data; boundary={BOUNDARY}"
        body = f"{form}--{BOUNDARY}--\r\n".encode("latin-1")
        return await self.ask(f"POST /uri{query} HTTP/1.1\r\n{kind}", body)

    async def test_json(self) -> None:
        """Asked for JSON, an upload tells its cap, its way and where its shares are."""
        for reply in (
            await self.put("?output=json"),
            await self.put("?output=JSON&helper=no"),
            await self.post("?output=json"),
            await self.post("", ("output", "json"), ("helper", "no")),
        ):
            self.assertEqual(reply.status, 200, reply.body)
            kind = reply.headers["content-type"]
            self.assertEqual(kind, "application/json; charset=utf-8")
            told = json.loads(reply.body)
            cap = parse_cap(told.pop("cap"))
            assert isinstance(cap, ChkReadCap)
            self.assertEqual(await self.grid.read(cap), DATA)
            shares = told.pop("shares")
            self.assertEqual(set(shares), {"0", "1", "2"})
            servers = sorted(name for names in shares.values() for name in names)
            self.assertEqual(servers, ["server 0", "server 1", "server 2"])
            right = {"size": 1000, "route": "servers", "happiness": 3}
            nothing: dict[str, object] = {"lost": [], "unplaced": [], "unproved": []}
            self.assertEqual(told, {**right, **nothing})

    async def test_cap_alone(self) -> None:
        """Who does not ask gets the cap and nothing else."""
        for reply in (await self.put(""), await self.post("?t=upload")):
            self.assertTrue(reply.headers["content-type"].startswith("text/plain"))
            self.assertIsInstance(parse_cap(reply.body.decode()), ChkReadCap)

    async def test_literal(self) -> None:
        """A file that is in its cap took no way, and has no shares."""
        told = json.loads((await self.put("?output=json", b"short")).body)
        self.assertIsInstance(parse_cap(told.pop("cap")), LiteralCap)
        self.assertEqual(
            told,
            {
                "size": 5,
                "route": "cap",
                "happiness": 0,
                "shares": {},
                "lost": [],
                "unplaced": [],
                "unproved": [],
            },
        )

    async def test_lost(self) -> None:
        """A share that was given up is named, with its server and the reason."""
        writes = []

        async def mood(operation: str, share: int) -> None:
            if operation == "write":
                writes.append(share)
                if len(writes) > 3:
                    raise OSError(5, "the cable was pulled")

        self.grid.servers[1].mood = mood
        reply = await self.put("?output=json", DATA * 100)
        self.assertEqual(reply.status, 200, reply.body)
        told = json.loads(reply.body)
        self.assertEqual(told["happiness"], 2)
        [lost] = told["lost"]
        self.assertEqual(lost["server"], "server 1")
        self.assertEqual(lost["share"], writes[0])
        self.assertIn("the cable was pulled", lost["reason"])
        self.assertNotIn(str(writes[0]), told["shares"])
        self.assertEqual(len(told["shares"]), 2)

    async def test_replaced(self) -> None:
        """A share that another server took is named as lost, and where it is now."""

        async def mood(operation: str, share: int) -> None:
            if operation == "write":
                raise OSError(5, "the cable was pulled")

        self.grid.servers[1].mood = mood
        told = json.loads((await self.put("?output=json")).body)
        [lost] = told["lost"]
        self.assertEqual(lost["server"], "server 1")
        [now] = told["shares"][str(lost["share"])]
        self.assertNotEqual(now, "server 1")

    async def test_when_done(self) -> None:
        """A form that names a page to go to goes there, whatever else it asks for."""
        reply = await self.post("?output=json&when_done=/x")
        self.assertEqual((reply.status, reply.headers["location"]), (302, "/x"))

    async def test_arguments(self) -> None:
        """What is not known is refused with its name, and nothing is stored."""
        for query in ("?output=xml", "?helper=perhaps"):
            name = query[1:].partition("=")[0]
            for reply in (await self.put(query), await self.post(query)):
                self.assertEqual(reply.status, 400)
                self.assertIn(f"{name}=", reply.body.decode())
        late = await self.post("", ("helper", "perhaps"))
        self.assertEqual(late.status, 400)
        self.assertEqual(self.grid.files, [])
