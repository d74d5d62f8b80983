"""
TLS connections whose bytes threads send and receive, from and to buffers.

Beside ``flow.cpu`` this is the one module that other threads use: a connection has a thread
of its own while it is open, which blocks in OpenSSL without the interpreter's lock.
``docs/measured.md``, "Share channels", has what that gains over TLS in the event loop.
"""

from __future__ import annotations

import hashlib
import select
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path

from attrs import define, field
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificate

from truckee.codec.hashes import Buffer

# A piece that does not come, or is not taken, ends the connection.
STALL = 120.0  # seconds


class News(Enum):
    """What a thread waited for."""

    CAME = "came"  # something from the other end
    WOKEN = "woken"  # by another thread
    NONE = "none"  # the time is over


class Ended(Exception):
    """The other end has closed the connection."""


def server_context(pem: Path) -> ssl.SSLContext:
    """
    Return what servers need, of a certificate and its key in a file; blocks.

    :raises OSError: :raises ssl.SSLError: when there are none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(pem)
    context.num_tickets = 0
    return context


def fingerprint_of(pem: bytes) -> bytes:
    """Return the SHA-256 of the certificate in *pem*."""
    return load_pem_x509_certificate(pem).fingerprint(SHA256())


def client_context() -> ssl.SSLContext:
    """Return what clients need that look at the certificate themselves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@define(eq=False)
class Waker:
    """Wakes a thread that waits for its connection; any thread may call ``wake``."""

    _near: socket.socket = field(init=False, repr=False)
    _far: socket.socket = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)

    def fileno(self) -> int:
        """Return what ``select`` waits for."""
        return self._near.fileno()

    def wake(self) -> None:
        """Have the thread look again; what was not seen yet is enough."""
        with suppress(OSError):
            self._far.send(b"\0")

    def clear(self) -> None:
        """Forget what woke it."""
        with suppress(OSError):
            while len(self._near.recv(4096)) == 4096:
                pass

    def close(self) -> None:
        """Wake nobody any more."""
        self._near.close()
        self._far.close()


@define(eq=False)
class Line:
    """
    One connection, used by one thread; another may only ``cut`` it.

    :raises OSError: from all methods, also when a piece takes longer than ``STALL``.
    """

    _socket: ssl.SSLSocket = field(repr=False)

    @classmethod
    def serving(cls, raw: socket.socket, context: ssl.SSLContext) -> Line:
        """Return the server's end, which has not shaken hands; does not block."""
        raw.settimeout(STALL)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(
            context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
        )

    @classmethod
    def asking(
        cls, raw: socket.socket, context: ssl.SSLContext, fingerprint: bytes
    ) -> Line:
        """
        Shake hands as the client, with the server whose certificate has this SHA-256.

        :raises ssl.SSLError: when it is another one.
        """
        raw.settimeout(STALL)
        wrapped = context.wrap_socket(raw)
        certificate = wrapped.getpeercert(binary_form=True) or b""
        if hashlib.sha256(certificate).digest() != fingerprint:
            wrapped.close()
            raise ssl.SSLError("the server has another certificate than its own")
        return cls(wrapped)

    def begin(self, greeting: bytes) -> None:
        """Send *greeting* as it is, and shake hands."""
        socket.socket.sendall(self._socket, greeting)
        self._socket.do_handshake()

    def send(self, parts: Sequence[Buffer]) -> None:
        """Send *parts*, one behind the other."""
        for part in parts:
            self._socket.sendall(part)

    def receive(self, size: int) -> bytearray:
        """Return the next *size* bytes.  :raises Ended: when none of them come."""
        data = bytearray(size)
        view, got = memoryview(data), 0
        while got < size:
            count = self._socket.recv_into(view[got:])
            if not count:
                raise ConnectionResetError if got else Ended
            got += count
        return data

    def wait(self, seconds: float, waker: Waker | None = None) -> News:
        """Return what happens first within *seconds*."""
        if self._socket.pending():
            return News.CAME
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        if waker is not None:
            poll.register(waker, select.POLLIN)
        found = [descriptor for descriptor, _ in poll.poll(seconds * 1000)]
        if self._socket.fileno() in found:
            return News.CAME
        return News.WOKEN if found else News.NONE

    def cut(self) -> None:
        """End it at once, from any thread; whoever uses it fails."""
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of it."""
        with suppress(OSError):
            self._socket.close()
