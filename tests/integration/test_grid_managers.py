"""
Grid managers in real processes: certificates of stock's ``grid-manager``, obeyed by both.

Two servers of four have one: a stock server and ours.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests import warm
from tests.grid_managers import Manager, public_text
from tests.integration.stock import TAHOE
from tests.integration.stock_grid import (
    NodeProcess,
    Shape,
    content,
    reaches,
    write_introducer,
    write_node,
)
from tests.ports import free_ports
from tests.processes import CurlError, ask, curl, eventually
from truckee.codec import base32

MANAGER = Path(sys.executable).with_name("grid-manager")
SHAPE = Shape(1, 1, 4)
DATA = content(1, 5000)


class _Shared:
    """The grid of this module."""

    cleanup = ExitStack()
    servers: dict[str, NodeProcess]
    ours: NodeProcess  # gateways
    stock: NodeProcess


def manage(directory: Path, *arguments: str) -> str:
    """Return what ``grid-manager`` prints."""
    command = [str(MANAGER), "--config", str(directory), *arguments]
    return warm.run(command, check=True, capture_output=True).stdout.decode()


def approve(manager: Path, node: NodeProcess) -> None:
    """Give a server, which has not run yet, a certificate to announce."""
    key = Manager().key
    secret = f"priv-v0-{base32.encode(key.private_bytes_raw())}\n"
    (node.directory / "private" / "node.privkey").write_text(secret)
    manage(manager, "add", node.directory.name, f"pub-{public_text(key)}")
    certificate = manage(manager, "sign", node.directory.name, "1")
    (node.directory / "the.cert").write_text(certificate)
    add(node, "[storage]\ngrid_management = true\n")
    add(node, "[grid_manager_certificates]\nonly = the.cert\n")


def add(node: NodeProcess, text: str) -> None:
    """Add to a node's ``tahoe.cfg``."""
    with (node.directory / "tahoe.cfg").open("a") as file:
        file.write(text)


def setUpModule() -> None:
    """Run two servers of each program, have two of them approved, and run two gateways."""
    if not TAHOE.exists() or not MANAGER.exists():
        raise SkipTest("tahoe-lafs is not installed")
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        first, *ports = free_ports(5)
        introducer, furl = write_introducer(place / "introducer", first)
        names = ("stock-good", "stock-bad", "ours-good", "ours-bad")
        servers = {
            name: write_node(place / name, furl, port, storage=True, web=False)
            for name, port in zip(names, ports, strict=True)
        }
        ours, stock = (
            write_node(place / name, furl, shape=SHAPE) for name in ("ours", "stock")
        )
        nodes = [introducer, *servers.values(), ours, stock]
        stack.callback(lambda: [node.stop() for node in nodes])
        introducer.spawn("stock")
        introducer.wait_until(introducer.listens)
        manager = place / "manager"
        manage(manager, "create")
        for name in ("stock-good", "ours-good"):
            approve(manager, servers[name])
        identity = manage(manager, "public-identity").strip()
        for gateway in (ours, stock):
            add(gateway, f"[grid_managers]\nthe-one = {identity}\n")
        add(ours, "[client]\ncache.limit = 0\n")
        for name, node in servers.items():
            node.spawn("stock" if name.startswith("stock") else "ours")
        ours.spawn("ours")
        stock.spawn("stock")
        for gateway in (ours, stock):
            gateway.wait_until(partial(reaches, gateway, 4))
        _Shared.servers, _Shared.ours, _Shared.stock = servers, ours, stock
        _Shared.cleanup = stack.pop_all()


def tearDownModule() -> None:
    """End it."""
    _Shared.cleanup.close()


class ObeyTests(SynchronousTestCase):
    def setUp(self) -> None:
        for server in _Shared.servers.values():
            for share in server.shares():
                share.unlink()

    def holders(self) -> list[str]:
        return [name for name, server in _Shared.servers.items() if server.shares()]

    def test_ours(self) -> None:
        """Our gateway uploads to both servers that have a certificate, and to no other."""
        for data in (DATA, content(2, 70_000)):
            cap = _Shared.ours.put(data)
            self.assertEqual(_Shared.ours.get(cap), data)
        self.assertEqual(self.holders(), ["stock-good", "ours-good"])

    def test_stock(self) -> None:
        """A stock gateway obeys what our server announces."""
        cap = _Shared.stock.put(DATA)
        self.assertEqual(self.holders(), ["stock-good", "ours-good"])
        self.assertEqual(_Shared.ours.get(cap), DATA)

    def test_told(self) -> None:
        """The first page says why nothing is uploaded to the others."""
        document = json.loads(ask(f"{_Shared.ours.url}?t=json").body)
        reasons = {each["nickname"]: each["no_uploads"] for each in document["servers"]}
        why = "it has no certificate of a grid manager"
        good = {"stock-good": None, "ours-good": None}
        self.assertEqual(reasons, good | {"stock-bad": why, "ours-bad": why})
        page = ask(_Shared.ours.url).body.decode()
        self.assertEqual(page.count(f"nothing is uploaded to it: {why}"), 2)

    def test_reads_all(self) -> None:
        """What is on a server without a certificate is read."""
        cap = _Shared.ours.put(DATA)
        for kind in ("stock", "ours"):
            good, bad = _Shared.servers[f"{kind}-good"], _Shared.servers[f"{kind}-bad"]
            for share in good.shares():
                there = bad.directory / share.relative_to(good.directory)
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(share, there)
        self.assertEqual(self.holders(), ["stock-bad", "ours-bad"])
        for gateway in (_Shared.ours, _Shared.stock):
            self.assertEqual(gateway.get(cap), DATA)

    def test_public_key(self) -> None:
        """The key that a grid manager is told is where stock servers have it."""
        keys = {
            name: (server.directory / "node.pubkey").read_text()
            for name, server in _Shared.servers.items()
        }
        for text in keys.values():
            self.assertRegex(text, "^pub-v0-[a-z2-7]{52}\\n$")
        nodes = json.loads(ask(f"{_Shared.ours.url}?t=json").body)["servers"]
        named = {each["nickname"]: f"pub-{each['nodeid']}\n" for each in nodes}
        self.assertEqual(keys, named)

    def test_repaired(self) -> None:
        """A repair brings shares back to servers with a certificate alone."""
        gateway = _Shared.ours
        cap = gateway.put(DATA)
        lost = _Shared.servers["ours-good"]
        for share in lost.shares():
            share.unlink()
        url = f"{gateway.file_url(cap)}?t=check&repair=true&output=JSON"
        found = json.loads(curl("-X", "POST", url))
        self.assertTrue(found["repair-successful"])
        eventually(lambda: self.holders() == ["stock-good", "ours-good"])


class TooFewTests(SynchronousTestCase):
    # Runs last: the gateway is not started again with what it had.
    def test_too_few(self) -> None:
        """An upload that demands more servers says that grid managers are the reason."""
        gateway = _Shared.ours
        config = gateway.directory / "tahoe.cfg"
        text = config.read_text()
        config.write_text(text.replace("shares.happy = 1", "shares.happy = 3"))
        gateway.stop()
        gateway.spawn("ours")
        gateway.wait_until(partial(reaches, gateway, 4))
        with self.assertRaises(CurlError) as caught:
            gateway.put(content(9, 2000))
        self.assertIn("2 more can be reached", str(caught.exception))
