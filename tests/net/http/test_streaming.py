"""HTTP/1.1 with streamed bodies, over real sockets on loopback."""

from __future__ import annotations

import hashlib
import socket
import struct
import tempfile
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase

from tests.net.http.wire import NotToday, Served, Wire, chunked, eventually, sleep
from truckee.net.http import peer
from truckee.net.http.body import MalformedBody
from truckee.net.http.limits import HttpLimits
from truckee.net.http.lingering_close import innermost
from truckee.net.http.refusals import BodyAborted, TooSlow
from truckee.net.http.respond import Answer

MIB = 1024 * 1024


def told(data: bytes) -> bytes:
    """Return what a sink answers to *data*."""
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()


def put(body: bytes, *, length: int | None = None, more: bytes = b"") -> bytes:
    """Return a PUT of *body* to the sink; *more* are further header lines."""
    size = len(body) if length is None else length
    head = b"PUT /sink HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n%s\r\n"
    return head % (size, more) + body


def put_chunked(data: bytes) -> bytes:
    """Return a chunked PUT to the sink whose body is *data* as it stands."""
    return b"PUT /sink HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + data


GET = b"GET /plain HTTP/1.1\r\nHost: h\r\n\r\n"
EXPECT = b"Expect: 100-continue\r\n"


class _Case(TestCase):
    tls = False

    def serve(self, limits: HttpLimits | None = None) -> Served:
        """Return a site for this test."""
        return Served(self, limits, tls=self.tls)


