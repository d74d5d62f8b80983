"""Gateways that are told over what they reach their servers."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.stock_grid import (
    MIB,
    NodeProcess,
    Shape,
    content,
    reaches,
    write_node,
)
from tests.ports import free_ports
from tests.processes import Wire, ask, eventually, opened
from truckee.storage.gbs_schema import nurls_of
from truckee.storage.gbs_server import certificate_hash

SERVERS = 2
SHAPE = Shape(1, SERVERS, SERVERS)


class _Shared:
    """The servers of this module."""

    cleanup = ExitStack()
    room: Path
    servers: Sequence[NodeProcess]


def setUpModule() -> None:
    """Run the servers; the gateways are started by tests."""
    with ExitStack() as stack:
        room = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = [
            write_node(room / f"server{number}", "", port, storage=True, web=False)
            for number, port in enumerate(free_ports(SERVERS))
        ]
        for server in servers:
            server.spawn("ours")
            stack.callback(server.stop)
        for server in servers:
            server.wait_until(server.listens)
        _Shared.room, _Shared.servers = room, servers
        _Shared.cleanup = stack.pop_all()


def tearDownModule() -> None:
    """End them."""
    _Shared.cleanup.close()


def announced(server: NodeProcess) -> dict[str, object]:
    """Return what a server announces: where it is over both transports."""
    key = certificate_hash((server.directory / "private" / "node.pem").read_bytes())
    nurls = [nurl.text for nurl in nurls_of(server.furl, key)]
    return {"anonymous-storage-FURL": server.furl, "anonymous-storage-NURLs": nurls}


class TransportTests(SynchronousTestCase):
    def gateway(self, transport: str) -> NodeProcess:
        """Return one that reaches all servers, over this transport."""
        gateway = write_node(_Shared.room / self.id(), "", shape=SHAPE)
        with (gateway.directory / "tahoe.cfg").open("a") as config:
            config.write(f"[client]\nstorage.transport = {transport}\n")
        known = {each.directory.name: {"ann": announced(each)} for each in _Shared.servers}
        servers = gateway.directory / "private" / "servers.yaml"
        servers.write_text(yaml.safe_dump({"storage": known}))
        gateway.spawn("ours")
        self.addCleanup(gateway.stop)
        gateway.wait_until(partial(reaches, gateway, SERVERS))
        return gateway

    def states(self, gateway: NodeProcess) -> set[str]:
        """Return what a gateway says of its connections."""
        document: Any = json.loads(ask(f"{gateway.url}?t=json").body)
        return {server["connection_status"] for server in document["servers"]}

    def test_https(self) -> None:
        """Over HTTPS alone it stores and reads files."""
        gateway = self.gateway("https")
        data = content(1, 3 * MIB)
        self.assertTrue(gateway.get(gateway.put(data)) == data)
        self.assertEqual(self.states(gateway), {"connected"})

    def test_unknown_length(self) -> None:
        """Over HTTPS alone a file of unknown length leaves while it comes, unspooled."""
        gateway = self.gateway("https")
        data, before = content(3, 8 * MIB), self.counts()
        with Wire(gateway.url) as wire:
            wire.request("PUT /uri", "Transfer-Encoding: chunked")
            wire.chunk(data[:MIB])
            # Of each share the bytes of the first segment, while the second one comes not.
            eventually(lambda: self.sizes() == [MIB] * SERVERS)
            for begin in range(MIB, len(data), MIB):
                wire.chunk(data[begin : begin + MIB])
                self.assertEqual(self.spooled(gateway), [])
            self.assertEqual(self.spooled(gateway), [])
            wire.chunk(b"")
            reply = wire.reply()
        self.assertEqual(reply.status, 200, reply.body)
        self.assertTrue(gateway.get(reply.text) == data)
        self.assertEqual(self.sizes(), [])
        self.assertEqual(self.counts(), [count + 1 for count in before])

    def counts(self) -> list[int]:
        """Return how many finished shares each server has."""
        return [len(server.shares()) for server in _Shared.servers]

    def sizes(self) -> list[int]:
        """Return the bytes that servers keep of shares in progress, in whole MiB."""
        kept = (server.directory / "storage" / "incomplete" for server in _Shared.servers)
        paths = (path for place in kept for path in place.rglob("*.*"))
        return [path.stat().st_size // MIB * MIB for path in paths]

    def spooled(self, gateway: NodeProcess) -> list[str]:
        """Return the files that a gateway has open in its spools (Linux)."""
        spools = tuple(f"{gateway.directory}/{name}/" for name in ("tmp", "uploads"))
        names = (name for _, name in opened(gateway.process.pid))
        return [name for name in names if name.startswith(spools)]

    def test_foolscap(self) -> None:
        """And over foolscap alone."""
        gateway = self.gateway("foolscap")
        data = content(2, 3 * MIB)
        self.assertTrue(gateway.get(gateway.put(data)) == data)
        self.assertEqual(self.states(gateway), {"Connected"})
