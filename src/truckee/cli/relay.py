"""What one answer brings as the body of the next request."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from truckee.cli.finding import is_cap, problem_of
from truckee.cli.gateway import Gateway, read
from truckee.cli.grid_path import GridPath
from truckee.cli.problems import NOT_FOUND, Problem

_DONE = Failure(ResponseDone())


async def relay(gateway: Gateway, source: GridPath, place: str) -> tuple[str, int]:
    """
    Store what is in the file *source* at a *place* of the web API.

    Return its cap, and how many bytes it has.  :raises Problem:
    """
    response = await gateway.ask("GET", source.url)
    if response.code != 200:
        problem = problem_of(response.code, await read(response))
        raise Problem(f"{source.shown}: {problem.message}", problem.exit_code)
    body = _Relay(response)
    cap = (await gateway.text("PUT", place, body)).strip()
    if not is_cap(cap):
        raise Problem(f"{source.shown}: it could not be copied", NOT_FOUND)
    return cap, body.count


@implementer(IBodyProducer)
@define(eq=False)
class _Relay(Protocol):
    """Takes a body no faster than it is sent on."""

    _response: Any
    count: int = field(default=0, init=False)  # bytes
    _consumer: Any = field(default=None, init=False)
    _done: Deferred[None] = field(factory=Deferred, init=False)
    _stopped: bool = field(default=False, init=False)

    @property
    def length(self) -> object:
        """The length of the body, where it is known."""
        length = self._response.length
        return length if isinstance(length, int) else UNKNOWN_LENGTH

    def startProducing(self, consumer: Any) -> Deferred[None]:
        self._consumer = consumer
        self._response.deliverBody(self)
        return self._done

    def dataReceived(self, data: bytes) -> None:
        if not self._stopped:
            self.count += len(data)
            self._consumer.write(data)

    def connectionLost(self, reason: Failure = _DONE) -> None:
        if self._stopped:
            return
        if reason.check(ResponseDone):
            self._done.callback(None)
        else:
            self._done.errback(reason)

    def pauseProducing(self) -> None:
        self._source.pauseProducing()

    def resumeProducing(self) -> None:
        self._source.resumeProducing()

    def stopProducing(self) -> None:
        self._stopped = True
        self._source.loseConnection()

    @property
    def _source(self) -> Any:
        return self.transport
