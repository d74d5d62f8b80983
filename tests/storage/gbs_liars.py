"""Servers over HTTPS that lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.grids import pause
from tests.storage.gbs_served import certificate, listen, new_client
from truckee.storage.gbs_client import GbsServer
from truckee.storage.gbs_server import tls_options
from truckee.storage.limited import Patience

# Gets the transport when a request came.
Lie = Callable[["Liar"], None]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/cbor\r\n"


class Liar(Protocol):
    """Waits for one head after another, and answers each with its lie."""

    def __init__(self, lies: Lies) -> None:
        self.lies = lies
        self.held = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.lies.heard += data
        self.held += data
        while b"\r\n\r\n" in self.held:
            self.held = self.held.partition(b"\r\n\r\n")[2]
            self.lies.lie(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True

    def say(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)
        self.lies.said += len(data)

    def repeat(self, data: bytes, seconds: float = 0.0) -> None:
        """Say *data* for ever."""

        async def loop() -> None:
            while not self.lost and self.lies.said < 1 << 30:
                self.say(data)
                await pause(seconds)

        self.lies.talks.append(Deferred.fromCoroutine(loop()))


class Lies(Factory):
    noisy = False

    def __init__(self, lie: Lie) -> None:
        self.lie = lie
        self.heard = b""
        self.said = 0
        self.connections = 0
        self.talks: list[Deferred[None]] = []

    def buildProtocol(self, addr: Any) -> Any:
        self.connections += 1
        return Liar(self)


def saying(data: bytes) -> Lie:
    """Answer with *data*."""
    return lambda liar: liar.say(data)


def body(data: bytes, head: bytes = OK) -> Lie:
    """Answer with a well-made response that has this body."""
    return saying(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(data), data))


def beginning(first: bytes, then: bytes) -> Lie:
    """Say *first*, and *then* for ever."""

    def lie(liar: Liar) -> None:
        liar.say(first)
        liar.repeat(then)

    return lie


def lying(case: TestCase, lie: Lie, patience: float = 5.0) -> tuple[GbsServer, Lies]:
    """Return a client of a server that lies until the test ends."""
    lies = Lies(lie)
    options = tls_options(certificate())
    nurl = listen(case, TLSMemoryBIOFactory(options, False, lies), certificate())
    case.addCleanup(lambda: Deferred.fromCoroutine(_all_said(lies)))
    return new_client(case, nurl, Patience(patience, patience, patience)), lies


async def _all_said(lies: Lies) -> None:
    for talk in lies.talks:
        await talk
