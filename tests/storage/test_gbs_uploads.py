"""Shares that clients over HTTPS are writing."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.contracts.storage_server import INDEX
from tests.grids import SECRETS, until
from tests.storage.gbs_served import Served, new_client
from truckee.storage.gbs_client import GbsServer
from truckee.storage.gbs_writer import GbsWriter
from truckee.storage.interfaces import CallFailed


class IdleTests(TestCase):
    async def test_idle(self) -> None:
        """A share to which nothing was written for half an hour is given up."""
        clock = Clock()
        served = Served.new(self)
        served.storage._uploads._reactor = clock
        client: GbsServer = new_client(self, served.nurl)
        writers = (await client.allocate(INDEX, SECRETS, {0, 1}, 8)).writers
        clock.advance(29 * 60)
        await writers[0].write(0, [b"1234"])
        clock.advance(2 * 60)
        await until(lambda: len(served.disk._writers) == 1)
        with self.assertRaises(CallFailed):
            await writers[1].write(0, [b"1234"])
        writer = writers[0]
        assert isinstance(writer, GbsWriter)
        await writer.write(4, [b"5678"])
        await writer.close(8)
        reader = (await client.buckets(INDEX))[0]
        self.assertEqual(await reader.read(0, 9), b"12345678")
        self.assertEqual(clock.getDelayedCalls(), [])