class ArrivalTests(_Case):
    async def test_body_arrives_before_the_request_is_complete(self) -> None:
        """A resource has the first bytes while the client still holds the last ones."""
        served = self.serve()
        wire = await served.connect()
        wire.write(put(b"hello", length=10))
        await eventually(lambda: served.sink.chunks == [b"hello"])
        wire.write(b"world")
        reply = await wire.reply()
        self.assertEqual((reply.status, reply.body), (200, told(b"helloworld")))

    async def test_chunked_body_arrives_before_the_request_is_complete(self) -> None:
        """The same holds for a chunked body, whose length is unknown."""
        served = self.serve()
        wire = await served.connect()
        wire.write(put_chunked(b"5\r\nhello\r\n"))
        await eventually(lambda: served.sink.chunks == [b"hello"])
        self.assertIsNone(served.sink.requests[0].bodyLength)
        wire.write(chunked(b"world"))
        reply = await wire.reply()
        self.assertEqual((reply.status, reply.body), (200, told(b"helloworld")))

    async def test_large_body_arrives_in_bounded_pieces(self) -> None:
        """A body larger than every buffer arrives whole, in pieces of two reads."""
        served = self.serve()
        body = bytes(range(256)) * 20_000
        wire = await served.connect()
        wire.write(put(body))
        self.assertEqual((await wire.reply()).body, told(body))
        self.assertLessEqual(max(map(len, served.sink.chunks)), 512 * 1024)

    async def test_empty_body_is_received_too(self) -> None:
        """An upload of nothing passes accept and receive like any other."""
        served = self.serve()
        wire = await served.connect()
        for request in (
            put(b""),
            b"PUT /sink HTTP/1.1\r\nHost: h\r\n\r\n",
            put_chunked(b"0\r\n\r\n"),
            b"POST /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        ):
            wire.write(request)
            self.assertEqual((await wire.reply()).body, told(b""))
        lengths = [request.bodyLength for request in served.sink.requests]
        self.assertEqual(lengths, [0, 0, None, 0])

    async def test_get_is_rendered(self) -> None:
        """GET and HEAD of a streaming resource take the usual way, with a body or not."""
        served = self.serve()
        wire = await served.connect()
        wire.write(b"GET /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
        self.assertEqual((await wire.reply()).body, b"sink")
        wire.write(b"HEAD /sink HTTP/1.1\r\nHost: h\r\n\r\n")
        reply = await wire.reply(head=True)
        self.assertEqual(reply.headers["content-length"], "4")
        self.assertEqual(served.sink.requests, [])

    async def test_arguments_are_those_of_the_query(self) -> None:
        """A form in the body is a body: accept sees the arguments of the URL only."""
        served = self.serve()
        wire = await served.connect()
        form = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n"
        wire.write(b"POST /sink?x=1&y= HTTP/1.1\r\nHost: h\r\n" + form + b"\r\nz=2")
        self.assertEqual((await wire.reply()).body, told(b"z=2"))
        self.assertEqual(served.sink.requests[0].args, {b"x": [b"1"], b"y": [b""]})

    async def test_client_gone(self) -> None:
        """When the client goes away in mid-body the receiver is cancelled at once."""
        served = self.serve()
        wire = await served.connect()
        wire.write(put(b"hello", length=10))
        await eventually(lambda: served.sink.chunks)
        wire.transport.abortConnection()
        await eventually(lambda: served.sink.errors)
        self.assertIsInstance(served.sink.errors[0], CancelledError)
        self.assertEqual(served.sink.running, 0)

    async def test_client_gone_while_the_receiver_works(self) -> None:
        """It is cancelled too while it waits for something else than the body."""
        served = self.serve()
        served.sink.after_chunk = Deferred()
        wire = await served.connect()
        wire.write(put(b"hello", length=10))
        await eventually(lambda: served.sink.chunks)
        wire.transport.loseConnection()
        await eventually(lambda: served.sink.errors)
        self.assertIsInstance(served.sink.errors[0], CancelledError)

    async def test_client_gone_after_the_body(self) -> None:
        """It is cancelled too when the body is complete and the connection is reset."""
        served = self.serve()
        served.sink.after_chunk = Deferred()
        wire = await served.connect()
        wire.write(put(b"hello"))
        await eventually(lambda: served.sink.chunks)
        wire.transport.abortConnection()
        await eventually(lambda: served.sink.errors)
        self.assertIsInstance(served.sink.errors[0], CancelledError)

    async def test_body_of_a_client_that_is_gone_cannot_be_read_on(self) -> None:
        """A receiver that outlives its cancellation gets an error, not an end."""
        served = self.serve()
        seen: list[object] = []

        async def receive(request: object, body: Any) -> Answer:
            for _ in range(2):
                try:
                    await body.__anext__()
                except Exception as error:
                    seen.append(type(error))
            return Answer()

        served.sink.receive = receive  # type: ignore[method-assign]
        wire = await served.connect()
        wire.write(put(b"", length=10))
        await eventually(lambda: served.site.connections)
        await sleep(0.1)
        wire.transport.abortConnection()
        await eventually(lambda: len(seen) == 2)
        self.assertEqual(seen, [CancelledError, BodyAborted])

    async def test_reads_are_large(self) -> None:
        """The transport with the socket reads much of a body at once, little of a head."""
        served = self.serve(HttpLimits(read_size=300_000, read_ahead=2000))
        served.sink.gate = Deferred()
        wire = await served.connect()
        wire.write(put(b"", length=10))
        await eventually(lambda: served.sink.running)
        (channel,) = served.site._channels
        self.assertEqual(channel._wire.bufferSize, 300_000)
        wire.write(b"0123456789")
        served.sink.gate.callback(None)
        await wire.reply()
        self.assertEqual(channel._wire.bufferSize, 2000)
        self.assertIsInstance(channel._wire.getHandle(), socket.socket)

    async def test_no_temporary_file(self) -> None:
        """No body, streamed or not, ever touches the disk."""

        def refuse(*args: object, **kwargs: object) -> None:
            raise AssertionError("a temporary file")

        for name in ("TemporaryFile", "NamedTemporaryFile", "mkstemp"):
            self.patch(tempfile, name, refuse)
        served = self.serve(HttpLimits(max_plain_body=MIB))
        body = bytes(900_000)
        reply = await served.ask(put(body))
        self.assertEqual(reply.body, told(body))
        head = b"POST /plain HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body)
        reply = await served.ask(head + body)
        self.assertEqual(reply.body, told(body))


class TlsArrivalTests(ArrivalTests):
    tls = True


class AnswerTests(_Case):
    """Answers before the body ended, and what becomes of its rest."""

    async def test_refusal_costs_no_body(self) -> None:
        """Refused in accept, a client that waits for 100 Continue sends no body at all."""
        served = self.serve()
        served.sink.refusal = NotToday()
        wire = await served.connect()
        wire.write(put(b"", length=1000, more=EXPECT))
        reply = await wire.reply()
        self.assertEqual((reply.status, reply.body), (403, b"Not today.\n"))
        self.assertEqual(reply.headers["connection"], "close")
        self.assertEqual(served.sink.requests[0].received, 0)

    async def test_small_rest_is_swallowed(self) -> None:
        """After an early answer a short rest is dropped and the connection kept."""
        served = self.serve()
        served.sink.refusal = NotToday()
        wire = await served.connect()
        wire.write(put(b"", length=1000))
        reply = await wire.reply()
        self.assertEqual(reply.status, 403)
        self.assertNotIn("connection", reply.headers)
        wire.write((GET * 100)[:1000])
        wire.write(GET)
        self.assertEqual((await wire.reply()).body, b"plain 0")
        self.assertEqual(served.plain.rendered, 1)

    async def test_large_rest_ends_the_connection(self) -> None:
        """
        With a long rest to come the answer is the last one, and the client gets it even if
        it sends everything first; the rest is never taken for a request.
        """
        served = self.serve()
        served.sink.enough = 10
        wire = await served.connect()
        body = (GET * 300_000)[: 8 * MIB]
        wire.write(put(body))
        reply = await wire.reply()
        self.assertEqual((reply.status, reply.body), (200, b"enough"))
        self.assertEqual(reply.headers["connection"], "close")
        wire.transport.loseConnection()
        await eventually(lambda: served.site.connections == 0)
        self.assertEqual(served.plain.rendered, 0)
        self.assertEqual(wire.data, b"")

    async def test_chunked_rest_ends_the_connection(self) -> None:
        """A rest of unknown length is not waited for."""
        served = self.serve()
        served.sink.enough = 3
        wire = await served.connect()
        wire.write(put_chunked(chunked(b"abc", b"def")) + GET)
        reply = await wire.reply()
        self.assertEqual(reply.body, b"enough")
        self.assertEqual(reply.headers["connection"], "close")
        wire.transport.loseConnection()
        await eventually(lambda: served.site.connections == 0)
        self.assertEqual(served.plain.rendered, 0)

    async def test_lingering_is_bounded(self) -> None:
        """A client that neither goes away nor stops is dropped after the limit."""
        served = self.serve(HttpLimits(linger=0.4, linger_quiet=0.2))
        served.sink.enough = 1
        wire = await served.connect()
        wire.write(put(b"a", length=MIB * 1000))
        self.assertEqual((await wire.reply()).body, b"enough")
        for _ in range(20):
            wire.write(bytes(1000))
            await sleep(0.05)
        await wire.closed()
        await eventually(lambda: served.site.connections == 0)

    async def test_swallowing_is_bounded(self) -> None:
        """A client that owes a short rest for too long is dropped."""
        served = self.serve(HttpLimits(linger=0.4, linger_quiet=0.2))
        served.sink.enough = 1
        wire = await served.connect()
        wire.write(put(b"a", length=1000))
        self.assertEqual((await wire.reply()).body, b"enough")
        await eventually(lambda: served.site.connections == 0)

    async def test_wrong_method(self) -> None:
        """A method that is not taken is answered with those that are."""
        served = self.serve()
        reply = await served.ask(
            b"DELETE /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"
        )
        self.assertEqual((reply.status, reply.headers["allow"]), (405, "PUT, POST, PATCH"))
        reply = await served.ask(
            b"PUT /plain HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n"
        )
        self.assertEqual(reply.status, 405)
        self.assertIn("GET", reply.headers["allow"])

    async def test_nothing_there(self) -> None:
        """An address without a resource is answered without waiting for the body."""
        served = self.serve()
        reply = await served.ask(
            b"PUT /no HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n"
        )
        self.assertEqual(reply.status, 404)
        self.assertIn(b"nothing at this address", reply.body)
        self.assertEqual(reply.headers["connection"], "close")
        reply = await served.ask(b"GET /no HTTP/1.1\r\nHost: h\r\n\r\n")
        self.assertEqual(reply.status, 404)

    async def test_hundred_continue(self) -> None:
        """100 Continue is sent when the first chunk is asked for, not before."""
        served = self.serve()
        served.sink.gate = Deferred()
        wire = await served.connect()
        wire.write(put(b"", length=5, more=EXPECT))
        await eventually(lambda: served.sink.running)
        await sleep(0.1)
        self.assertEqual(wire.data, b"")
        served.sink.gate.callback(None)
        self.assertEqual((await wire.reply()).status, 100)
        wire.write(b"hello" + GET)
        self.assertEqual((await wire.reply()).body, told(b"hello"))
        self.assertEqual((await wire.reply()).body, b"plain 0")

    async def test_hundred_continue_is_not_for_http_1_0(self) -> None:
        """An old client is never sent an interim response."""
        served = self.serve()
        reply = await served.ask(put(b"abc", more=EXPECT).replace(b"HTTP/1.1", b"HTTP/1.0"))
        self.assertEqual(reply.body, told(b"abc"))

    async def test_answer_without_the_body(self) -> None:
        """A receiver may answer without asking for a byte; no 100 Continue is sent."""
        served = self.serve()

        async def receive(request: object, body: object) -> Answer:
            return Answer(b"known")

        served.sink.receive = receive  # type: ignore[method-assign]
        wire = await served.connect()
        wire.write(put(b"", length=5, more=EXPECT))
        reply = await wire.reply()
        self.assertEqual((reply.status, reply.body), (200, b"known"))
        self.assertEqual(reply.headers["connection"], "close")


class TlsAnswerTests(AnswerTests):
    tls = True

    async def test_lingering_is_bounded_by_bytes(self) -> None:
        """A client that goes on sending is dropped once so much was, however fast it is."""
        served = self.serve(HttpLimits(linger_size=MIB))
        served.sink.enough = 1
        wire = await served.connect()
        wire.write(put(b"a", length=MIB * 1000))
        self.assertEqual((await wire.reply()).body, b"enough")
        wire.write(bytes(MIB // 2))
        await sleep(0.1)
        self.assertIsNone(wire.lost)
        wire.write(bytes(MIB * 16))
        await wire.until(lambda: wire.lost)
        await eventually(lambda: served.site.connections == 0)


class PlainTests(_Case):
    """Resources that do not stream."""

    async def test_body_in_memory(self) -> None:
        """Such a resource is rendered once, with its whole body."""
        served = self.serve()
        wire = await served.connect()
        head = (
            b"POST /plain HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n" + EXPECT + b"\r\n"
        )
        wire.write(head)
        self.assertEqual((await wire.reply()).status, 100)
        wire.write(b"hello")
        self.assertEqual((await wire.reply()).body, told(b"hello"))
        wire.write(b"POST /plain HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.write(chunked(b"hel", b"lo"))
        self.assertEqual((await wire.reply()).body, told(b"hello"))
        self.assertEqual(served.plain.rendered, 2)

    async def test_body_is_bounded(self) -> None:
        """A body above the limit is refused, by its length at once or else where it is."""
        served = self.serve(HttpLimits(max_plain_body=1000))
        head = (
            b"POST /plain HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n"
            + EXPECT
            + b"\r\n"
        )
        reply = await served.ask(head)
        self.assertEqual(reply.status, 413)
        self.assertIn(b"1000 bytes", reply.body)
        wire = await served.connect()
        wire.write(b"POST /plain HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.write(chunked(bytes(600))[:-5] + chunked(bytes(600))[:-5])
        reply = await wire.reply()
        self.assertEqual((reply.status, reply.headers["connection"]), (413, "close"))
        self.assertEqual(served.plain.rendered, 0)

    async def test_body_of_a_get_is_dropped(self) -> None:
        """The body of a GET is bounded, dropped, and does not disturb what follows."""
        served = self.serve(HttpLimits(max_plain_body=1000))
        wire = await served.connect()
        wire.write(b"GET /plain HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" + GET)
        self.assertEqual((await wire.reply()).body, b"plain 0")
        self.assertEqual((await wire.reply()).body, b"plain 0")
        wire.write(b"GET /plain HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n")
        self.assertEqual((await wire.reply()).status, 413)

    async def test_error_in_a_resource(self) -> None:
        """A client learns nothing of an error inside, and gets no HTML."""
        served = self.serve()
        reply = await served.ask(b"GET /broken HTTP/1.1\r\nHost: h\r\n\r\n")
        self.assertEqual(reply.status, 500)
        self.assertNotIn(b"secret", reply.body)
        self.assertNotIn(b"<", reply.body)
        self.assertEqual(reply.headers["content-type"], "text/plain;charset=utf-8")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    async def test_error_in_accept(self) -> None:
        """The same holds for an error in accept that is not one of ours."""
        served = self.serve()
        served.sink.refusal = RuntimeError("a secret")
        reply = await served.ask(put(b"abc"))
        self.assertEqual(reply.status, 500)
        self.assertNotIn(b"secret", reply.body)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    async def test_security_headers(self) -> None:
        """Every response, refusals of the transport too, forbids frames and Referers."""
        served = self.serve()
        for request in (
            GET,
            put(b"abc"),
            b"GET /no HTTP/1.1\r\nHost: h\r\n\r\n",
            b"nonsense\r\n\r\n",
        ):
            reply = await served.ask(request)
            self.assertEqual(reply.headers["x-frame-options"], "DENY")
            self.assertEqual(reply.headers["referrer-policy"], "no-referrer")

    async def test_no_url_in_any_log(self) -> None:
        """Neither the access log nor an error has the URL, and no request shows it."""
        events: list[LogEvent] = []
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        served = self.serve()
        served.site._access_log = True
        cap = b"/sink?URI:CHK:secret"
        await served.ask(
            b"PUT %s HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" % cap
        )
        await served.ask(b"HEAD %s HTTP/1.1\r\nHost: h\r\n\r\n" % cap, head=True)
        await served.ask(b"GET /broken?URI:CHK:secret HTTP/1.1\r\nHost: h\r\n\r\n")
        self.flushLoggedErrors(RuntimeError)
        text = "\n".join(formatEvent(event) + str(event) for event in events)
        self.assertIn("PUT 200 66 bytes", text)
        self.assertNotIn("URI:CHK", text)
        self.assertNotIn("/sink", text)
        self.assertNotIn("secret", repr(served.sink.requests[0]))


class SequenceTests(_Case):
    """More than one request on a connection."""

    async def test_pipelined(self) -> None:
        """Pipelined requests are answered in order, each once."""
        served = self.serve()
        wire = await served.connect()
        post = b"POST /plain HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"
        parts = [
            (put(b"one"), told(b"one")),
            (GET, b"plain 0"),
            (put_chunked(chunked(b"t", b"wo")), told(b"two")),
            (post, told(b"hi")),
            (put(b""), told(b"")),
            (put(b"three"), told(b"three")),
        ]
        wire.write(b"".join(request for request, _ in parts * 50))
        for _, answer in parts * 50:
            self.assertEqual((await wire.reply()).body, answer)
        await sleep(0.05)
        self.assertEqual(wire.data, b"")

    async def test_byte_by_byte(self) -> None:
        """The same answers come when every byte arrives alone."""
        served = self.serve()
        wire = await served.connect()
        for byte in put(b"one") + put_chunked(chunked(b"t", b"wo")) + GET:
            wire.write(bytes([byte]))
            await sleep(0)
        for answer in (told(b"one"), told(b"two"), b"plain 0"):
            self.assertEqual((await wire.reply()).body, answer)

    async def test_pipelined_behind_a_slow_receiver(self) -> None:
        """What is behind a request waits for its answer."""
        served = self.serve()
        served.sink.after_chunk = Deferred()
        wire = await served.connect()
        wire.write(put(b"one") + GET)
        await eventually(lambda: served.sink.chunks)
        await sleep(0.05)
        self.assertEqual((wire.data, served.plain.rendered), (b"", 0))
        served.sink.after_chunk.callback(None)
        self.assertEqual((await wire.reply()).body, told(b"one"))
        self.assertEqual((await wire.reply()).body, b"plain 0")

    async def test_much_pipelined_behind_a_slow_receiver(self) -> None:
        """More than Twisted keeps of it pauses the client and is answered all the same."""
        served = self.serve()
        served.sink.after_chunk = Deferred()
        wire = await served.connect()
        body = bytes(3 * MIB)
        wire.write(put(b"one") + put(body) + GET)
        await eventually(lambda: served.sink.chunks)
        await sleep(0.05)
        served.sink.after_chunk.callback(None)
        for answer in (told(b"one"), told(body), b"plain 0"):
            self.assertEqual((await wire.reply()).body, answer)

    async def test_http_1_0(self) -> None:
        """An old client gets its answer and then the end."""
        served = self.serve()
        wire = await served.connect()
        wire.write(put(b"abc").replace(b"HTTP/1.1", b"HTTP/1.0"))
        self.assertEqual((await wire.reply()).body, told(b"abc"))
        self.assertTrue(await wire.closed(2.0))
        wire = await served.connect()
        wire.write(b"GET /plain HTTP/1.0\r\n\r\n")
        self.assertEqual((await wire.reply()).body, b"plain 0")
        self.assertTrue(await wire.closed(2.0))

    async def test_connection_close(self) -> None:
        """A client that wants the connection closed gets that, wherever it says so."""
        served = self.serve()
        for wish in (b"close", b"foo, Close", b"x\r\nConnection: close"):
            wire = await served.connect()
            wire.write(put(b"abc", more=b"Connection: " + wish + b"\r\n") + GET)
            reply = await wire.reply()
            self.assertEqual(
                (reply.body, reply.headers["connection"]), (told(b"abc"), "close")
            )
            self.assertTrue(await wire.closed(2.0))
        self.assertEqual(served.plain.rendered, 0)


class TlsSequenceTests(SequenceTests):
    tls = True


class MalformedTests(_Case):
    async def test_malformed_chunk(self) -> None:
        """The receiver gets the error, the client one 400, and the connection ends."""
        served = self.serve()
        wire = await served.connect()
        wire.write(put_chunked(b"3\r\nabc\r\n"))
        await eventually(lambda: served.sink.chunks)
        wire.write(b"nonsense\r\n" + GET)
        reply = await wire.reply()
        self.assertEqual((reply.status, reply.headers["connection"]), (400, "close"))
        self.assertIsInstance(served.sink.errors[0], MalformedBody)
        self.assertEqual(served.sink.running, 0)
        wire.transport.loseConnection()
        await eventually(lambda: served.site.connections == 0)
        self.assertEqual((wire.data, served.plain.rendered), (b"", 0))

    async def test_malformed_chunk_while_the_receiver_works(self) -> None:
        """A receiver that waits for something else is cancelled."""
        served = self.serve()
        served.sink.after_chunk = Deferred()
        wire = await served.connect()
        wire.write(put_chunked(b"3\r\nabc\r\n"))
        await eventually(lambda: served.sink.chunks)
        wire.write(b"nonsense\r\n")
        self.assertEqual((await wire.reply()).status, 400)
        self.assertIsInstance(served.sink.errors[0], CancelledError)

    async def test_malformed_chunk_behind_the_response_s_start(self) -> None:
        """No second status line goes into a response that has begun: it is cut."""
        served = self.serve()
        written: Deferred[None] = Deferred()

        async def receive(request: Any, body: Any) -> Answer:
            async for _ in body:
                request.write(b"begun")
                written.callback(None)
            return Answer()

        served.sink.receive = receive  # type: ignore[method-assign]
        wire = await served.connect()
        wire.write(put_chunked(b"3\r\nabc\r\n"))
        await written
        wire.write(b"nonsense\r\n")
        await wire.closed()
        self.assertLessEqual(wire.data.count(b"HTTP/1.1"), 1)
        self.assertFalse(wire.data.endswith(b"0\r\n\r\n"))

    async def test_malformed_heads(self) -> None:
        """Each malformed head is refused once, and nothing is answered after it."""
        served = self.serve()
        for head in (
            b"nonsense\r\n\r\n",
            b"PUT /sink HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
            b"PUT /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 5x\r\n\r\n",
            b"PUT /sink HTTP/1.1\r\nHost: h\r\nContent-Length: "
            + b"9" * 5000
            + b"\r\n\r\n",
            put(b"", length=5, more=b"Content-Length: 6\r\n"),
            put(b"", length=5, more=b"Transfer-Encoding: chunked\r\n"),
            b"PUT /sink HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n",
            b"PUT /sink HTTP/1.1\r\nHost: h\r\n" + b"a: b\r\n" * 600 + b"\r\n",
        ):
            wire = await served.connect()
            wire.write(head + GET)
            reply = await wire.reply()
            self.assertEqual(
                (reply.status, reply.headers["connection"]), (400, "close"), head
            )
            await sleep(0.01)
            self.assertEqual(wire.data, b"", head)
        self.assertEqual((served.sink.requests, served.plain.rendered), ([], 0))

    async def test_large_heads(self) -> None:
        """A head above the limit is refused, in one line or in many, complete or not."""
        served = self.serve()
        for head in (
            b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
            b"GET /" + b"a" * 20_000,
            b"GET / HTTP/1.1\r\nHost: h\r\n" + b"a: %s\r\n" % (b"b" * 1000) * 20 + b"\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\na: b\r\n" + b" %s\r\n" % (b"b" * 1000) * 20,
        ):
            reply = await served.ask(head)
            self.assertEqual(reply.status, 431)
            self.assertIn(b"16384 bytes", reply.body)


class TlsMalformedTests(MalformedTests):
    tls = True


class PauseTests(_Case):
    """A receiver that is slow stops the client."""

    async def _paused(self, served: Served, size: int = 64 * MIB) -> Wire:
        served.sink.gate = Deferred()
        wire = await served.connect()
        wire.write(put(bytes(size // 2), length=size))
        await eventually(lambda: served.sink.running)
        await sleep(0.1)
        return wire

    async def test_pause_reaches_the_socket(self) -> None:
        """While nothing is asked for, little is taken; all of it arrives later."""
        served = self.serve()
        served.sink.gate = Deferred()
        wire = await served.connect()
        body = bytes(16 * MIB)
        wire.write(put(body))
        await eventually(lambda: served.sink.running)
        await sleep(0.2)
        request = served.sink.requests[0]
        self.assertLessEqual(request.received, 512 * 1024)
        served.sink.gate.callback(None)
        self.assertEqual((await wire.reply()).body, told(body))

    async def test_slow_receiver_holds_little(self) -> None:
        """The same while the receiver works on a chunk."""
        served = self.serve()
        served.sink.after_chunk = Deferred()
        wire = await served.connect()
        body = bytes(16 * MIB)
        wire.write(put(body))
        await eventually(lambda: served.sink.running)
        await sleep(0.2)
        self.assertLessEqual(served.sink.requests[0].received, MIB)
        served.sink.after_chunk.callback(None)
        self.assertEqual((await wire.reply()).body, told(body))

    async def test_our_output_does_not_resume_it(self) -> None:
        """A send buffer that drains is no reason to read on."""
        served = self.serve()
        wire = await self._paused(served)
        (channel,) = served.site._channels
        before = served.sink.requests[0].received
        channel._output.pauseProducing()
        channel._output.resumeProducing()
        await sleep(0.1)
        self.assertEqual(served.sink.requests[0].received, before)
        self.assertIsNone(wire.lost)

    async def test_paused_upload_is_not_idle(self) -> None:
        """No deadline applies to a client that we do not listen to."""
        limits = HttpLimits(
            header_deadline=0.2, idle_timeout=0.2, body_window=0.2, body_minimum=1000
        )
        served = self.serve(limits)
        served.sink.gate = Deferred()
        wire = await served.connect()
        body = bytes(4 * MIB)
        wire.write(put(body))
        await eventually(lambda: served.sink.running)
        await sleep(0.8)
        served.sink.gate.callback(None)
        self.assertEqual((await wire.reply()).body, told(body))

    async def test_reset_while_paused(self) -> None:
        """A client that is reset while paused is noticed soon."""
        served = self.serve()
        wire = await self._paused(served)
        linger = struct.pack("ii", 1, 0)
        sock = innermost(wire.transport).getHandle()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        wire.transport.abortConnection()
        await eventually(lambda: served.sink.errors)
        self.assertIsInstance(served.sink.errors[0], CancelledError)

    async def test_goodbye_while_paused(self) -> None:
        """A client that ends too early while paused is noticed soon."""
        served = self.serve()
        served.sink.gate = Deferred()
        wire = await served.connect()
        wire.write(put(bytes(1000), length=64 * MIB))
        await eventually(lambda: served.sink.running)
        innermost(wire.transport).loseConnection()
        await eventually(lambda: served.sink.errors)
        self.assertIsInstance(served.sink.errors[0], CancelledError)

    async def test_pause_has_an_end_where_nobody_can_tell(self) -> None:
        """Where a dead client cannot be told from a paused one, the pause is bounded."""
        self.patch(peer, "is_gone", lambda transport, missing: None)
        served = self.serve(HttpLimits(max_pause=0.3, peer_look=0.05))
        await self._paused(served)
        self.assertEqual(served.sink.errors, [])
        await eventually(lambda: served.sink.errors)
        self.assertIsInstance(served.sink.errors[0], CancelledError)


class TlsPauseTests(PauseTests):
    tls = True


class DeadlineTests(_Case):
    """Clients that stall."""

    async def test_head(self) -> None:
        """A head that does not end in time is answered with 408, however it trickles."""
        served = self.serve(HttpLimits(header_deadline=0.3, linger_quiet=0.2))
        wire = await served.connect()
        wire.write(b"GET /plain HTTP/1.1\r\nHost: h\r\n")
        for _ in range(5):
            await sleep(0.1)
            wire.write(b"a: b\r\n")
        self.assertEqual((await wire.reply()).status, 408)
        await wire.closed()

    async def test_second_head(self) -> None:
        """The deadline of a later head counts from its first byte."""
        served = self.serve(HttpLimits(header_deadline=0.3))
        wire = await served.connect()
        wire.write(GET)
        await wire.reply()
        await sleep(0.5)
        wire.write(GET)
        await wire.reply()
        wire.write(b"GET /plain HTTP/1.1\r\nHost: h\r\n")
        self.assertEqual((await wire.reply()).status, 408)

    async def test_silence(self) -> None:
        """A connection without a request is closed without an answer."""
        served = self.serve(HttpLimits(header_deadline=0.2))
        wire = await served.connect()
        await wire.closed()
        self.assertEqual(wire.data, b"")

    async def test_idle(self) -> None:
        """A connection kept between requests is closed after the idle timeout."""
        served = self.serve(HttpLimits(idle_timeout=0.2))
        wire = await served.connect()
        wire.write(GET)
        await wire.reply()
        self.assertTrue(await wire.closed(1.0))
        self.assertEqual(wire.data, b"")

    async def test_slow_body(self) -> None:
        """A body below the minimum of a window is given up, and the receiver hears it."""
        served = self.serve(HttpLimits(body_window=0.3, body_minimum=100))
        wire = await served.connect()
        wire.write(put(bytes(200), length=1000))
        await sleep(0.4)
        self.assertEqual(served.sink.errors, [])
        for _ in range(4):
            wire.write(b"x")
            await sleep(0.1)
        self.assertEqual((await wire.reply()).status, 408)
        self.assertIsInstance(served.sink.errors[0], TooSlow)
        self.assertEqual(served.sink.running, 0)

    async def test_slow_receiver_is_not_a_slow_client(self) -> None:
        """Time in which the client is paused does not count."""
        served = self.serve(HttpLimits(body_window=0.3, body_minimum=100))
        served.sink.gate = Deferred()
        wire = await served.connect()
        wire.write(put(b"", length=5))
        await sleep(0.7)
        served.sink.gate.callback(None)
        await sleep(0.1)
        wire.write(b"hello")
        self.assertEqual((await wire.reply()).body, told(b"hello"))

    async def test_stalled_reader(self) -> None:
        """A client that reads none of its response is dropped after the limit."""
        served = self.serve(HttpLimits(stalled_output=0.3))

        async def receive(request: object, body: object) -> Answer:
            return Answer(bytes(32 * MIB))

        served.sink.receive = receive  # type: ignore[method-assign]
        wire = await served.connect()
        wire.write(GET)
        await wire.reply()
        wire.transport.pauseProducing()
        wire.write(put(b""))
        await eventually(lambda: served.site.connections)
        await eventually(lambda: served.site.connections == 0)

    async def test_slow_reader_gets_its_response(self) -> None:
        """A response that waits for its reader outlives every other deadline."""
        served = self.serve(HttpLimits(idle_timeout=0.1, linger=0.1, close_deadline=0.1))

        async def receive(request: object, body: object) -> Answer:
            return Answer(bytes(16 * MIB))

        served.sink.receive = receive  # type: ignore[method-assign]
        for more in (b"", b"Connection: close\r\n"):
            wire = await served.connect()
            wire.write(put(b"", more=more))
            await wire.until(lambda wire=wire: wire.data)  # type: ignore[misc]
            wire.transport.pauseProducing()
            await sleep(0.6)
            wire.transport.resumeProducing()
            reply = await wire.reply()
            self.assertEqual(len(reply.body), 16 * MIB)


class TlsDeadlineTests(DeadlineTests):
    tls = True


class SiteTests(_Case):
    async def test_drain(self) -> None:
        """Draining closes what is idle, lets a request finish, and then fires."""
        served = self.serve()
        idle = await served.connect()
        idle.write(GET)
        await idle.reply()
        busy = await served.connect()
        busy.write(put(b"hello", length=10))
        await eventually(lambda: served.sink.chunks)
        drained: list[None] = []
        served.site.drain().addCallback(drained.append)
        self.assertTrue(await idle.closed(1.0))
        await sleep(0.1)
        self.assertEqual((drained, busy.lost), ([], None))
        busy.write(b"world")
        reply = await busy.reply()
        self.assertEqual(reply.body, told(b"helloworld"))
        self.assertEqual(reply.headers["connection"], "close")
        busy.transport.loseConnection()
        await eventually(lambda: drained)

    async def test_drain_takes_no_connection(self) -> None:
        """While it drains, a site turns new connections away."""
        served = self.serve()
        await served.site.drain()
        wire = await served.connect()
        wire.write(GET)
        await wire.closed()
        self.assertEqual((wire.data, served.plain.rendered), (b"", 0))

    async def test_drain_of_nothing(self) -> None:
        """Without a connection it fires at once."""
        served = self.serve()
        self.successResultOf(served.site.drain())

    async def test_abort(self) -> None:
        """Aborting drops every connection and cancels what is in progress."""
        served = self.serve()
        wires = [await served.connect() for _ in range(3)]
        wires[0].write(GET)
        wires[1].write(put(b"hello", length=10))
        await wires[0].reply()
        await eventually(lambda: served.sink.chunks)
        drained = served.site.drain()
        served.site.abort()
        await drained
        self.assertIsInstance(served.sink.errors[0], CancelledError)
        for wire in wires:
            await wire.closed()

    async def test_connections_are_bounded(self) -> None:
        """One connection too many takes the place of the slowest."""
        served = self.serve(HttpLimits(max_connections=2))
        first = await served.connect()
        await eventually(lambda: served.site.connections == 1)
        second = await served.connect()
        await eventually(lambda: served.site.connections == 2)
        third = await served.connect()
        await first.closed(2.0)
        self.assertEqual(served.site.connections, 2)
        for wire in (second, third):
            wire.write(GET)
            self.assertEqual((await wire.reply()).body, b"plain 0")

    async def test_speaks_http_1_1_only(self) -> None:
        """HTTP/2 is not offered."""
        served = self.serve()
        self.assertEqual(served.site.acceptableProtocols(), [b"http/1.1"])
        self.assertEqual(served.site.getContentFile(10**12).read(), b"")


class TlsSiteTests(SiteTests):
    tls = True
