"""``[connections] tcp = disabled``: a node connects to nobody."""

from __future__ import annotations

import os
import time
from typing import Any

from foolscap.api import Tub
from foolscap.tokens import NoLocationHintsError
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, new_directory, new_workers
from truckee.grid.announcements import parse_fields
from truckee.node.config import load_config
from truckee.node.layout import NodeDirectory
from truckee.node.network import Network
from truckee.status.problems import Problems

OFF = "tub.port = disabled\ntub.location = disabled\n[storage]\nenabled = false\n"
DISABLED = "[connections]\ntcp = disabled\n"


class _Counting(Factory):
    """Counts who connects, and hangs up."""

    def __init__(self) -> None:
        self.came = 0

    def buildProtocol(self, addr: Any) -> Protocol | None:
        self.came += 1
        return None


class DialTests(TestCase):
    async def connections(self, config: str) -> tuple[int, list[Any], int]:
        """Return how often a node came, what its tubs said, and its HTTPS addresses."""
        factory = _Counting()
        port = REACTOR.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        place = f"127.0.0.1:{port.getHost().port}"
        furl = f"pb://{Tub().getTubID()}@tcp:{place}/swissnum"
        node = NodeDirectory(new_directory(self))
        node.private.mkdir()
        node.config.write_text(f"[node]\n{OFF}{config}")
        (node.private / "introducers.yaml").write_text(
            f"introducers: {{one: {{furl: '{furl}'}}}}\n"
        )
        fields = {
            "anonymous-storage-FURL": furl,
            "anonymous-storage-NURLs": [f"pb://{'A' * 43}@{place}/swissnum#v=1"],
        }
        network = Network(
            node,
            load_config(node),
            None,
            REACTOR,
            time.time,
            os.urandom,
            new_workers(self),
            Problems(time.time),
        )
        await network.start()
        told = []
        dialer = network._dialer_to(furl)
        for tub in (network._tub, network._client_tub, dialer._tub):
            try:
                await tub.getReference(furl)
            except Exception as error:
                told.append(type(error))
        addresses = len(dialer.addresses(parse_fields("server", fields)))
        await network.stop()
        return factory.came, told, addresses

    async def test_disabled(self) -> None:
        """No tub and no HTTPS client of the node makes a connection."""
        came, told, addresses = await self.connections(DISABLED)
        self.assertEqual((came, addresses), (0, 0))
        self.assertEqual(told, [NoLocationHintsError] * 3)

    async def test_enabled(self) -> None:
        """Otherwise they come, which shows that the test can see them."""
        came, told, addresses = await self.connections("")
        self.assertGreater(came, 0)
        self.assertNotIn(NoLocationHintsError, told)
        self.assertEqual(addresses, 1)

    async def test_foolscap_only(self) -> None:
        """As a client of foolscap alone it looks for no server over HTTPS."""
        came, _, addresses = await self.connections("[client]\nforce_foolscap = true\n")
        self.assertGreater(came, 0)
        self.assertEqual(addresses, 0)
        foolscap = "[client]\nstorage.transport = foolscap\n"
        self.assertEqual((await self.connections(foolscap))[2], 0)
