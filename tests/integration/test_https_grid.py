"""Gateways that reach their servers over HTTPS alone: ours and a stock one."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest import SkipTest

import yaml
from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.stock import TAHOE
from tests.integration.stock_grid import (
    MIB,
    SHAPES,
    NodeProcess,
    Nodes,
    Program,
    Shape,
    content,
    reaches,
    sizes_around,
    write_node,
)
from tests.ports import free_ports
from tests.processes import Reply, Wire, ask, curl, eventually, opened
from tests.soak import WHOLE
from truckee.storage.gbs_schema import nurls_of
from truckee.storage.gbs_server import certificate_hash

# Files that cross, in both directions together.
# Every fifth size, another one for each shape, unless there is time.
FILES, EVERY = (300, 1) if WHOLE else (60, 5)
# Storage servers of each program; a file has shares on both kinds.
SERVERS: Sequence[Program] = ("stock", "ours") * 3
# What our gateway takes when nobody says how much comes.
UNKNOWN = 3 * MIB


class _Shared:
    """The nodes of this module."""

    cleanup = ExitStack()
    nodes: Nodes


def setUpModule() -> None:
    """Run the servers; the gateways are started by tests."""
    if not TAHOE.exists():
        raise SkipTest("tahoe-lafs is not installed")
    with ExitStack() as stack:
        room = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = [
            write_node(room / f"server{number}", "", port, storage=True, web=False)
            for number, port in enumerate(free_ports(len(SERVERS)))
        ]
        nodes = Nodes(servers, *(write_node(room / name, "") for name in ("stock", "ours")))
        stack.callback(nodes.stop)
        for gateway in (nodes.stock, nodes.ours):
            know(gateway, servers)
        with (nodes.ours.directory / "tahoe.cfg").open("a") as config:
            config.write(f"[client]\nupload.max-unknown-size = {UNKNOWN}\n")
        for server, program in zip(servers, SERVERS, strict=True):
            server.spawn(program)
        for server in servers:
            server.wait_until(server.listens)
        _Shared.nodes = nodes
        _Shared.cleanup = stack.pop_all()


def tearDownModule() -> None:
    """End them."""
    _Shared.cleanup.close()


def know(gateway: NodeProcess, servers: Sequence[NodeProcess], hint: str = "") -> None:
    """Tell a gateway of servers whose furls have no good hint, but which have NURLs."""
    announcements = {}
    for server in servers:
        key = certificate_hash((server.directory / "private" / "node.pem").read_bytes())
        tub, _, swissnum = server.furl.partition("@tcp:")
        announcements[server.directory.name] = {
            "ann": {
                "nickname": server.directory.name,
                "anonymous-storage-FURL": f"{tub}@{hint}/{swissnum.rpartition('/')[2]}",
                "anonymous-storage-NURLs": [
                    nurl.text for nurl in nurls_of(server.furl, key)
                ],
            }
        }
    text = yaml.safe_dump({"storage": announcements})
    (gateway.directory / "private" / "servers.yaml").write_text(text)


def states(gateway: NodeProcess) -> set[str]:
    """Return what a gateway says of its connections."""
    document: Any = json.loads(ask(f"{gateway.url}?t=json").body)
    return {server["connection_status"] for server in document["servers"]}


class CrossReadTests(SynchronousTestCase):
    def test_both_directions(self) -> None:
        """
        What one program stored, the other reads, over HTTPS alone, for every form of
        file: shares of five kinds, sizes around every boundary, lengths announced or not.
        """
        nodes, count = _Shared.nodes, 0
        for first, shape in enumerate(SHAPES):
            nodes.restart_gateways(evolve(shape, happy=min(shape.happy, len(SERVERS))))
            for gateway in (nodes.ours, nodes.stock):
                self.assertEqual(states(gateway), {"connected"})
            count_each = EVERY * FILES // len(SHAPES) // 2
            sizes = sizes_around(shape, count_each)[first % EVERY :: EVERY]
            for number, size in enumerate(sizes):
                mine, other = content(2 * number, size), content(2 * number + 1, size)
                cap = nodes.ours.put(mine, chunked=number % 2 == 1)
                self.assertTrue(nodes.stock.get(cap) == mine, (shape, size, "ours"))
                cap = nodes.stock.put(other)
                self.assertTrue(nodes.ours.get(cap) == other, (shape, size, "stock"))
                count += 2
        self.assertEqual(count, FILES)


class UnknownLengthTests(SynchronousTestCase):
    """Files whose length nobody announced, on servers that must know it."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.nodes = _Shared.nodes
        cls.nodes.restart_gateways(Shape(3, 5, 10))

    nodes: Nodes

    def setUp(self) -> None:
        super().setUp()
        self.nodes.clear()

    def put(self, data: bytes, *options: str, query: str = "") -> Reply:
        return ask(*(options or ("-T", "-")), f"{self.nodes.ours.url}uri{query}", data=data)

    def assert_both_read(self, reply: Reply, data: bytes) -> None:
        self.assertEqual(reply.status, 200, reply.body)
        for gateway in (self.nodes.stock, self.nodes.ours):
            self.assertTrue(gateway.get(reply.text) == data, gateway.directory.name)

    def assert_nothing_left(self) -> None:
        """No server has a share, and our gateway has nothing on its disk."""
        eventually(lambda: not self.spooled())
        for server in self.nodes.servers:
            self.assertEqual((server.shares(), server.incoming()), ([], []))

    def spooled(self) -> list[int]:
        """Return the sizes of the files that our gateway has open in ``tmp`` (Linux)."""
        found = []
        for link, name in opened(self.nodes.ours.process.pid):
            if name.startswith(f"{self.nodes.ours.directory}/tmp/"):
                with contextlib.suppress(OSError):
                    found.append(link.stat().st_size)
        return found

    def test_stored(self) -> None:
        """They are stored like others, whole, and stock finds nothing wrong with them."""
        for size in (1, 56, MIB, MIB + 2, MIB + 3, UNKNOWN):
            data = content(size, size)
            reply = self.put(data)
            self.assert_both_read(reply, data)
            if size > 55:
                check = "?t=check&verify=true&output=JSON"
                url = self.nodes.stock.file_url(reply.text) + check
                found = json.loads(curl("-X", "POST", url))
                results = found["results"]
                self.assertTrue(results["healthy"], found)
                self.assertEqual(results["count-shares-good"], 10)
            self.assert_both_read(self.put(data, "--form", "file=@-"), data)
            convergent = self.put(data, query="?key=CHK")
            announced = self.nodes.ours.put(data, arguments="?key=CHK")
            self.assertEqual(convergent.text, announced)

    def test_too_large(self) -> None:
        """Past the bound they are refused, and nothing is left; a request may move it."""
        data = content(1, UNKNOWN + 1)
        for options, query in (
            ((), ""),
            ((), f"?size-limit={UNKNOWN}"),
            ((), "?size-limit=2M"),
            (("--form", "file=@-"), "?size-limit=2M"),
            (("--form", "file=@-", "--header", "Transfer-Encoding: chunked"), ""),
        ):
            reply = self.put(data, *options, query=query)
            self.assertEqual(reply.status, 413, reply.body)
            self.assertIn("size-limit=", reply.text)
            self.assert_nothing_left()
        self.assert_both_read(self.put(data, query="?size-limit=4Mi"), data)
        # A form says how long it is, and the file is no longer than that.
        self.assert_both_read(self.put(data, "--form", "file=@-"), data)

    def test_given_up(self) -> None:
        """While the body comes it waits on our disk; if its end never comes, it is gone."""
        with Wire(self.nodes.ours.url) as wire:
            wire.request("PUT /uri", "Transfer-Encoding: chunked")
            for _ in range(2):
                wire.chunk(bytes(MIB))
            eventually(lambda: max(self.spooled(), default=0) >= MIB)
            self.assertEqual(list((self.nodes.ours.directory / "tmp").iterdir()), [])
        self.assert_nothing_left()

    def test_server_returns(self) -> None:
        """A server that is away is gone round, and used again when it is back."""
        server = self.nodes.servers[SERVERS.index("ours")]
        server.stop()
        data = content(2, UNKNOWN)
        self.assert_both_read(self.put(data), data)
        self.assertEqual(server.shares(), [])
        server.spawn("ours")

        def used() -> bool:
            self.assert_both_read(self.put(data), data)
            return bool(server.shares())

        eventually(used)
        eventually(partial(reaches, self.nodes.stock, len(SERVERS)))

    def test_dead_furl(self) -> None:
        """A server that foolscap does not reach where its furl says is reached so too."""
        room = self.nodes.ours.directory.parent
        client = write_node(room / "late", "", shape=Shape(3, 6, 10))
        know(client, self.nodes.servers, "tcp:127.0.0.1:1")
        self.addCleanup(client.stop)
        client.spawn("ours")
        client.wait_until(partial(reaches, client, len(SERVERS)))
        self.assertEqual(states(client), {"connected"})
        data = content(3, UNKNOWN)
        self.assertTrue(self.nodes.stock.get(client.put(data, chunked=True)) == data)


class KilledTests(SynchronousTestCase):
    def test_begun_again(self) -> None:
        """
        What a gateway that was killed left in progress is in nobody's way: the same file,
        stored again at once, has its shares on stock servers, too.
        """
        nodes = _Shared.nodes
        nodes.restart_gateways(Shape(3, 5, 6))
        nodes.clear()
        theirs = [
            server
            for server, kind in zip(nodes.servers, SERVERS, strict=True)
            if kind == "stock"
        ]
        data = content(7, 48 * MIB)
        path = nodes.ours.directory.parent / "killed"
        path.write_bytes(data)
        url = f"{nodes.ours.url}uri?key=CHK"
        with subprocess.Popen(["curl", "-s", "-T", str(path), url]) as sending:
            eventually(lambda: all(server.incoming() for server in theirs))
            nodes.ours.kill()
        self.assertNotEqual(sending.returncode, 0)
        self.assertEqual([server.shares() for server in theirs], [[], [], []])
        nodes.start_gateways(["ours"])
        cap = nodes.ours.put(data, arguments="?key=CHK")
        self.assertEqual([len(server.shares()) for server in theirs], [1, 1, 1])
        self.assertTrue(nodes.stock.get(cap) == data)
