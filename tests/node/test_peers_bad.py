"""What a node shows of entries in its files that it cannot use."""

from __future__ import annotations

import os
import time

import yaml
from foolscap.api import Tub
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, new_directory, new_workers
from truckee.node.config import load_config
from truckee.node.layout import NodeDirectory
from truckee.node.network import Network
from truckee.node.peers import BadPeers
from truckee.status.problems import Problems

CONFIG = """\
[node]
tub.port = disabled
tub.location = disabled
[storage]
enabled = false
[connections]
tcp = disabled
"""


class ReportTests(TestCase):
    def setUp(self) -> None:
        self.node = NodeDirectory(new_directory(self))
        self.node.private.mkdir()
        self.node.config.write_text(CONFIG)
        self.furl = f"pb://{Tub().getTubID()}@tcp:127.0.0.1:1/swissnum"
        self.problems = Problems(time.time)
        self.network = Network(
            self.node,
            load_config(self.node),
            None,
            REACTOR,
            time.time,
            os.urandom,
            new_workers(self),
            self.problems,
        )
        self.addCleanup(self.network.stop)

    def write(self, name: str, section: str, entries: dict[str, object]) -> None:
        (self.node.private / name).write_text(yaml.safe_dump({section: entries}))

    async def test_good_ones_are_used(self) -> None:
        """Each bad entry is a problem of its own, and the good ones are used."""
        ann = {"anonymous-storage-FURL": self.furl}
        self.write("servers.yaml", "storage", {"good": {"ann": ann}, "bad": {"ann": {}}})
        self.write(
            "introducers.yaml", "introducers", {"good": {"furl": self.furl}, "bad": {}}
        )
        await self.network.start()
        self.assertEqual([each.petname for each in self.network.introducers], ["good"])
        self.assertEqual(list(self.network.pool.known), ["good"])
        self.assertEqual(
            {each.name for each in self.problems},
            {
                "private/introducers.yaml: introducers: bad",
                "private/servers.yaml: storage: bad",
            },
        )
        for each in self.problems:
            self.assertIn("the other entries are", each.text)

    async def test_none_is_good(self) -> None:
        """A node that could reach nobody at all does not start."""
        self.write("introducers.yaml", "introducers", {"bad": {}})
        with self.assertRaises(BadPeers):
            await self.network.start()
