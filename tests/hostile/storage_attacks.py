"""
Attacks on the storage that a node offers to others, over foolscap.

Each runs in a process of its own, which has a reactor:

    python -m tests.hostile.storage_attacks NAME NODE-DIRECTORY

It begins with a line on its standard input, and ends with it.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from attrs import define
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from foolscap.api import Referenceable, SturdyRef, Tub
from foolscap.banana import int2b128
from foolscap.tokens import INT, OPEN, STRING
from twisted.internet import stdio
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from tests.grids import REACTOR, pause
from tests.hostile.attack import Attack, Node, Stop
from tests.hostile.gateway_attacks import Swarm
from tests.integration.stock_grid import NodeProcess, Shape, reaches, write_node
from tests.ports import free_ports
from truckee.storage.sharefiles import ShareDirectory

KIB, MIB = 1 << 10, 1 << 20
# A share that is there, with little on the disk.
SPARSE, SPARSE_SIZE = b"sparse-immutable", 1 << 30
SLOT = b"a-mutable-file.."
SECRETS = (b"w" * 32, b"r" * 32, b"c" * 32)


@contextmanager
def offering(place: Path) -> Iterator[NodeProcess]:
    """Run a node that offers storage, and has its gateway store there too."""
    [port] = free_ports(1)
    node = write_node(place / "node", "", port, storage=True, shape=Shape(1, 1, 1))
    known = {"ann": {"anonymous-storage-FURL": node.furl}}
    (node.directory / "private" / "servers.yaml").write_text(
        yaml.safe_dump({"storage": {"itself": known}})
    )
    _put_sparse(ShareDirectory(node.directory / "storage").home(SPARSE))
    node.spawn("ours")
    try:
        node.wait_until(partial(reaches, node, 1))
        yield node
    finally:
        node.stop()


def _put_sparse(home: Path) -> None:
    home.mkdir(parents=True)
    with (home / "0").open("wb") as share:
        share.write(struct.pack(">LLL", 2, SPARSE_SIZE, 1))
        share.truncate(12 + SPARSE_SIZE + 72)


class StorageAttack(Attack):
    """One over foolscap."""

    # Started with the node, so that it is there when it is wanted.
    _child: subprocess.Popen[bytes]

    @contextmanager
    def serve(self, place: Path) -> Iterator[Node]:
        with offering(place) as node:
            command = [sys.executable, "-m", __name__, self.name, str(node.directory)]
            with subprocess.Popen(command, stdin=subprocess.PIPE) as self._child:
                try:
                    yield node
                finally:
                    self._child.kill()

    def run(self, node: Node, stop: Stop) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(b"go\n")
        self._child.stdin.flush()
        stop.wait()
        # This may be another process than that which waits for it.
        os.kill(self._child.pid, signal.SIGKILL)

    async def attack(self, furl: str) -> None:
        """Attack for as long as the process lives; a reactor runs."""
        while True:
            with suppress(Exception):
                await self.round(furl)
            await pause(0.05)

    @abstractmethod
    async def round(self, furl: str) -> None:
        """Do it once."""


class Peers(StorageAttack):
    """Many tubs, each of which comes back when it was dropped."""

    peers: int

    async def attack(self, furl: str) -> None:
        for _ in range(self.peers):
            Deferred.fromCoroutine(super().attack(furl))
        await Deferred()

    async def round(self, furl: str) -> None:
        tub = Tub(certData=_new_identity())
        tub.startService()
        lost: Deferred[None] = Deferred()
        try:
            broker = await self.connect(tub, furl)
            broker.notifyOnDisconnect(lost.callback, None)
            await lost
        finally:
            await tub.stopService()

    @abstractmethod
    async def connect(self, tub: Any, furl: str) -> Any:
        """Do what one of them does; return its connection."""


class StrangersStrings(Peers):
    """Strangers who send a long string, but for its end."""

    name = "strangers-strings"
    peers = 12

    async def connect(self, tub: Any, furl: str) -> Any:
        broker = await tub.getBrokerForTubRef(SturdyRef(furl).getTubRef())
        broker.transport.write(_begun_string(60 * MIB) + bytes(60 * MIB - 1))
        return broker


class KnownStrings(Peers):
    """Peers who have the furl write the longest block that is taken, but for its end."""

    name = "known-strings"
    peers = 12
    size = 60 * MIB

    async def connect(self, tub: Any, furl: str) -> Any:
        server = await tub.getReference(furl)
        broker = server.tracker.broker
        index = b"string %09d" % (id(tub) % 10**9)
        _, writers = await server.callRemote(
            "allocate_buckets", index, *SECRETS[1:], {0}, self.size, Referenceable()
        )
        whole = broker.transport.write

        def cut(data: bytes) -> None:
            if len(data) == self.size:
                broker.transport.write = lambda _: None
                data = data[:-1]
            whole(data)

        broker.transport.write = cut
        call = writers[0].callRemote("write", 0, bytes(self.size))
        call.addErrback(lambda _: None)
        return broker


class Untaken(Peers):
    """Calls with long answers, of which nothing is taken."""

    peers = 8
    calls = 64

    async def connect(self, tub: Any, furl: str) -> Any:
        remote = await tub.getReference(furl)
        call = await self.prepare(remote)
        broker = remote.tracker.broker
        broker.transport.pauseProducing()
        for _ in range(self.calls):
            call().addErrback(lambda _: None)
        return broker

    @abstractmethod
    async def prepare(self, server: Any) -> Callable[[], Any]:
        """Return what makes such a call."""


class UntakenReads(Untaken):
    """Of a large immutable share."""

    name = "untaken-reads"

    async def prepare(self, server: Any) -> Callable[[], Any]:
        reader = (await server.callRemote("get_buckets", SPARSE))[0]
        return partial(reader.callRemote, "read", 0, SPARSE_SIZE)


class UntakenBlocks(Untaken):
    """Of blocks of it, as clients read them."""

    name = "untaken-blocks"
    peers = 100
    calls = 300

    async def prepare(self, server: Any) -> Callable[[], Any]:
        reader = (await server.callRemote("get_buckets", SPARSE))[0]
        return partial(reader.callRemote, "read", 0, 64 * KIB)


class UntakenSlots(Untaken):
    """Of the shares of a mutable file."""

    name = "untaken-slots"
    size = 15 * MIB

    async def prepare(self, server: Any) -> Callable[[], Any]:
        end = [(self.size - 1, b"x")]
        changes: Any = {share: ([], end, None) for share in range(4)}
        method = "slot_testv_and_readv_and_writev"
        await server.callRemote(method, SLOT, SECRETS, changes, [])
        return self.call(server)

    def call(self, server: Any) -> Callable[[], Any]:
        """Return what asks for them."""
        return partial(server.callRemote, "slot_readv", SLOT, [], [(0, self.size)])


class UntakenChanges(UntakenSlots):
    """Of what they had before a change."""

    name = "untaken-changes"

    def call(self, server: Any) -> Callable[[], Any]:
        method, reads = "slot_testv_and_readv_and_writev", [(0, self.size)]
        changes: Any = {0: ([], [(0, b"y")], None)}
        return partial(server.callRemote, method, SLOT, SECRETS, changes, reads)


class Allocations(Peers):
    """Shares of one byte without end, to which nothing is written."""

    name = "one-byte-shares"
    peers = 7

    async def connect(self, tub: Any, furl: str) -> Any:
        server = await tub.getReference(furl)
        broker = server.tracker.broker
        number, got = 0, 1
        while got and not broker.disconnected:
            index = b"%08x%08d" % (id(tub) & 0xFFFFFFFF, number)
            _, writers = await server.callRemote(
                "allocate_buckets",
                index,
                *SECRETS[1:],
                set(range(256)),
                1,
                Referenceable(),
            )
            number, got = number + 1, len(writers)
        return broker


class HalfHandshakes(Swarm):
    """Connections to the port for other nodes that do not get beyond its first line."""

    name = "half-handshakes"
    connections = 600

    def serve(self, place: Path) -> Any:
        return offering(place)

    def open(self, node: Node) -> socket.socket | None:
        furl = (node.directory / "private" / "storage.furl").read_text("ascii")
        host, _, port = furl.partition("@tcp:")[2].partition("/")[0].partition(":")
        try:
            return socket.create_connection((host, int(port)), 5)
        except OSError:
            return None

    def begin(self, sock: socket.socket) -> bool:
        with suppress(OSError):
            sock.sendall(b"GET /id/ HTTP/1.1\r\nUpgrade: TLS/1.0\r\n")
            return True
        return False


def _new_identity() -> bytes:
    """Return a certificate and its key; those that foolscap makes take long."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "peer")])
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=36_500))
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM) + private


