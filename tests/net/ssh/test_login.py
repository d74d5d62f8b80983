"""Logging in over SSH."""

from __future__ import annotations

from twisted.conch.ssh.common import NS
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.net.ssh.link import Links

FAILURE, SUCCESS = 51, 52


class LoginTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.links = Links()
        self.link = self.links.connect()
        self.link.send(5, NS(b"ssh-userauth"))

    def answer(self) -> int:
        """Return what the last log-in was answered with."""
        self.links.tick(1, self.link)
        return self.link.client.kinds()[-1]

    def test_password(self) -> None:
        """The right one logs in, a wrong one is answered after a second."""
        self.link.try_password(b"wrong")
        self.assertEqual(self.link.client.kinds()[-1], 6)
        self.assertEqual(self.answer(), FAILURE)
        self.link.try_password(b"right")
        self.assertEqual(self.link.client.kinds()[-1], SUCCESS)

    def test_attempts(self) -> None:
        """So many may fail, also if the log-in is begun anew before each of them."""
        for _ in range(6):
            self.link.send(5, NS(b"ssh-userauth"))
            self.link.try_password(b"wrong")
            self.assertEqual(self.answer(), FAILURE)
        self.link.try_password(b"wrong")
        self.links.tick(1, self.link)
        self.assertTrue(self.link.gone)
        self.assertEqual(self.links.clock.getDelayedCalls(), [])

    def test_many_at_once(self) -> None:
        """They are looked at one after the other, however many are sent at once."""
        for _ in range(30):
            self.link.try_password(b"wrong")
        self.assertEqual(len(self.links.names.asked), 1)
        self.assertEqual(len(self.links.clock.getDelayedCalls()), 3)
        for _ in range(10):
            self.links.tick(1, self.link)
        self.assertTrue(self.link.gone)
        self.assertEqual(len(self.links.names.asked), 7)
        self.assertEqual(self.links.clock.getDelayedCalls(), [])

    def test_requests(self) -> None:
        """Nobody asks without end what there is."""
        what = NS(b"alice") + NS(b"ssh-connection") + NS(b"none")
        for _ in range(64):
            self.link.send(50, what)
        self.assertEqual(self.link.client.kinds().count(FAILURE), 64)
        self.link.send(50, what)
        self.assertTrue(self.link.gone)

    def test_after_the_right_one(self) -> None:
        """What was sent behind the right password is passed over."""
        self.links.names.gate = Deferred()
        self.link.try_password(b"right")
        self.link.try_password(b"wrong")
        self.link.try_password(b"right")
        self.links.names.gate.callback(None)
        self.link.pump()
        self.assertEqual(self.link.client.kinds()[-1], SUCCESS)
        self.assertEqual(self.links.names.asked, ["right"])
        service = self.link.protocol.service
        self.link.try_password(b"right")
        self.assertIs(self.link.protocol.service, service)

    def test_gone_meanwhile(self) -> None:
        """Whoever goes while his password is looked at is not logged in afterwards."""
        self.links.names.gate = Deferred()
        self.link.try_password(b"right")
        self.link.cut()
        self.links.names.gate.callback(None)
        self.assertFalse(hasattr(self.link.protocol, "avatar"))
        self.assertEqual(self.links.clock.getDelayedCalls(), [])

    def test_gone_while_it_is_delayed(self) -> None:
        """The second before an answer ends with the connection."""
        self.link.try_password(b"wrong")
        self.link.cut()
        self.assertEqual(self.links.clock.getDelayedCalls(), [])

    def test_odd_keys(self) -> None:
        """A key that is none is refused like any other."""
        head = NS(b"alice") + NS(b"ssh-connection") + NS(b"publickey")
        keys = (
            b"",
            b"\0",
            NS(b"ssh-rsa"),
            NS(b"ssh-rsa") + NS(b"\3") + NS(b"\0" * 9),
            NS(b"ssh-ed25519") + NS(b"short"),
            NS(b"ecdsa-sha2-nistp256") + NS(b"nistp256") + NS(b"\4" + bytes(64)),
            NS(b"ssh-dss") + NS(b"\1") * 4,
            NS(b"\xff\xfe\xfd"),
        )
        for number, blob in enumerate(keys):
            link = self.links.connect()
            link.send(5, NS(b"ssh-userauth"))
            for name in (b"ssh-rsa", b"\xff\xfe"):
                link.send(50, head + b"\0" + NS(name) + NS(blob))
                self.assertEqual(link.client.kinds()[-1], FAILURE, number)
            link.send(50, head + b"\1" + NS(b"ssh-rsa") + NS(blob) + NS(b"sig"))
            self.assertEqual(link.client.kinds()[-1], FAILURE, number)
            link.cut()

    def test_malformed(self) -> None:
        """A log-in that cannot be read ends the connection."""
        self.link.send(50, NS(b"alice") + b"\0\0")
        self.assertTrue(self.link.gone)

    def test_other_services(self) -> None:
        """The right password leads nowhere but to channels."""
        for service in (b"ssh-userauth", b"x"):
            link = self.links.connect()
            link.send(5, NS(b"ssh-userauth"))
            what = NS(b"alice") + NS(service) + NS(b"password") + b"\0" + NS(b"right")
            link.send(50, what)
            self.links.tick(1, link)
            self.assertNotIn(SUCCESS, link.client.kinds())
            link.cut()

    def test_names_that_are_no_text(self) -> None:
        """A name and a password in another encoding are nobody's."""
        self.link.try_password(b"\xff", b"alice")
        self.assertEqual(self.answer(), FAILURE)
        self.link.try_password(b"right", b"\xff")
        self.assertEqual(self.answer(), FAILURE)
        self.assertEqual(self.links.names.asked, [])
