"""How many may connect."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.net.ssh.link import Link, Links
from truckee.net.ssh.server import SshLimits


class LimitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.links = Links(limits=SshLimits(6, 4, 3, 2))

    def stranger(self, host: str) -> Link:
        """Return one that only connects."""
        return self.links.connect(host, secure=False)

    def test_strangers(self) -> None:
        """Those who have not logged in are few, and fewer of one address."""
        self.assertFalse(self.stranger("192.0.2.1").gone)
        one = self.stranger("192.0.2.1")
        self.assertTrue(self.stranger("192.0.2.1").gone)
        self.assertFalse(self.stranger("192.0.2.2").gone)
        self.assertTrue(self.stranger("192.0.2.3").gone)
        one.cut()
        self.assertFalse(self.stranger("192.0.2.3").gone)

    def test_clients(self) -> None:
        """Those who have logged in are no strangers; there are so many of them, too."""
        links = [self.links.logged_in("192.0.2.1") for _ in range(4)]
        self.assertTrue(self.stranger("192.0.2.1").gone)
        links += [self.links.logged_in("192.0.2.2") for _ in range(2)]
        self.assertTrue(self.stranger("192.0.2.3").gone)
        for each in links:
            each.cut()
        self.assertEqual(self.links.server.connections, set())
        self.assertFalse(self.stranger("192.0.2.3").gone)

    def test_end(self) -> None:
        """When the server ends all go, those too who take nothing."""
        taking, stuck = self.links.logged_in("192.0.2.1"), self.links.logged_in("192.0.2.2")
        stuck.open()
        stuck.takes = False
        self.links.subsystems[0].channel.send(bytes(200_000))
        self.links.server.end()
        self.links.tick(10, taking, stuck)
        self.assertTrue(taking.gone and stuck.gone)
        self.assertEqual(self.links.clock.getDelayedCalls(), [])
        self.assertEqual(self.links.subsystems[0].events, ["lost"])
