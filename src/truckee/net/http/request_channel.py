"""What Twisted's requests want of the connection that they came on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.interfaces import IAddress, ISSLTransport
from twisted.internet.protocol import Protocol
from twisted.web.http_headers import Headers

from truckee.net.http.output import Output


def head_bytes(version: bytes, code: bytes, reason: bytes, headers: Headers) -> bytes:
    """Return the head of a response."""
    lines = [version, b" ", code, b" ", reason, b"\r\n"]
    for name, values in headers.getAllRawHeaders():
        for value in values:
            lines += (name, b": ", value, b"\r\n")
    return b"".join([*lines, b"\r\n"])


class RequestChannel(Protocol):
    """The way out; its names are Twisted's."""

    transport: Any
    _output: Output

    def writeHeaders(
        self, version: bytes, code: bytes, reason: bytes, headers: Headers
    ) -> None:
        self.transport.write(head_bytes(version, code, reason, headers))

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def writeSequence(self, parts: Sequence[bytes]) -> None:
        self.transport.writeSequence(parts)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if not streaming:
            raise TypeError("only push producers are known here")
        self._output.set_producer(producer)

    def unregisterProducer(self) -> None:
        self._output.set_producer(None)

    def getPeer(self) -> IAddress:
        return self.transport.getPeer()  # type: ignore[no-any-return]

    def getHost(self) -> IAddress:
        return self.transport.getHost()  # type: ignore[no-any-return]

    def isSecure(self) -> bool:
        return ISSLTransport(self.transport, None) is not None
