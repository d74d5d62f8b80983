"""Connections on which nothing, or next to nothing, happens keep nobody out."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.net.http.wire import Served, Wire, eventually
from truckee.net.http.limits import HttpLimits

MOST = 20
GET = b"GET /plain HTTP/1.1\r\nHost: h\r\n\r\n"
PUT = b"PUT /sink HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"


class Deaf(Wire):
    """A client that reads nothing."""

    def connectionMade(self) -> None:
        self.transport.pauseProducing()


class ConnectionTests(TestCase):
    def serve(self) -> Served:
        """Return a site that takes few connections."""
        return Served(self, HttpLimits(max_connections=MOST))

    async def fill(self, served: Served, data: bytes, kind: type[Wire] = Wire) -> None:
        """Take all places with clients that send *data* and then nothing."""
        for _ in range(2 * MOST):
            wire = await served.connect(kind)
            wire.write(data)
        await eventually(lambda: served.site.connections == MOST)

    async def served_all_the_same(self, served: Served) -> None:
        """Fail unless honest clients get in, and at once."""
        for _ in range(MOST):
            self.assertEqual((await served.ask(GET)).body, b"plain 0")

    async def test_silence(self) -> None:
        """Nothing is ever sent."""
        served = self.serve()
        await self.fill(served, b"")
        await self.served_all_the_same(served)

    async def test_half_heads(self) -> None:
        """A head never ends."""
        served = self.serve()
        await self.fill(served, GET[:-2])
        await self.served_all_the_same(served)

    async def test_half_bodies(self) -> None:
        """A body never ends, of a resource that streams and of one that does not."""
        served = self.serve()
        await self.fill(served, PUT % 10**9 + b"x" * 100)
        await self.served_all_the_same(served)
        await self.fill(served, (PUT % 1000).replace(b"PUT /sink", b"POST /plain") + b"x")
        await self.served_all_the_same(served)

    async def test_deaf_readers(self) -> None:
        """An answer is never read."""
        served = self.serve()
        served.plain.render_GET = lambda request: bytes(1 << 23)  # type: ignore[method-assign]
        await self.fill(served, GET, Deaf)
        served.plain.render_GET = lambda request: b"plain 0"  # type: ignore[method-assign]
        await self.served_all_the_same(served)

    async def test_nothing_is_kept_for_the_lost(self) -> None:
        """What a lost connection had still to send is free at once."""
        served = self.serve()
        served.plain.render_GET = lambda request: bytes(1 << 23)  # type: ignore[method-assign]
        wire = await served.connect(Deaf)
        wire.write(GET)
        await eventually(
            lambda: any(
                each._output.blocked and len(each._wire.dataBuffer) > 1 << 20
                for each in served.site._channels
            )
        )
        (channel,) = served.site._channels
        wire.transport.abortConnection()
        await eventually(lambda: not served.site.connections)
        self.assertEqual(
            (channel._wire.dataBuffer, channel._wire._tempDataBuffer), (b"", [])
        )

    async def test_who_keeps_up_stays(self) -> None:
        """An upload that comes, and a request that is worked on, are not dropped."""
        served = self.serve()
        busy = await served.connect()
        busy.write(PUT % (1 << 20) + bytes(1 << 19))
        await eventually(lambda: served.sink.chunks)
        served.sink.gate = Deferred()
        waits = await served.connect()
        waits.write(PUT % 2 + b"hi")
        await eventually(lambda: served.sink.running == 2)
        await self.fill(served, GET[:-2])
        await self.served_all_the_same(served)
        busy.write(bytes(1 << 19))
        self.assertEqual((await busy.reply()).status, 200)
        served.sink.gate.callback(None)
        self.assertEqual((await waits.reply()).status, 200)
