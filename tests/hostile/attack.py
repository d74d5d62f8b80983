"""
What an attack is.

``python -m tests.bench.hostile`` runs every attack in the ``ATTACKS`` of each module
``tests/hostile/*_attacks.py``, in a process of its own, and measures what an honest client
of the same node notices.
"""

from __future__ import annotations

import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from tests.processes import GridProcess

# Seconds that a connection has to be made, and to take what is sent.
TIMEOUT = 5.0


class Node(Protocol):
    """A node process that is attacked; both kinds of node processes of the tests fit."""

    @property
    def directory(self) -> Path:
        """Its node directory."""

    @property
    def url(self) -> str:
        """Its web API, with a slash at its end; the honest client works there."""

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """What runs it: its memory and descriptors are measured."""


class Stop(Protocol):
    """Says when an attack has to end; a multiprocessing or threading ``Event``."""

    def is_set(self) -> bool:
        """Whether it has to end now."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for at most *timeout* seconds; return whether it has to end."""


class Attack(ABC):
    """One way to keep a node from its work."""

    name: str

    def serve(self, place: Path) -> AbstractContextManager[Node]:
        """Run the node that is attacked, in directories of *place*: a grid of its own."""
        return _grid(place)

    @abstractmethod
    def run(self, node: Node, stop: Stop) -> None:
        """
        Attack *node* until *stop* is set.

        Errors of connections are expected: a node under attack may refuse and drop.  All
        connections are closed when this returns, by its process's end at the latest.
        """


@contextmanager
def _grid(place: Path) -> Iterator[Node]:
    grid = GridProcess.create(place / "grid", needed=2, happy=2, total=3, storage_dirs=3)
    grid.start()
    try:
        yield grid
    finally:
        grid.process.terminate()
        try:
            grid.process.wait(120)
        except subprocess.TimeoutExpired:
            # What is frozen does not end in an orderly way.
            grid.kill()


def connect(node: Node, receive_buffer: int = 0) -> socket.socket | None:
    """Return a new connection to the web API of *node*; None if it is not taken."""
    address = urlsplit(node.url)
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(TIMEOUT)
    try:
        sock.connect((address.hostname or "", address.port or 80))
    except OSError:
        sock.close()
        return None
    return sock


def send(sock: socket.socket, data: bytes) -> bool:
    """Send *data*; return whether the connection took it all in time."""
    with suppress(OSError):
        sock.sendall(data)
        return True
    return False


def send_some(sock: socket.socket, data: bytes) -> bool:
    """Send what of *data* needs no wait; return whether the connection still stands."""
    sock.setblocking(False)
    try:
        sock.send(data)
    except BlockingIOError:
        pass
    except OSError:
        return False
    finally:
        sock.settimeout(TIMEOUT)
    return True


def drain(sock: socket.socket) -> bool:
    """Read what is there and drop it; return whether the connection still stands."""
    sock.setblocking(False)
    try:
        while sock.recv(1 << 18):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    finally:
        sock.settimeout(TIMEOUT)
    return False


def answered(sock: socket.socket) -> bool:
    """Return whether something has come, bytes or the end; waits for nothing."""
    sock.setblocking(False)
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        pass
    finally:
        sock.settimeout(TIMEOUT)
    return True
