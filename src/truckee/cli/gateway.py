"""Talking to a gateway, with many requests in flight."""

from __future__ import annotations

import json
from typing import Any, NoReturn, TypeVar

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from truckee.cli.broken import problem_within
from truckee.cli.finding import problem_of
from truckee.cli.problems import Problem, Unreachable

T = TypeVar("T")

_CONNECT = 15.0  # seconds
_IDLE = 20  # seconds that a connection waits for its next request; servers wait longer
_PATIENCE = 900.0  # seconds for an answer that is not a file
_MOST_TEXT = 4096  # bytes of an error
_DONE = Failure(ResponseDone())


@define(eq=False)
class Gateway:
    """One gateway's web API."""

    url: str
    reactor: Any
    _kept: int = 0  # connections that are kept for the next requests
    _agent: Any = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        pool = HTTPConnectionPool(self.reactor, persistent=self._kept > 0)
        pool.maxPersistentPerHost = self._kept
        pool.cachedConnectionTimeout = _IDLE
        self._agent = Agent(self.reactor, pool=pool, connectTimeout=_CONNECT)

    async def ask(
        self,
        method: str,
        path: str,
        body: IBodyProducer | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """Return the response.  :raises Unreachable: if there is none."""
        # Not treq, whose hyperlink takes [::1] for a name.
        sent = Headers({name: [value] for name, value in (headers or {}).items()})
        url = (self.url + path).encode("ascii")
        try:
            return await self._agent.request(method.encode("ascii"), url, sent, body)
        except Exception as error:
            raise problem_within(error, self.url) from None

    async def text(
        self, method: str, path: str, data: IBodyProducer | None = None, most: int = 1 << 20
    ) -> str:
        """Return the body of a good answer.  :raises Problem: of any other."""
        response = await self.ask(method, path, data)
        body = await read(response, most)
        if response.code not in (200, 201):
            raise problem_of(response.code, body)
        return body.decode("utf-8", "replace")

    async def exchange(
        self,
        method: str,
        place: str,
        body: bytes | None,
        most: int,
        timeout: float | None = _PATIENCE,
    ) -> tuple[int, bytes]:
        """
        Return the status and at most so many bytes of the answer to a small request.

        :raises Unreachable: also after *timeout* seconds; None: whoever asks cancels it.
        """
        asking = Deferred.fromCoroutine(self._exchanged(method, place, body, most))
        if timeout is not None:
            asking.addTimeout(timeout, self.reactor, onTimeoutCancel=self._silent)
        return await _cancelled_as_such(asking)

    async def _exchanged(
        self, method: str, place: str, body: bytes | None, most: int
    ) -> tuple[int, bytes]:
        response = await self.ask(method, place, None if body is None else BytesBody(body))
        return response.code, await read(response, most)

    def _silent(self, _: object, seconds: float) -> NoReturn:
        raise Unreachable(f"it is silent for {seconds:.0f} s", self.url)

    async def is_truckee(self) -> bool:
        """Tell whether it takes uploads in pieces."""
        try:
            told = json.loads(await self.text("GET", "?t=json"))
        except (ValueError, RecursionError, Problem) as error:
            if isinstance(error, Unreachable):
                raise
            return False
        return isinstance(told, dict) and "truckee" in told

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await deferLater(self.reactor, seconds)


def _cancelled_as_such(asking: Deferred[T]) -> Deferred[T]:
    """Return one that fails with CancelledError when it is cancelled, and nothing else."""
    cancelled = False

    def cancel(_: Deferred[T]) -> None:
        nonlocal cancelled
        cancelled = True
        asking.cancel()  # while it connects, that is a failure to find the machine

    waited: Deferred[T] = Deferred(cancel)

    def end(result: Any) -> None:
        if not cancelled:
            waited.callback(result)  # a Failure, too

    asking.addBoth(end)
    return waited


async def read(response: Any, most: int = _MOST_TEXT) -> bytes:
    """Return the start of a body.  :raises Unreachable: if it breaks off."""
    if response.length == 0:
        return b""
    collector = _Collector(most)
    response.deliverBody(collector)
    try:
        await collector.done
    except CancelledError:
        collector.abort()
        raise
    except Exception as error:
        raise problem_within(error) from None
    return bytes(collector.body)


@define(eq=False)
class _Collector(Protocol):
    """Takes a body to its end, and keeps the start of it."""

    _most: int  # bytes
    body: bytearray = field(factory=bytearray, init=False)
    done: Deferred[None] = field(factory=Deferred, init=False)

    def abort(self) -> None:
        """Close the connection: nobody wants the rest."""
        transport: Any = self.transport
        if transport is not None:
            transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        self.body += data[: self._most - len(self.body)]

    def connectionLost(self, reason: Failure = _DONE) -> None:
        if self.done.called:  # by a cancellation
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(None)
        else:
            self.done.errback(reason)


@implementer(IBodyProducer)
@define(eq=False)
class BytesBody:
    """Bytes as the body of a request."""

    _data: bytes = field(repr=False)

    @property
    def length(self) -> int:
        return len(self._data)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It is all written."""

    resumeProducing = stopProducing = pauseProducing