def _begun_string(size: int) -> bytes:
    """Return the beginning of a call, up to a string of *size* bytes."""
    parts: list[bytes] = []
    for number, kind, text in ((0, OPEN, b""), (4, STRING, b"call"), (1, INT, b"")):
        int2b128(number, parts.append)
        parts += [kind, text]
    for number, kind in ((0, INT), (size, STRING)):
        int2b128(number, parts.append)
        parts.append(kind)
    return b"".join(parts)


@define(eq=False)
class _Parent(Protocol):
    """Begins when whoever started this says so, and ends with it."""

    _begin: Callable[[], object]

    def dataReceived(self, data: bytes) -> None:
        self._begin()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if REACTOR.running:
            REACTOR.stop()


def main() -> None:
    """Run one of them in this process."""
    name, directory = sys.argv[1:]
    [attack] = [each for each in ATTACKS if each.name == name]
    assert isinstance(attack, StorageAttack)
    furl = (Path(directory) / "private" / "storage.furl").read_text("ascii").strip()

    def begin() -> None:
        running = Deferred.fromCoroutine(attack.attack(furl))
        running.addErrback(lambda failure: failure.printTraceback())

    stdio.StandardIO(_Parent(begin))
    REACTOR.run()


ATTACKS: Sequence[Attack] = (
    StrangersStrings(),
    KnownStrings(),
    HalfHandshakes(),
    UntakenReads(),
    UntakenBlocks(),
    UntakenSlots(),
    UntakenChanges(),
    Allocations(),
)

if __name__ == "__main__":
    main()
