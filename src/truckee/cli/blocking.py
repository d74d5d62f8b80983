"""
Talking to a gateway one request after the other, without Twisted.

A command that has nothing else to do meanwhile is over sooner than Twisted is loaded.
"""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.parse import urlsplit

from attrs import define, field

from truckee.cli.problems import Problem, Unreachable, printable, reason_within

T = TypeVar("T")

_CONNECT = 15.0  # seconds
_PATIENCE = 900.0  # seconds for an answer
# Errors of a connection that are no news of the other end.
_LOCAL = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EPERM, errno.EACCES)
# The first that fits counts.
_LINE: tuple[tuple[type[BaseException], str], ...] = (
    (ConnectionRefusedError, "nothing listens there"),
    (socket.gaierror, "no machine is known by that name"),
    (TimeoutError, "it is silent"),
    (
        ssl.SSLError,
        "it does not speak TLS, or shows a certificate that is not trusted here",
    ),
    (http.client.RemoteDisconnected, "it closed the connection"),
    (http.client.IncompleteRead, "it broke off its answer"),
    (ConnectionError, "the connection was cut"),
)


@define(eq=False)
class BlockingGateway:
    """One gateway's web API."""

    url: str
    _connection: http.client.HTTPConnection | None = field(default=None, init=False)

    async def exchange(
        self, method: str, place: str, body: bytes | None, most: int
    ) -> tuple[int, bytes]:
        """Return the status and at most so many bytes of the answer; never suspends."""
        try:
            connection = self._connected()
            connection.request(method, f"{urlsplit(self.url).path}{place}", body)
            response = connection.getresponse()
            data = response.read(most)
            if response.length and len(data) < most:
                # It tells so only when it is asked for everything.
                raise http.client.IncompleteRead(data)
            if not response.isclosed():
                self.close()  # there is more than is wanted
            return response.status, data
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._problem(error) from None

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            parts = urlsplit(self.url)
            kind: type[http.client.HTTPConnection] = http.client.HTTPConnection
            if parts.scheme == "https":
                kind = http.client.HTTPSConnection
            connection = kind(parts.hostname or "", parts.port, timeout=_CONNECT)
            connection.connect()
            connection.sock.settimeout(_PATIENCE)
            self._connection = connection
        return self._connection

    def _problem(self, error: Exception) -> Problem:
        for kind, reason in _LINE:
            if isinstance(error, kind):
                return Unreachable(reason, self.url)
        if isinstance(error, OSError):
            if error.errno in _LOCAL:
                reason = reason_within(error)
                return Problem(f"cannot speak to the gateway at {self.url}: {reason}")
            return Unreachable(reason_within(error), self.url)
        if isinstance(error, http.client.BadStatusLine | http.client.UnknownProtocol):
            return Problem(
                f"what answers at {self.url} is no gateway of Tahoe-LAFS: it does not "
                "speak HTTP; name one with -u URL or -d NODEDIR"
            )
        return Unreachable(printable(str(error)) or type(error).__name__, self.url)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def complete(work: Coroutine[Any, Any, T]) -> T:
    """Return what *work* returns, which waits for nothing but a blocking gateway."""
    try:
        work.send(None)
    except StopIteration as end:
        found: T = end.value
        return found
    raise AssertionError("it waits for what nobody does")
