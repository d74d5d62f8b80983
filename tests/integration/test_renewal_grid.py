"""The renewal of leases on servers of both programs, also when they go away meanwhile."""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest import SkipTest
from urllib.parse import quote

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.stock import TAHOE
from tests.integration.stock_grid import (
    NodeProcess,
    Shape,
    connected,
    content,
    reaches,
    write_introducer,
    write_node,
)
from tests.ports import free_ports
from tests.processes import ask, curl, eventually, run
from truckee.storage.share_files import StoredShare, stored_shares

SHAPE = Shape(2, 2, 3)
SERVERS = ("stock-a", "stock-b", "ours")


class _Shared:
    """The grid of this module."""

    cleanup = ExitStack()
    servers: dict[str, NodeProcess]
    gateway: NodeProcess


def spawn(name: str) -> None:
    """Start a server."""
    _Shared.servers[name].spawn("stock" if name.startswith("stock") else "ours")


def setUpModule() -> None:
    """Run two stock servers and one of ours, and a gateway that renews a tree."""
    if not TAHOE.exists():
        raise SkipTest("tahoe-lafs is not installed")
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        first, *ports = free_ports(4)
        introducer, furl = write_introducer(place / "introducer", first)
        servers = {
            name: write_node(place / name, furl, port, storage=True, web=False)
            for name, port in zip(SERVERS, ports, strict=True)
        }
        gateway = write_node(place / "gateway", furl, shape=SHAPE)
        _Shared.servers, _Shared.gateway = servers, gateway
        nodes = [introducer, *servers.values(), gateway]
        stack.callback(lambda: [node.stop() for node in nodes])
        introducer.spawn("stock")
        introducer.wait_until(introducer.listens)
        for name in servers:
            spawn(name)
        gateway.spawn("ours")
        gateway.wait_until(partial(reaches, gateway, 3))
        done = run("alias", "create", "-d", str(gateway.directory), "tahoe")
        assert done.code == 0, done
        gateway.stop()
        with (gateway.directory / "tahoe.cfg").open("a") as file:
            file.write("[client]\nrenew = tahoe, every 7 days\n")
        gateway.spawn("ours")
        gateway.wait_until(partial(reaches, gateway, 3))
        _Shared.cleanup = stack.pop_all()


def tearDownModule() -> None:
    """End it."""
    _Shared.cleanup.close()


class GridTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.gateway = _Shared.gateway
        aliases = (self.gateway.directory / "private" / "aliases").read_text()
        self.root = f"{self.gateway.url}uri/{quote(aliases.partition(':')[2].strip())}"

    def stored(self) -> dict[Path, StoredShare]:
        """Return all shares on the servers."""
        paths = [path for node in _Shared.servers.values() for path in node.shares()]
        found = [
            share
            for place in {p.parent for p in paths}
            for share in stored_shares(place)[0]
        ]
        return {share.path: share for share in found}

    def status(self) -> Any:
        """Return the public status of the renewal."""
        [tree] = json.loads(ask(f"{self.gateway.url}status?t=json").body)["renewals"]
        return tree

    def begin(self) -> None:
        """Begin a renewal now."""
        done = run("renew", "-d", str(self.gateway.directory), "--now")
        self.assertEqual(done.code, 0, done)

    def test_renewed(self) -> None:
        """On servers of both programs the leases of files and directories expire later."""
        for number in range(3):
            curl("-T", "-", f"{self.root}/d/f{number}", data=content(number, 3000))
        curl("-T", "-", f"{self.root}/d/m?format=MDMF", data=content(9, 3000))
        before = self.stored()
        self.assertEqual(len(before), 6 * 3)
        newest = max(max(share.leases) for share in before.values())
        eventually(lambda: int(time.time()) + 31 * 86400 > newest)
        last = self.status()["last"]
        self.begin()
        eventually(lambda: self.status()["last"] != last)
        counts = self.status()["last"]
        found = [counts[key] for key in ("objects", "checked", "unhealthy", "unrenewed")]
        self.assertEqual(found, [6, 6, 0, 0])
        after = self.stored()
        self.assertEqual(after.keys(), before.keys())
        for path, share in after.items():
            self.assertEqual(len(share.leases), 1, path)
            self.assertGreater(share.leases[0], newest, path)

    def test_servers_away(self) -> None:
        """A renewal of a grid that is away waits, calls nothing lost, and is done later."""
        curl("-T", "-", f"{self.root}/away/file", data=content(20, 3000))
        for server in _Shared.servers.values():
            server.stop()
        eventually(lambda: connected(self.gateway) == 0)
        last = self.status()["last"]
        self.begin()
        eventually(lambda: self.status()["failures"])
        status = self.status()
        self.assertEqual(status["last"], last)
        self.assertIn("No storage server can be reached", status["error"])
        self.assertLess(status["next"], time.time() + 120)
        for name in _Shared.servers:
            spawn(name)
        self.gateway.wait_until(partial(reaches, self.gateway, 3))
        self.begin()
        eventually(lambda: self.status()["last"] != last)
        status = self.status()
        self.assertEqual((status["failures"], status["error"]), (0, None))
        self.assertEqual(status["last"]["unhealthy"], 0)
