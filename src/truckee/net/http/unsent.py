"""What was written for a client and has not left."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from twisted.internet.abstract import FileDescriptor

from truckee.net.http.lingering_close import innermost
from truckee.net.http.peer import socket_of


def bound_unsent(transport: Any, limit: int) -> None:
    """
    Have the system take no more than *limit* bytes that cannot leave yet; 0: as it likes.

    It takes megabytes otherwise, which somebody fetched for a client that may never read
    them.  What is on its way is not bounded, so that no line is slower.
    """
    sock = socket_of(innermost(transport))
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if sock is not None and option is not None:
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, option, limit)


def drop_unsent(transport: Any) -> None:
    """
    Free what *transport*, whose connection is lost, still had to send.

    It and the channel know each other, so that it would stay until a garbage collection.
    """
    wire = innermost(transport)
    if isinstance(wire, FileDescriptor):
        wire.dataBuffer, wire.offset = b"", 0
        wire._tempDataBuffer, wire._tempDataLen = [], 0
