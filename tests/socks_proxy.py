"""A SOCKS5 proxy in threads, in the place of Tor: every name is this machine."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from attrs import define, field


@define(eq=False)
class SocksProxy:
    """Listens on *port*, until ``stop``; remembers what it was asked for."""

    port: int
    answers: bool = True  # false: it takes requests and says nothing
    refuses: bool = False  # it says that it reaches nobody
    asked: list[tuple[str, int]] = field(factory=list, init=False)
    gone: list[bool] = field(factory=list, init=False)  # connections that ended
    _server: Any = field(init=False)

    def start(self) -> SocksProxy:
        """Listen."""
        proxy = self

        class _Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    proxy._serve(self.request)
                proxy.gone.append(True)

        class _Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False

        self._server = _Server(("127.0.0.1", self.port), _Handler)
        serve: Callable[[], None] = lambda: self._server.serve_forever(0.05)  # noqa: E731
        threading.Thread(target=serve, daemon=True).start()
        return self

    def stop(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, client: socket.socket) -> None:
        _, count = _read(client, 2)
        _read(client, count)
        client.sendall(b"\x05\x00")
        _, _command, _, kind = _read(client, 4)
        if kind == 3:
            host = _read(client, _read(client, 1)[0]).decode()
        else:
            family = socket.AF_INET if kind == 1 else socket.AF_INET6
            host = socket.inet_ntop(family, _read(client, 4 if kind == 1 else 16))
        [port] = struct.unpack("!H", _read(client, 2))
        self.asked.append((host, port))
        end = bytes((0, 1, 127, 0, 0, 1, 0, 0))
        if self.refuses:
            client.sendall(b"\x05\x04" + end[:1] + end[1:])
            return
        if not self.answers:
            client.recv(1)
            return
        with socket.create_connection(("127.0.0.1", port)) as there:
            client.sendall(b"\x05\x00" + end)
            back = threading.Thread(target=_copy, args=(there, client), daemon=True)
            back.start()
            _copy(client, there)
            back.join()


def _read(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = source.recv(size - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data


def _copy(source: socket.socket, to: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            to.sendall(data)
    with suppress(OSError):
        to.shutdown(socket.SHUT_WR)
