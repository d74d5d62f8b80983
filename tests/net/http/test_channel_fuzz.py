"""A thousand connections of every manner, good and bad, against one site."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from random import Random

from attrs import define
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from zope.interface import implementer

from tests.net.http.wire import NotToday, Reply, Served, Wire, parse_reply, reactor, sleep
from truckee.net.http.limits import HttpLimits
from truckee.net.http.lingering_close import innermost
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import Answer
from truckee.net.http.streaming import IStreamingResource

CONNECTIONS = 1000
AT_ONCE = 40
SWALLOW = 16 * 1024
LIMITS = HttpLimits(
    max_plain_body=1 << 20, swallow=SWALLOW, linger=6.0, linger_quiet=3.0, peer_look=0.1
)


def told(data: bytes) -> bytes:
    """Return what a sink answers to *data*."""
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()


@implementer(IStreamingResource)
class Slow(Resource):
    """A sink that takes its time, for a receiver that pauses the client."""

    isLeaf = True

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.random = random
        self.running = 0

    def accept(self, request: StreamingRequest) -> None:
        pass

    async def receive(
        self, request: StreamingRequest, body: AsyncIterator[bytes]
    ) -> Answer:
        self.running += 1
        try:
            await sleep(self.random.choice([0, 0, 0.01]))
            data = b""
            async for chunk in body:
                data += chunk
                await sleep(self.random.choice([0, 0.001, 0.01]))
            return Answer(told(data))
        finally:
            self.running -= 1


class Early(Slow):
    """A sink that answers after as many bytes as its address says."""

    async def receive(
        self, request: StreamingRequest, body: AsyncIterator[bytes]
    ) -> Answer:
        self.running += 1
        try:
            enough = int(request.args[b"n"][0])
            size = 0
            if enough:
                async for chunk in body:
                    size += len(chunk)
                    if size >= enough:
                        break
            return Answer(b"early" if size >= enough else b"short")
        finally:
            self.running -= 1


class Refusing(Slow):
    """A sink that takes nothing."""

    def accept(self, request: StreamingRequest) -> None:
        raise NotToday()


@define
class Exchange:
    """One request, and what its answer has to be."""

    head: bytes
    body: bytes  # as on the wire
    status: int
    answer: bytes | None  # None if any text will do
    waits: bool = False  # for 100 Continue
    expects: bool = False
    may_close: bool = False
    must_close: bool = False
    is_head: bool = False


@define
class Plan:
    """What one client does."""

    exchanges: list[Exchange]
    cut: int | None  # bytes after which it goes away
    rude: bool  # goes away with a reset
    stubborn: bool  # sends on after the server said that it closes
    deaf: bool  # reads nothing until all is sent


class Planner:
    """Makes plans by chance."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def plan(self) -> Plan:
        """Return the next plan."""
        random = self.random
        exchanges = [self.exchange() for _ in range(random.randint(1, 6))]
        total = sum(len(exchange.head + exchange.body) for exchange in exchanges)
        cut = random.randrange(total + 1) if random.random() < 0.2 else None
        deaf = random.random() < 0.2 and not any(e.waits for e in exchanges)
        return Plan(exchanges, cut, random.random() < 0.5, random.random() < 0.5, deaf)

    def data(self) -> bytes:
        """Return a body: mostly small, sometimes larger than what is swallowed."""
        limit = self.random.choice([0, 1, 10, 1000, 1000, 20_000, 20_000, 200_000])
        return self.random.randbytes(self.random.randint(0, limit))

    def chunks(self, data: bytes) -> bytes:
        """Return *data* in chunks without the last one, with extensions here and there."""
        random = self.random
        largest = random.choice([1, 10, 1000, 100_000]) if len(data) < 500 else 30_000
        parts, at = [], 0
        while at < len(data):
            chunk = data[at : at + random.randint(1, largest)]
            at += len(chunk)
            size = random.choice([b"%x", b"%X", b"0%x"]) % len(chunk)
            extension = random.choice([b"", b"", b";a", b';a="b c"'])
            parts.append(size + extension + b"\r\n" + chunk + b"\r\n")
        return b"".join(parts)

    def chunked(self, data: bytes) -> bytes:
        """Return *data* as a whole chunked body, sometimes with a trailer."""
        trailer = self.random.choice([b"", b"", b"X-Trailer: yes\r\n"])
        return self.chunks(data) + b"0\r\n" + trailer + b"\r\n"

    def exchange(self) -> Exchange:
        """Return the next request."""
        make = self.random.choice(
            [self.upload] * 5
            + [self.early, self.early, self.refused, self.slow, self.slow]
            + [self.get, self.get, self.post, self.missing, self.wrong]
            + [self.malformed_head, self.malformed_body, self.last]
        )
        return make()

    def _request(
        self, method: bytes, path: bytes, data: bytes, status: int, answer: bytes | None
    ) -> Exchange:
        random = self.random
        lines = [b"%s %s HTTP/1.1" % (method, path), b"Host: h"]
        is_chunked = random.random() < 0.4
        expects = bool(data) and random.random() < 0.25
        if is_chunked:
            lines.append(b"Transfer-Encoding: chunked")
        elif data or random.random() < 0.5:
            lines.append(b"Content-Length: %d" % len(data))
        if expects:
            lines.append(b"Expect: 100-continue")
        random.shuffle(headers := lines[1:])
        head = b"\r\n".join([lines[0], *headers, b"", b""])
        body = self.chunked(data) if is_chunked else data
        waits = expects and random.random() < 0.6
        return Exchange(head, body, status, answer, waits, expects)

    def upload(self) -> Exchange:
        data = self.data()
        return self._request(b"PUT", b"/sink", data, 200, told(data))

    def slow(self) -> Exchange:
        data = self.data()
        return self._request(b"POST", b"/slow", data, 200, told(data))

    def post(self) -> Exchange:
        data = self.data()
        return self._request(b"POST", b"/plain", data, 200, told(data))

    def early(self) -> Exchange:
        data = self.data()
        enough = self.random.choice([0, 1, len(data), self.random.randint(0, 20_000)])
        answer = b"early" if len(data) >= enough else b"short"
        exchange = self._request(b"PUT", b"/early?n=%d" % enough, data, 200, answer)
        exchange.may_close = answer == b"early"
        exchange.must_close = enough == 0 and exchange.expects
        return exchange

    def _unread(self, exchange: Exchange) -> Exchange:
        """Settle what becomes of a connection on which the body was not wanted."""
        is_chunked = b"chunked" in exchange.head
        too_long = len(exchange.body) > SWALLOW
        exchange.must_close = is_chunked or exchange.expects or too_long
        return exchange

    def refused(self) -> Exchange:
        exchange = self._request(b"PUT", b"/refuse", self.data(), 403, b"Not today.\n")
        return self._unread(exchange)

    def missing(self) -> Exchange:
        return self._unread(self._request(b"PUT", b"/no", self.data(), 404, None))

    def wrong(self) -> Exchange:
        return self._unread(self._request(b"PUT", b"/plain", self.data(), 405, None))

    def get(self) -> Exchange:
        method = self.random.choice([b"GET", b"HEAD"])
        data = self.data() if self.random.random() < 0.2 else b""
        exchange = self._request(method, b"/plain", data, 200, b"plain 0")
        if method == b"HEAD":
            exchange.is_head, exchange.answer = True, b""
        return exchange

    def malformed_head(self) -> Exchange:
        head = self.random.choice(
            [
                b"nonsense\r\n\r\n",
                b"GET /plain HTTP/9\r\n\r\n",
                b"PUT /sink HTTP/1.1\r\nContent-Length: x\r\n\r\n",
                b"PUT /sink HTTP/1.1\r\nNo colon\r\n\r\n",
                b"PUT /sink HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            ]
        )
        return Exchange(head, b"", 400, None, must_close=True)

    def malformed_body(self) -> Exchange:
        path = self.random.choice([b"/sink", b"/slow", b"/plain"])
        head = b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" % path
        bad = self.random.choice([b"zz\r\n", b"-1\r\n", b"1\r\nab\r\n", b"1" * 2000])
        good = self.chunks(self.data())
        return Exchange(head, good + bad, 400, None, must_close=True)

    def last(self) -> Exchange:
        data = self.data()
        exchange = self._request(b"PUT", b"/sink", data, 200, told(data))
        if self.random.random() < 0.5 or b"chunked" in exchange.head:
            line = b"\r\nConnection: close\r\n\r\n"
            exchange.head = exchange.head[:-4] + line
        else:
            exchange.head = exchange.head.replace(b"HTTP/1.1", b"HTTP/1.0", 1)
            exchange.expects = exchange.waits = False
        exchange.must_close = True
        return exchange


class Talker(Wire):
    """A client that follows a plan and keeps the answers apart."""

    def __init__(self) -> None:
        super().__init__()
        self.plan = Plan([], None, False, False, False)
        self.replies: list[Reply] = []
        self.hundreds: Counter[int] = Counter()

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        while True:
            at = len(self.replies)
            exchanges = self.plan.exchanges
            head = at < len(exchanges) and exchanges[at].is_head
            parsed = parse_reply(self.data, head)
            if parsed is None:
                break
            reply, length = parsed
            self.data = self.data[length:]
            if reply.status == 100:
                self.hundreds[at] += 1
            else:
                self.replies.append(reply)
        self._wake()

    @property
    def last_said(self) -> bool:
        """Whether the server said that it answers no more."""
        return bool(self.replies) and "connection" in self.replies[-1].headers

    @property
    def over(self) -> bool:
        """Whether nothing more can come."""
        done = len(self.replies) >= len(self.plan.exchanges)
        return self.lost is not None or done or self.last_said

    async def talk(self, plan: Plan, random: Random) -> None:
        """Send it all and wait for the answers."""
        self.plan = plan
        if plan.deaf:
            self.transport.pauseProducing()
        if await self._send(random):
            return
        if plan.deaf and self.lost is None:
            self.transport.resumeProducing()
        await self.until(lambda: self.over)
        await sleep(random.choice([0, 0, 0.01]))
        self.transport.loseConnection()

    async def _send(self, random: Random) -> bool:
        """Send and return whether the client went away."""
        left = self.plan.cut
        for number, exchange in enumerate(self.plan.exchanges):
            for part in (exchange.head, exchange.body):
                if part is exchange.body and exchange.waits:

                    def told_to(number: int = number) -> bool:
                        return self.hundreds[number] > 0 or len(self.replies) > number

                    await self.until(lambda t=told_to: t() or self.over)  # type: ignore[misc]
                    if not self.hundreds[number]:
                        return False
                if self.over and not self.plan.stubborn:
                    return False
                if left is not None and left <= len(part):
                    await self._pieces(part[:left], random)
                    await self._go()
                    return True
                if left is not None:
                    left -= len(part)
                await self._pieces(part, random)
        return False

    async def _go(self) -> None:
        await sleep(0.001)
        if self.lost is None and self.plan.rude:
            self.transport.abortConnection()
        elif self.lost is None:
            innermost(self.transport).loseConnection()

    async def _pieces(self, data: bytes, random: Random) -> None:
        at = 0
        largest = random.choice([len(data), len(data), 1000, 10])
        while at < len(data):
            size = random.randint(1, max(1, largest, len(data) // 10))
            self.write(data[at : at + size])
            at += size
            if random.random() < 0.7:
                await sleep(random.choice([0, 0, 0.001]))

    def verdict(self) -> str | None:
        """Return what was wrong, or None."""
        exchanges = self.plan.exchanges
        if len(self.replies) > len(exchanges):
            return "an answer without a request"
        for number, reply in enumerate(self.replies):
            wrong = self._wrong(number, reply)
            if wrong is not None:
                return f"{exchanges[number].head!r}: {wrong}"
        complete = self.last_said or len(self.replies) == len(exchanges)
        if self.plan.cut is None and (self.data or not complete):
            return f"no answer to {exchanges[len(self.replies)].head!r}: {self.data!r}"
        return None

    def _wrong(self, number: int, reply: Reply) -> str | None:
        exchange = self.plan.exchanges[number]
        closes = reply.headers.get("connection") == "close"
        problems = {
            "status": reply.status != exchange.status,
            "body": exchange.answer not in (None, reply.body),
            "closed": closes and not (exchange.may_close or exchange.must_close),
            "not closed": exchange.must_close and not closes,
            "continued": self.hundreds[number] > exchange.expects,
            "more behind the last": closes and number + 1 != len(self.replies),
        }
        wrong = [name for name, is_so in problems.items() if is_so]
        return f"{wrong} {reply}" if wrong else None


class FuzzTests(TestCase):
    timeout = 180

    async def test_thousand_connections(self) -> None:
        """
        Whatever clients do, no connection hangs, every complete request is answered once,
        in order and rightly until one closes the connection, and nothing is left behind.
        """
        await sleep(0)  # so that trial's own timeout is among them
        before = set(reactor.getDelayedCalls())
        sites = [Served(self, LIMITS), Served(self, LIMITS, tls=True)]
        slow: list[Slow] = []
        for served in sites:
            for name, kind in ((b"slow", Slow), (b"early", Early), (b"refuse", Refusing)):
                resource = kind(Random(1))
                slow.append(resource)
                served.root.putChild(name, resource)
        problems: list[str] = []
        answered: Counter[int] = Counter()
        turn = DeferredSemaphore(AT_ONCE)

        async def one(number: int) -> None:
            random = Random(number)
            plan = Planner(random).plan()
            wire = await sites[number % 2].connect(Talker)
            assert isinstance(wire, Talker)
            try:
                await wire.talk(plan, random)
                await wire.closed()
            except Exception as error:
                problems.append(f"{number}: {error!r} after {len(wire.replies)}")
                wire.transport.abortConnection()
                return
            problem = wire.verdict()
            if problem is not None:
                problems.append(f"{number}: {problem}")
            answered.update(reply.status for reply in wire.replies)

        def start(number: int) -> Deferred[None]:
            return Deferred.fromCoroutine(one(number))

        await gatherResults(
            [turn.run(start, number) for number in range(CONNECTIONS)],
            consumeErrors=True,
        )
        self.assertEqual(problems[:10], [])
        for status in (200, 400, 403, 404, 405):
            self.assertGreater(answered[status], 30, answered)
        for _ in range(100):
            if not any(served.site.connections for served in sites):
                break
            await sleep(0.05)
        self.assertEqual([served.site.connections for served in sites], [0, 0])
        running = [*(one.running for one in slow), *(s.sink.running for s in sites)]
        self.assertEqual(running, [0] * len(running))
        after = [call for call in reactor.getDelayedCalls() if call not in before]
        self.assertEqual(after, [])
