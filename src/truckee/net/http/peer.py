"""
Whether a client that we do not listen to is still there.

A paused descriptor is not polled, so the reactor sees neither a reset nor a FIN.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any

from twisted.internet.interfaces import ISystemHandle

# States of include/net/tcp_states.h.
_CLOSE = 7
_CLOSE_WAIT = 8


def is_gone(transport: Any, missing: int | None) -> bool | None:
    """
    Return whether the client of *transport* is gone for good, or None if nobody can tell.

    *missing* are the bytes of the body to come.  A client that said goodbye may have
    sent all before, so a FIN counts only if fewer bytes are left to read; with None, of
    a chunked body, it never does.
    """
    sock = socket_of(transport)
    if sock is None or not _tells(sock):
        return None
    try:
        # TCP_INFO begins with the state, in one byte.
        state = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        if state == _CLOSE_WAIT and missing is not None:
            return _unread(sock) < missing
    except OSError:
        return True
    return state == _CLOSE


def socket_of(transport: Any) -> socket.socket | None:
    """Return the socket that *transport* itself has, if it has one."""
    sock = transport.getHandle() if ISystemHandle.providedBy(transport) else None
    return sock if isinstance(sock, socket.socket) else None


def _tells(sock: socket.socket) -> bool:
    tcp = sock.family in (socket.AF_INET, socket.AF_INET6)
    return tcp and sys.platform == "linux" and hasattr(socket, "TCP_INFO")


def _unread(sock: socket.socket) -> int:
    from fcntl import ioctl  # noqa: PLC0415 - these two exist on POSIX only
    from termios import FIONREAD  # noqa: PLC0415

    count: int = struct.unpack("i", ioctl(sock, FIONREAD, b"\0" * 4))[0]
    return count
