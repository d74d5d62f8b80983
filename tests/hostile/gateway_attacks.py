"""Attacks on the web port of a gateway."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from itertools import cycle

from tests.hostile.attack import (
    Attack,
    Node,
    Stop,
    answered,
    connect,
    drain,
    send,
    send_some,
)
from tests.processes import curl

KIB = 1024
HOST = b"Host: 127.0.0.1\r\n"


def get(target: bytes) -> bytes:
    """Return the bytes of a GET."""
    return b"GET %b HTTP/1.1\r\n%b\r\n" % (target, HOST)


class Swarm(Attack):
    """Many connections that are opened again whenever the node drops them."""

    connections: int
    receive_buffer = 0
    # Between two looks at all connections, in seconds.
    every = 0.2

    def run(self, node: Node, stop: Stop) -> None:
        self.prepare(node)
        swarm: list[socket.socket] = []
        while not stop.is_set():
            alive = []
            for sock in swarm:
                if not answered(sock) and self.keep_up(sock):
                    alive.append(sock)
                else:
                    sock.close()
            swarm = alive
            while len(swarm) < self.connections and not stop.is_set():
                new = self.open(node)
                if new is None:
                    break
                if self.begin(new):
                    swarm.append(new)
                else:
                    new.close()
                    break
            stop.wait(self.every)
        for sock in swarm:
            sock.close()

    def prepare(self, node: Node) -> None:
        """Do what has to be done once."""

    def open(self, node: Node) -> socket.socket | None:
        """Return a new connection, if it is taken."""
        return connect(node, self.receive_buffer)

    def begin(self, sock: socket.socket) -> bool:
        """Do what a new connection does; return whether it worked."""
        return True

    def keep_up(self, sock: socket.socket) -> bool:
        """Do what a connection does now and then; return whether it worked."""
        return True


class PipelinedBurst(Attack):
    """A read's worth of requests at once, from a few connections, over and over."""

    name = "pipelined-burst"
    target = b"/metrics"
    connections = 4

    def run(self, node: Node, stop: Stop) -> None:
        one = get(self.target)
        burst = one * (256 * KIB // len(one))
        socks: list[socket.socket] = []
        while not stop.is_set():
            for sock in list(socks):
                if not (drain(sock) and send_some(sock, burst)):
                    socks.remove(sock)
                    sock.close()
            if len(socks) < self.connections and (new := connect(node)) is not None:
                socks.append(new)
            stop.wait(0.02)


class StatusBurst(PipelinedBurst):
    """The same, of a page that is made for each who asks."""

    name = "pipelined-status"
    target = b"/status?t=json"


class SlowUploads(Swarm):
    """More uploads than there is room for, each of a byte a second."""

    name = "slow-uploads"
    connections = 200
    every = 1.0

    def begin(self, sock: socket.socket) -> bool:
        head = b"PUT /uri HTTP/1.1\r\n%bContent-Length: 1000000000\r\n\r\n" % HOST
        return send(sock, head + b"x" * 100)

    def keep_up(self, sock: socket.socket) -> bool:
        return send(sock, b"x")


class OpenHandles(Attack):
    """Upload handles without end, none of which is used."""

    name = "open-handles"

    def run(self, node: Node, stop: Stop) -> None:
        sock = None
        request = b"POST /upload/open HTTP/1.1\r\n%bContent-Length: 0\r\n\r\n" % HOST
        while not stop.is_set():
            if sock is None:
                sock = connect(node)
            if sock is None or not send(sock, request) or not drain(sock):
                if sock is not None:
                    sock.close()
                sock = None
            stop.wait(0.01)


class HalfHeads(Swarm):
    """Requests whose heads never end."""

    name = "half-heads"
    connections = 1100
    filler = b""

    def begin(self, sock: socket.socket) -> bool:
        return send(sock, b"GET / HTTP/1.1\r\n" + HOST + self.filler)


class LargeHalfHeads(HalfHeads):
    """The same, each with as much in it as is taken."""

    name = "large-half-heads"
    filler = b"".join(b"X-%d: %b\r\n" % (n, b"x" * 1000) for n in range(15))


class IdleConnections(Swarm):
    """Connections on which nothing is said."""

    name = "idle-connections"
    connections = 2000


class DeafReaders(Swarm):
    """Downloads of which nobody reads a byte."""

    name = "deaf-readers"
    connections = 900
    receive_buffer = 4 * KIB
    _request = b""

    def prepare(self, node: Node) -> None:
        cap = curl("-T", "-", f"{node.url}uri", data=os.urandom(20 << 20))
        self._request = get(b"/uri/" + cap)

    def begin(self, sock: socket.socket) -> bool:
        return send(sock, self._request)

    def run(self, node: Node, stop: Stop) -> None:
        # A response has come, so ``answered`` says nothing here.
        self.prepare(node)
        swarm: list[socket.socket] = []
        while not stop.is_set():
            if len(swarm) < self.connections:
                sock = connect(node, self.receive_buffer)
                if sock is not None:
                    self.begin(sock)
                    swarm.append(sock)
            else:
                stop.wait(0.1)


class SilentListeners(DeafReaders):
    """Listeners to events that never read what they are told."""

    name = "silent-listeners"
    connections = 100

    def prepare(self, node: Node) -> None:
        self._request = get(b"/status/events")


class BodiesInMemory(Swarm):
    """Bodies that are kept in memory until they are complete, and never are."""

    name = "bodies-in-memory"
    connections = 300

    def begin(self, sock: socket.socket) -> bool:
        size = 1024 * KIB
        head = b"POST /operations/x HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n"
        return send(sock, head % (HOST, size) + b"x" * (size - 1))


class ManyRequests(Attack):
    """Requests one after the other on many connections, as fast as they are answered."""

    name = "many-requests"
    targets: Sequence[bytes] = (b"/metrics", b"/status?t=json", b"/", b"/helper_status")

    def run(self, node: Node, stop: Stop) -> None:
        requests = cycle(get(target) for target in self.targets)
        socks: list[socket.socket] = []
        while not stop.is_set():
            while len(socks) < 50:
                sock = connect(node)
                if sock is None:
                    break
                send(sock, next(requests))
                socks.append(sock)
            for sock in list(socks):
                if answered(sock) and not (drain(sock) and send(sock, next(requests))):
                    socks.remove(sock)
                    sock.close()
            stop.wait(0.005)


ATTACKS: Sequence[Attack] = (
    PipelinedBurst(),
    StatusBurst(),
    ManyRequests(),
    SlowUploads(),
    OpenHandles(),
    HalfHeads(),
    LargeHalfHeads(),
    IdleConnections(),
    DeafReaders(),
    SilentListeners(),
    BodiesInMemory(),
)
