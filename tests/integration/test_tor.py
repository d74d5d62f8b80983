"""A gateway behind Tor, in whose place is a SOCKS proxy: strace says where it connects."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from functools import partial
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

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
from tests.processes import ask, eventually
from tests.socks_proxy import SocksProxy
from truckee.node.tor_settings import is_installed

DATA = content(3, 200_000)
CONNECT = re.compile(
    r"connect\([0-9]+, \{sa_family=AF_INET6?, sin6?_port=htons\(([0-9]+)\).*?\"([^\"]*)\""
)


class TorTests(SynchronousTestCase):
    def setUp(self) -> None:
        if not TAHOE.exists() or not is_installed():
            raise SkipTest("tahoe-lafs or txtorcon is not installed")
        strace = shutil.which("strace")
        if strace is None:
            raise SkipTest("strace is not installed")
        self.strace = strace
        place = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(place.cleanup)
        self.place = Path(place.name)
        self.nodes: list[NodeProcess] = []
        self.addCleanup(lambda: [node.stop() for node in self.nodes])

    def server(self, name: str, furl: str, port: int) -> NodeProcess:
        """Make a server that tells others of a name, which is none here."""
        node = write_node(self.place / name, furl, port, storage=True, web=False)
        config = node.directory / "tahoe.cfg"
        text = config.read_text()
        here = f"tub.location = tcp:127.0.0.1:{port}"
        self.assertIn(here, text)
        config.write_text(text.replace(here, f"tub.location = tcp:{name}.example:{port}"))
        return node

    def problems(self, gateway: NodeProcess) -> list[str]:
        """Return the names of what is wrong with it."""
        told = json.loads(ask(f"{gateway.url}?t=json").body)["truckee"]["problems"]
        return [each["name"] for each in told]

    def test_all(self) -> None:
        """
        With tcp = tor one address is connected to, whether Tor is there or not, and
        files go to stock and our servers over it and come back.
        """
        socks, first, *ports = free_ports(4)
        introducer, furl = write_introducer(self.place / "introducer", first)
        stock, ours = map(self.server, ("stock", "ours"), (furl, furl), ports)
        # Both are reachable over plain TCP too.
        far = furl.replace("@tcp:127.0.0.1:", f"@tcp:127.0.0.1:{first},tcp:one.example:")
        gateway = write_node(self.place / "gateway", far, shape=Shape(1, 1, 2))
        with (gateway.directory / "tahoe.cfg").open("a") as file:
            file.write(
                "[node]\nreveal-IP-address = false\n[connections]\ntcp = tor\n"
                f"[tor]\nsocks.port = tcp:127.0.0.1:{socks}\n[client]\ncache.limit = 0\n"
            )
        trace = self.place / "trace"
        gateway.prefix = (
            # -D: the process that is started is the node.
            *(self.strace, "-D", "-f", "-q", "-e", "trace=connect,sendto,sendmsg"),
            *("-e", "signal=none", "-o", str(trace)),
        )
        self.nodes += [introducer, stock, ours, gateway]
        introducer.spawn("stock")
        stock.spawn("stock")
        ours.spawn("ours")
        for node in (introducer, stock, ours):
            node.wait_until(node.listens)
        gateway.spawn("ours")
        gateway.wait_until(lambda: self.problems(gateway) == ["Tor"])
        proxy = SocksProxy(socks).start()
        self.addCleanup(proxy.stop)
        gateway.wait_until(partial(reaches, gateway, 2))
        cap = gateway.put(DATA)
        self.assertTrue(stock.shares() and ours.shares())
        self.assertEqual(gateway.get(cap), DATA)
        self.assertEqual(self.problems(gateway), [])
        asked = {("one.example", first), ("stock.example", ports[0])}
        self.assertEqual(set(proxy.asked), asked | {("ours.example", ports[1])})
        gateway.stop()
        # Short process numbers are padded.
        end = re.compile(rf"^{gateway.process.pid} +\+\+\+ exited", re.MULTILINE)
        eventually(lambda: end.search(trace.read_text(errors="replace")))
        text = trace.read_text(errors="replace")
        connects = CONNECT.findall(text)
        self.assertGreater(len(connects), 3)
        self.assertEqual(set(connects), {(str(socks), "127.0.0.1")})
        # Nor is a name server asked.
        self.assertNotIn("htons(53)", text)
