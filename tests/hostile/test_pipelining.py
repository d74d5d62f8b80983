"""Many requests in one read keep nobody waiting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource

from tests.net.http.wire import Served, Wire, eventually, reactor
from truckee.net.http.request import StreamingRequest

GET = b"GET /turn HTTP/1.1\r\nHost: h\r\n\r\n"
PLAIN = b"GET /plain HTTP/1.1\r\nHost: h\r\n\r\n"
EMPTY = b"PUT /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"


class Turn(Resource):
    """Notes in which turn of the event loop it is rendered."""

    isLeaf = True

    def __init__(self, answer: bytes = b"x") -> None:
        super().__init__()
        self.turns: list[int] = []
        self.now = 0
        self.hook: Callable[[], object] = lambda: None
        self._answer = answer

    def render_GET(self, request: StreamingRequest) -> bytes:
        self.turns.append(self.now)
        self.hook()
        return self._answer

    def count(self) -> None:
        """Count turns from now on, for as long as the reactor runs this test."""
        self.now += 1
        self.call = reactor.callLater(0, self.count)


class Counted(TestCase):
    def serve(self, answer: bytes = b"x") -> tuple[Served, Turn]:
        """Return a site with a ``Turn``."""
        served, turn = Served(self), Turn(answer)
        served.root.putChild(b"turn", turn)
        turn.count()
        self.addCleanup(lambda: turn.call.cancel())
        return served, turn


class PipeliningTests(Counted):
    async def test_one_request_a_turn(self) -> None:
        """Of one connection, however many come at once."""
        served, turn = self.serve()
        wire = await served.connect()
        wire.write(GET * 300)
        for _ in range(300):
            self.assertEqual((await wire.reply()).body, b"x")
        self.assertEqual(len(set(turn.turns)), 300)

    async def test_many_connections(self) -> None:
        """However many ask at once, a part of each turn is for what is in progress."""
        served, turn = self.serve()

        def work() -> None:
            end = reactor.seconds() + 0.002
            while reactor.seconds() < end:
                pass

        turn.hook = work
        wires = [await served.connect() for _ in range(60)]
        for wire in wires:
            wire.write(GET)
        for wire in wires:
            self.assertEqual((await wire.reply()).body, b"x")
        self.assertLessEqual(max(Counter(turn.turns).values()), 10)

    async def test_others_come_between(self) -> None:
        """A request that arrives in the midst of a burst is answered at once."""
        served, turn = self.serve()
        wire, other = await served.connect(), await served.connect()
        seen: list[int] = []

        def ask_in_between() -> None:
            if len(turn.turns) == 10:
                other.write(PLAIN)

        turn.hook = ask_in_between
        wire.write(GET * 500)
        await other.reply()
        seen.append(len(turn.turns))
        self.assertLess(seen[0], 250)
        await wire.until(lambda: wire.data.count(b"HTTP/1.1 200") == 500)

    async def test_none_while_output_is_blocked(self) -> None:
        """A client that reads nothing is answered little, and the rest when it reads."""
        served, turn = self.serve(bytes(64 * 1024))

        class Deaf(Wire):
            size = 0

            def connectionMade(self) -> None:
                self.transport.pauseProducing()

            def dataReceived(self, data: bytes) -> None:
                self.size += len(data)
                self._wake()

        wire = await served.connect(Deaf)
        assert isinstance(wire, Deaf)
        wire.write(GET * 400)
        (channel,) = served.site._channels
        await eventually(lambda: channel._output.blocked)
        begun = -1
        while begun != len(turn.turns) or not channel._output.blocked:
            begun = len(turn.turns)
            await self.some_turns(turn)
        # What the system takes on both sides, and one answer.
        self.assertTrue(channel._output.blocked)
        self.assertLess(begun, 300)
        wire.transport.resumeProducing()
        await wire.until(lambda: wire.size > 400 * 64 * 1024)
        await eventually(lambda: len(turn.turns) == 400)

    async def test_little_is_kept_of_what_is_answered(self) -> None:
        """A client that sends faster than it is answered is read as fast as that."""
        served, turn = self.serve()
        limits, kept = served.site.limits, [0]

        def look() -> None:
            (channel,) = served.site._channels
            kept.append(len(channel._buffer))

        turn.hook = look
        wire = await served.connect()
        wire.write(GET * 3000)
        await wire.until(lambda: wire.data.count(b"HTTP/1.1 200") == 3000, 60)
        self.assertLessEqual(max(kept), 2 * limits.read_ahead)

    async def test_little_is_kept_of_what_waits(self) -> None:
        """Behind a request that takes its time no more is read than a bound."""
        served, _ = self.serve()
        served.sink.gate = Deferred()
        wire = await served.connect()
        wire.write(
            b"PUT /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n" + GET * 90_000
        )
        await eventually(lambda: served.sink.running)
        (channel,) = served.site._channels
        await eventually(lambda: channel._reading._causes)
        self.assertLessEqual(len(channel._buffer), 3 * served.site.limits.read_ahead)
        served.sink.gate.callback(None)
        await wire.reply()

    async def test_many_small_chunks_are_taken_in_steps(self) -> None:
        """A body of chunks of a byte does not keep others waiting."""
        served, turn = self.serve()
        wire = await served.connect()
        wire.write(b"PUT /sink HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        await eventually(lambda: served.sink.running)
        before = turn.now
        wire.write(b"1\r\nx\r\n" * 40_000 + b"0\r\n\r\n" + GET)
        self.assertTrue((await wire.reply()).body.startswith(b"40000 "))
        self.assertEqual((await wire.reply()).body, b"x")
        self.assertGreaterEqual(turn.now - before, 40)

    async def some_turns(self, turn: Turn) -> None:
        """Let the event loop go round some times."""
        last = turn.now + 100
        await eventually(lambda: turn.now > last)
