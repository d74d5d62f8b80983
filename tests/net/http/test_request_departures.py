"""Clients that send what they have and go, or send no more: what came of a body counts."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from fcntl import ioctl
from functools import partial
from itertools import product
from termios import TIOCOUTQ

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from tests.net.http.wire import Served, Sink, Wire, eventually
from truckee.net.http.refusals import BodyAborted
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import Answer

DATA = bytes(range(250)) * 200  # what the smallest buffer of a socket has room for
HEAD = b"PUT /sink HTTP/1.1\r\nHost: h\r\n"


class KeepingSink(Sink):
    """Keeps what comes, as an open upload does."""

    def accept(self, request: StreamingRequest) -> None:
        super().accept(request)
        request.keeps_parts = True


class OneByOne(KeepingSink):
    """Answers with what came, also when there is more to come."""

    async def receive(
        self, request: StreamingRequest, body: AsyncIterator[bytes]
    ) -> Answer:
        try:
            return await super().receive(request, body)
        except BodyAborted as error:
            size = sum(map(len, self.chunks))
            return Answer(str(error).encode(), 400, {"upload-offset": str(size)})


def is_idle(sink: Sink) -> bool:
    """Tell whether nothing is received."""
    return not sink.running


def body(framing: str, whole: bool) -> bytes:
    """Return a request with all of DATA, to whose end something is missing or not."""
    if framing == "sized":
        size = len(DATA) + (0 if whole else 1)
        return HEAD + b"Content-Length: %d\r\n\r\n" % size + DATA
    size, end = len(DATA), b"0\r\n\r\n" if whole else b""
    if framing == "tiny chunks":  # more of them than are taken apart in one turn
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in DATA[:3000])
        chunks += b"%x\r\n%s\r\n" % (size - 3000, DATA[3000:])
    else:
        chunks = b"%x\r\n%s\r\n" % (size, DATA)
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + end


async def sent(wire: Wire) -> None:
    """Wait until all that was written is with the system of the server."""
    handle = wire.transport.getHandle()

    def is_out() -> bool:
        left = struct.unpack("i", ioctl(handle, TIOCOUTQ, b"\0" * 4))[0]
        waits = wire.transport.dataBuffer or wire.transport._tempDataBuffer
        return not left and not waits

    await eventually(is_out)


class DepartureTests(TestCase):
    def serve(self, tls: bool = False, kind: type[Sink] = OneByOne) -> Served:
        """Return a site whose sink keeps what comes."""
        served = Served(self, tls=tls)
        served.sink = kind()
        served.root.putChild(b"sink", served.sink)
        return served

    async def test_what_came_counts(self) -> None:
        """All that was sent is received, however the client ends, also if nobody reads."""
        served = self.serve()
        framings = ("sized", "chunked", "tiny chunks")
        ends = ("close", "reset", "half-close")
        for case in product(framings, (True, False), ends, ("first", "second")):
            framing, whole, end, gate = case
            sink = served.sink = OneByOne()
            served.root.putChild(b"sink", sink)
            hold: Deferred[None] = Deferred()
            if gate == "first":
                sink.gate = hold
            else:
                sink.after_chunk = hold
            wire = await served.connect()
            wire.write(body(framing, whole))
            await eventually(partial(getattr, sink, "running"))
            await sent(wire)
            if end == "close":
                wire.transport.loseConnection()
            elif end == "reset":
                wire.transport.abortConnection()
            else:
                wire.transport.loseWriteConnection()
            if end != "half-close":
                await wire.closed()
            hold.callback(None)
            await eventually(partial(is_idle, sink))
            self.assertEqual(b"".join(sink.chunks), DATA, case)
            kinds = [type(error) for error in sink.errors]
            self.assertEqual(kinds, [] if whole else [BodyAborted], case)
            if end == "half-close":
                reply = await wire.reply()
                self.assertEqual(reply.status, 200 if whole else 400, case)
                if not whole:
                    offset = reply.headers["upload-offset"]
                    self.assertEqual(offset, str(len(DATA)), case)
                await wire.closed()

    async def test_tls(self) -> None:
        """Over TLS there is no half-closing: a goodbye is one, and what came counts."""
        served = self.serve(tls=True)
        for whole in (True, False):
            sink = served.sink = OneByOne()
            served.root.putChild(b"sink", sink)
            sink.after_chunk = Deferred()
            wire = await served.connect()
            wire.write(body("sized", whole))
            await eventually(partial(getattr, sink, "chunks"))
            wire.transport.loseConnection()
            await eventually(lambda: not served.site.connections)
            sink.after_chunk.callback(None)
            await eventually(partial(is_idle, sink))
            self.assertEqual(b"".join(sink.chunks), DATA)
            kinds = [type(error) for error in sink.errors]
            self.assertEqual(kinds, [] if whole else [BodyAborted])

    async def test_nobody_keeps(self) -> None:
        """An upload in one request is cancelled, and who still listens hears why."""
        served = self.serve(kind=Sink)
        for framing in ("sized", "chunked", "tiny chunks"):
            wire = await served.connect()
            wire.write(body(framing, whole=False))
            wire.transport.loseWriteConnection()
            reply = await wire.reply()
            self.assertEqual((reply.status, b"complete" in reply.body), (400, True))
            self.assertTrue(await wire.closed())
            await eventually(lambda: not served.sink.running)
            self.assertIsInstance(served.sink.errors.pop(), CancelledError)

    async def test_half_closed(self) -> None:
        """Who has asked and sends no more is answered: reading, and several requests."""
        served = self.serve(kind=Sink)
        get = b"GET /plain HTTP/1.1\r\nHost: h\r\n\r\n"
        for asked, answers in (
            (get, 1),
            (get * 3, 3),
            (get.replace(b"1.1", b"1.0"), 1),
            (get + body("sized", whole=True), 2),
            (body("chunked", whole=True) + get, 2),
            (b"POST /plain HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab", 1),
            (b"DELETE /plain HTTP/1.1\r\nHost: h\r\n\r\n", 1),
        ):
            wire = await served.connect()
            wire.write(asked)
            wire.transport.loseWriteConnection()
            for _ in range(answers):
                self.assertIn((await wire.reply()).status, (200, 405))
            self.assertTrue(await wire.closed())
