"""Many who connect at the same moment are all taken."""

from __future__ import annotations

import select
import socket

from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR
from truckee.flow.backlog import let_wait


class BurstTests(TestCase):
    async def connected(self, description: str) -> int:
        """Return how many of 300 are connected when the event loop has not turned yet."""
        port = await serverFromString(REACTOR, description).listen(Factory())
        self.addCleanup(port.stopListening)
        let_wait(port, description)
        poll, clients = select.poll(), []
        for _ in range(300):
            client = socket.socket()
            self.addCleanup(client.close)
            client.setblocking(False)
            client.connect_ex((port.getHost().host, port.getHost().port))
            poll.register(client, select.POLLOUT)
            clients.append(client)
        # The system needs no time for those it takes, and a second for the others.
        return sum(1 for _, events in poll.poll(100) if events == select.POLLOUT)

    async def test_all_are_connected(self) -> None:
        """Nobody has to come again a second later."""
        self.assertEqual(await self.connected("tcp:0:interface=127.0.0.1"), 300)

    async def test_as_configured(self) -> None:
        """An endpoint that says how many may wait has its way."""
        described = "tcp:0:interface=127.0.0.1:backlog=20"
        self.assertLess(await self.connected(described), 100)
