# mypy: disable-error-code="no-untyped-call"
"""HTTP/1.1 with streamed bodies, over real sockets on loopback."""

from __future__ import annotations

import hashlib

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from tests.frontends.wire import Served, chunked, eventually, sleep


def told(data: bytes) -> bytes:
    """Return what a sink answers to *data*."""
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()


class ArrivalTests(TestCase):
    tls = False

    async def test_body_arrives_before_the_request_is_complete(self) -> None:
        """A resource has the first bytes while the client still holds the last ones."""
        served = Served(self, tls=self.tls)
        wire = await served.connect()
        wire.write(b"PUT /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello")
        await eventually(lambda: served.sink.chunks == [b"hello"])
        wire.write(b"world")
        reply = await wire.reply()
        self.assertEqual((reply.status, reply.body), (200, told(b"helloworld")))

    async def test_chunked_body_arrives_before_the_request_is_complete(self) -> None:
        """The same holds for a chunked body, whose length is unknown."""
        served = Served(self, tls=self.tls)
        wire = await served.connect()
        wire.write(b"PUT /sink HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.write(b"5\r\nhello\r\n")
        await eventually(lambda: served.sink.chunks == [b"hello"])
        self.assertIsNone(served.sink.requests[0].bodyLength)
        wire.write(chunked(b"world"))
        reply = await wire.reply()
        self.assertEqual((reply.status, reply.body), (200, told(b"helloworld")))

    async def test_client_gone(self) -> None:
        """When the client goes away in mid-body the receiver is cancelled at once."""
        served = Served(self, tls=self.tls)
        served.sink.after_chunk = Deferred()
        wire = await served.connect()
        wire.write(b"PUT /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello")
        await eventually(lambda: served.sink.chunks)
        wire.transport.abortConnection()
        await eventually(lambda: served.sink.errors, 1.0)
        self.assertIsInstance(served.sink.errors[0], CancelledError)

    async def test_many_bytes(self) -> None:
        """A body larger than every buffer arrives whole, in bounded pieces."""
        served = Served(self, tls=self.tls)
        body = bytes(range(256)) * 20_000
        wire = await served.connect()
        wire.write(b"PUT /sink HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body))
        wire.write(body)
        reply = await wire.reply()
        self.assertEqual(reply.body, told(body))
        self.assertLess(max(map(len, served.sink.chunks)), 600_000)
        await sleep(0)


class TlsArrivalTests(ArrivalTests):
    tls = True
