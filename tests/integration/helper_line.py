"""A gateway and its helper, and a line between them that is slow, cut and counted."""

from __future__ import annotations

import json
import selectors
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from attrs import define, field

from tests.integration.stock_grid import (
    Grid,
    Helper,
    NodeProcess,
    Program,
    Shape,
    grid,
    reaches,
    use_helper,
    write_helper,
)
from tests.processes import START_TIME, Reply, ask, eventually

_PIECE = 16 * 1024  # bytes that are carried at once
# What the line itself holds, beside the buffers of this program.
_BUFFER = 64 * 1024  # bytes


class Line:
    """
    A line on loopback to *target*, carried by a thread: a context manager.

    Whoever connects to *port* reaches the target.
    """

    def __init__(self, target: int) -> None:
        self.sent = 0  # bytes that came from whoever connected
        self.rate = 0.0  # bytes per second in that direction; 0: as fast as they come
        self.silent = False  # carry nothing, and keep the connections
        self.target = target  # may change: new connections go there
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._selector = selectors.DefaultSelector()
        self._pairs: list[_Pair] = []
        self._resets = 0
        self._over = False
        self._due = time.monotonic()  # when the next bytes may be carried
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Line:
        self._listener.setblocking(False)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join()
        self._listener.close()

    def reset(self) -> None:
        """Break all connections at both ends, at once."""
        self._resets += 1
        before = self._resets
        eventually(lambda: self._resets != before or not self._thread.is_alive())

    def _run(self) -> None:
        while not self._over:
            if self._resets % 2:
                for pair in self._pairs:
                    pair.close(reset=True)
                self._pairs.clear()
                self._resets += 1
            self._step()
        for pair in self._pairs:
            pair.close(reset=False)

    def _step(self) -> None:
        with suppress(BlockingIOError):
            near, _ = self._listener.accept()
            with suppress(OSError):
                self._pairs.append(_Pair.join(near, self.target))
        moved = False
        if not self.silent:
            for pair in list(self._pairs):
                try:
                    moved |= self._carry(pair)
                except OSError:
                    pair.close(reset=True)
                    self._pairs.remove(pair)
        if not moved:
            time.sleep(0.001)

    def _carry(self, pair: _Pair) -> bool:
        moved = pair.back.move()
        now = time.monotonic()
        if self.rate and now < self._due:
            return moved
        count = pair.forth.received
        moved |= pair.forth.move()
        count = pair.forth.received - count
        self.sent += count
        if self.rate:
            self._due = max(self._due, now - 0.05) + count / self.rate
        return moved


@define(eq=False)
class _Half:
    """One direction."""

    source: socket.socket
    sink: socket.socket
    received: int = 0  # bytes so far
    _held: bytes = b""
    _ended: bool = False

    def move(self) -> bool:
        """Carry what there is; return whether anything moved."""
        moved = False
        if not self._held and not self._ended:
            with suppress(BlockingIOError):
                self._held = self.source.recv(_PIECE)
                self.received += len(self._held)
                moved = True
                if not self._held:
                    self._ended = True
                    self.sink.shutdown(socket.SHUT_WR)
        if self._held:
            with suppress(BlockingIOError):
                self._held = self._held[self.sink.send(self._held) :]
                moved = True
        return moved


@define(eq=False)
class _Pair:
    """One connection through the line."""

    near: socket.socket
    far: socket.socket
    forth: _Half = field(init=False)
    back: _Half = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.forth = _Half(self.near, self.far)
        self.back = _Half(self.far, self.near)

    @classmethod
    def join(cls, near: socket.socket, target: int) -> _Pair:
        """Connect what was accepted; it is closed where nobody listens."""
        try:
            far = socket.create_connection(("127.0.0.1", target), 5.0)
        except OSError:
            near.close()
            raise
        for end in (near, far):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            end.setblocking(False)
        return cls(near, far)

    def close(self, reset: bool) -> None:
        """End it, with a reset to both sides if that is wanted."""
        for end in (self.near, self.far):
            if reset:
                linger = struct.pack("ii", 1, 0)
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            end.close()


@define(eq=False)
class HelpedGrid:
    """Storage servers, a helper, a gateway that uses it, and the line between them."""

    grid: Grid
    helper: Helper
    line: Line
    servers: int

    @property
    def gateway(self) -> NodeProcess:
        """Ours."""
        return self.grid.ours

    def start_helper(self) -> None:
        """Run the helper, until it reaches the servers."""
        self.helper.spawn("ours")
        self.helper.wait_until(partial(reaches, self.helper, self.servers))

    def start_gateway(self) -> None:
        """Run the gateway, until it reaches the servers and the helper."""
        self.gateway.spawn("ours")
        self.gateway.wait_until(partial(reaches, self.gateway, self.servers))
        self.gateway.wait_until(self.linked)

    def linked(self) -> bool:
        """Tell whether the gateway can push to the helper now."""
        told: Any = json.loads(ask(f"{self.gateway.url}?t=json").body)
        return bool(told["truckee"]["helper"]["pushes"])

    def held(self) -> int:
        """Return the bytes of ciphertext that wait at the helper."""
        return sum(self.helper.spool().values())

    def fetched(self) -> int:
        """Return the bytes of ciphertext that the helper took since its start."""
        told: Any = json.loads(ask(f"{self.helper.url}helper_status?t=json").body)
        return int(told.get("chk_upload_helper.fetched_bytes", 0))


@contextmanager
def helped_grid(
    directory: Path, servers: int = 4, shape: Shape | None = None, kind: Program = "ours"
) -> Iterator[HelpedGrid]:
    """Make and run all of it in *directory*; end it whatever happens."""
    with ExitStack() as stack:
        made = stack.enter_context(
            grid(directory, servers=servers, shape=shape, kind=kind, gateways=())
        )
        helper = write_helper(directory / "helper", made.furl, shape=shape)
        line = stack.enter_context(Line(helper.port))
        furl = helper.helper_furl.replace(f":{helper.port}/", f":{line.port}/")
        use_helper(made.ours, furl)
        helped = HelpedGrid(made, helper, line, servers)
        stack.callback(lambda: helper.running and helper.stop())
        helped.start_helper()
        helped.start_gateway()
        yield helped


@define(eq=False)
class Put:
    """A file on its way to a gateway, from a process of its own."""

    process: subprocess.Popen[bytes]

    def reply(self, seconds: float = 100.0) -> Reply | None:
        """Return the answer; None: there is none."""
        out, _ = self.process.communicate(timeout=seconds)
        head, _, body = out.partition(b"\r\n\r\n")
        while head.split()[1:2] == [b"100"]:
            head, _, body = body.partition(b"\r\n\r\n")
        if self.process.returncode or not head:
            return None
        return Reply(int(head.split()[1]), {}, body)


@contextmanager
def putting(
    gateway: NodeProcess, data: bytes, arguments: str = "", chunked: bool = False
) -> Iterator[Put]:
    """Send a file in the background."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        command = ["curl", "--silent", "--include", "--header", "Expect:"]
        source = ["--header", "Transfer-Encoding: chunked"] if chunked else []
        sending = subprocess.Popen(
            [
                *command,
                *source,
                "--upload-file",
                file.name,
                f"{gateway.url}uri{arguments}",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield Put(sending)
        finally:
            sending.kill()
            sending.wait()


def until_held(helped: HelpedGrid, count: int) -> int:
    """Wait until the helper holds so many bytes; return how many it does."""
    eventually(lambda: helped.held() >= count, START_TIME)
    return helped.held()
