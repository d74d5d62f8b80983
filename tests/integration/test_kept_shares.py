"""Shares in progress at a node that is killed, over foolscap."""

from __future__ import annotations

import os
import random

from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, SECRETS, new_directory, until
from tests.integration.stock_grid import write_node
from tests.ports import free_ports
from tests.storage.test_foolscap_client import new_client
from truckee.codec.hashes import block_hash
from truckee.codec.secrets import upload_secret
from truckee.grid.announcements import parse_fields
from truckee.grid.transports import Dialer
from truckee.storage.interfaces import IKeptShares, IKeptWriter

INDEX = b"i" * 16
MIB = 1 << 20
DATA = random.Random(1).randbytes(3 * MIB)


class KilledTests(TestCase):
    timeout = 240

    def setUp(self) -> None:
        root = new_directory(self)
        self.node = write_node(root / "node", "", free_ports(1)[0], storage=True)
        self.spawn()
        self.addCleanup(self.node.stop)
        dialer = Dialer(new_client(self).tub, REACTOR, os.urandom)
        announced = parse_fields("v0-node", {"anonymous-storage-FURL": self.node.furl})
        way = dialer.foolscap(announced, lambda _: None, lambda: None)
        assert way is not None
        self.way = way
        way.start()
        self.addCleanup(way.stop)

    def spawn(self) -> None:
        """Start the node, and wait until it serves."""
        self.node.spawn("ours")
        self.node.wait_until(self.node.listens)

    async def kept(self) -> IKeptShares:
        """Return what the node keeps, when it is reached."""
        await until(lambda: self.way.connected)
        kept = self.way.limited.kept
        assert kept is not None
        return kept

    async def writer(self) -> IKeptWriter:
        kept, secret = await self.kept(), upload_secret(SECRETS)
        opened = await kept.open(INDEX, SECRETS, secret, {0}, 1 << 40, True)
        return opened.writers[0]

    async def test_killed(self) -> None:
        """What a node had when it was killed is there at the next start, and goes on."""
        writer = await self.writer()
        for megabyte in range(2):
            start = megabyte * MIB
            await writer.write(start, [DATA[start : start + MIB]])
            self.node.kill()
            await until(lambda: not self.way.connected)
            await writer.leave()
            self.spawn()
            found = await (await self.kept()).unfinished(INDEX, upload_secret(SECRETS))
            self.assertEqual(found, {0: start + MIB})
            writer = await self.writer()
            self.assertEqual(writer.length, start + MIB)
            expected = [block_hash(DATA[at : at + MIB]) for at in range(0, start + 1, MIB)]
            self.assertEqual(list(await writer.hashes(0, MIB, 60)), expected)
        await writer.write(2 * MIB, [DATA[2 * MIB :]])
        await writer.close(len(DATA))
        [reader] = (await self.way.limited.buckets(INDEX)).values()
        self.assertEqual(await reader.read(0, 4 * MIB), DATA)
        [share] = self.node.shares()
        self.assertEqual(share.name, "0")
