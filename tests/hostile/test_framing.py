"""
Requests that two programs could read in two ways, on real connections.

The table of ``ConformanceTests`` has the cases of h1spec that apply to a server like this.
"""

from __future__ import annotations

import hashlib

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.net.http.wire import Served, Wire, chunked, eventually

GET = b"GET /plain HTTP/1.1\r\n"
HOST = b"Host: example.com\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
NEXT = b"GET /plain HTTP/1.1\r\nHost: next\r\n\r\n"


def told(data: bytes) -> bytes:
    """Return what the sink answers to *data*."""
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()


class ConformanceTests(TestCase):
    async def test_waits_for_the_rest(self) -> None:
        """A head that ends early, wherever that is, is waited for: nothing is answered."""
        served = Served(self)
        whole = GET + b"Host: localhost\r\n\r\n"
        wires = []
        # After the method, in the target, in the version, in each part of a header, and
        # between the CR and the LF of each line.
        for cut in (1, 4, 10, 11, 15, 19, 20, 21, 24, 26, 27, 36, 37, 38, 39):
            wire = await served.connect()
            wire.write(whole[:cut])
            wires.append((wire, cut))
        # By then all that came before has been looked at.
        self.assertEqual((await served.ask(whole)).status, 200)
        for wire, cut in wires:
            self.assertEqual((wire.data, wire.lost), (b"", None), whole[:cut])
            wire.write(whole[cut:])
        for wire, _ in wires:
            self.assertEqual((await wire.reply()).status, 200)

    async def test_answers(self) -> None:
        """Well-formed requests are answered, others refused; those end the connection."""
        served = Served(self)
        good = (
            GET + HOST + b"\r\n",
            GET + HOST + b"Expect: 100-continue\r\n\r\n",
            GET + b"hoSt:\texample.com\r\nempty:\r\n\r\n",
            GET + HOST + b"X-Empty-Header: \r\n\r\n",
            b"POST /plain HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello",
            b"\r\n" + GET + HOST + b"\r\n",
            b"GET http://example.com/plain HTTP/1.1\r\n" + HOST + b"\r\n",
            b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
        )
        for request in good:
            wire = await served.connect()
            wire.write(request + NEXT)
            for _ in range(2):
                self.assertEqual((await wire.reply()).status, 200, request)
        bad = (
            b"GET / \r\n\r\n",
            GET + HOST + b"X-Invalid[]: test\r\n\r\n",
            GET + b"Content-Length: 5\r\n\r\n",
            GET + HOST + b"Host: example.org\r\n\r\n",
            GET + HOST + b"Content-Length: -123456789123456789123456789\r\n\r\n",
            GET + HOST + b"Content-Length: -1234\r\n\r\n",
            GET + HOST + b"Content-Length: abc\r\n\r\n",
            GET + HOST + b"X-Bad-Control-Char: test\x07\r\n\r\n",
            b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
            b"Extra lineGET / HTTP/1.1\r\n" + HOST + b"\r\n",
            GET + HOST + b"\rSome-Header: Test\r\n\r\n",
            GET + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
            GET
            + HOST
            + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
            GET + HOST + b"X: a\r\n folded\r\n\r\n",
            GET.replace(b"\r", b"") + HOST + b"\r\n",
            b"GET /plain HTTP/1.1\nHost: example.com\n\n",
            b"GET * HTTP/1.1\r\n" + HOST + b"\r\n",
            b"CONNECT example.com:443 HTTP/1.1\r\n" + HOST + b"\r\n",
        )
        for request in bad:
            wire = await served.connect()
            wire.write(request + NEXT)
            reply = await wire.reply()
            self.assertIn(reply.status, (400, 505), request)
            self.assertEqual(reply.headers["connection"], "close", request)
            wire.transport.loseConnection()
            await wire.closed()
            self.assertEqual(wire.data, b"", request)

    async def test_the_server_itself(self) -> None:
        """OPTIONS of the star tells the methods that there are."""
        served = Served(self)
        reply = await served.ask(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertEqual((reply.status, reply.body), (200, b""))
        self.assertIn("PATCH", reply.headers["allow"])

    async def test_absolute_target(self) -> None:
        """The host in an absolute target replaces the one of the header."""
        served = Served(self)
        wire = await served.connect()
        wire.write(
            b"PUT http://real:80/sink?a=b HTTP/1.1\r\nHost: other\r\n"
            b"Content-Length: 2\r\n\r\nhi"
        )
        self.assertEqual((await wire.reply()).body, told(b"hi"))
        request = served.sink.requests[0]
        self.assertEqual((request.getHeader("host"), request.path), ("real:80", b"/sink"))


class HalfClosed(Wire):
    """A client that says that it is done with sending."""

    def finish(self) -> None:
        self.transport.loseWriteConnection()


class HalfClosedTests(TestCase):
    """What was received until the client shut its sending side is answered."""

    async def answers(self, served: Served, data: bytes) -> list[bytes]:
        """Return the bodies that a client gets which sends *data* and shuts its side."""
        wire = await served.connect(HalfClosed)
        assert isinstance(wire, HalfClosed)
        wire.write(data)
        wire.finish()
        found = []
        for _ in range(data.count(b" HTTP/1.1")):
            found.append((await wire.reply()).body)
        self.assertTrue(await wire.closed())
        self.assertEqual(wire.data, b"")
        return found

    async def test_get(self) -> None:
        """One request and several ones."""
        served = Served(self)
        for count in (1, 3):
            found = await self.answers(served, NEXT * count)
            self.assertEqual(found, [b"plain 0"] * count)
        await eventually(lambda: not served.site.connections)

    async def test_put(self) -> None:
        """A body that had come before, small and large, of a known length and chunked."""
        served = Served(self)
        put = b"PUT /sink HTTP/1.1\r\n" + HOST
        for size in (3, 3 << 20):
            data = bytes(size)
            sized = put + b"Content-Length: %d\r\n\r\n" % size + data
            self.assertEqual(await self.answers(served, sized), [told(data)])
            in_chunks = put + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(data)
            self.assertEqual(await self.answers(served, in_chunks), [told(data)])

    async def test_while_the_answer_is_made(self) -> None:
        """The work goes on, and is answered when it is done."""
        served = Served(self)
        served.sink.after_chunk = Deferred()
        wire = await served.connect(HalfClosed)
        assert isinstance(wire, HalfClosed)
        wire.write(b"PUT /sink HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nhi")
        wire.finish()
        (channel,) = served.site._channels
        await eventually(lambda: channel._ended)
        served.sink.after_chunk.callback(None)
        self.assertEqual((await wire.reply()).body, told(b"hi"))
        self.assertTrue(await wire.closed())

    async def test_in_the_middle(self) -> None:
        """A body or a head that is not complete never will be: that is the end."""
        served = Served(self)
        for data in (
            b"PUT /sink HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\nhi",
            GET + HOST,
            b"",
        ):
            wire = await served.connect(HalfClosed)
            assert isinstance(wire, HalfClosed)
            wire.write(data)
            wire.finish()
            await wire.closed(5.0)
            await eventually(lambda: not served.site.connections)
        await eventually(lambda: served.sink.errors)
        self.assertEqual(served.sink.running, 0)
