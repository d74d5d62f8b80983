"""What one SSH connection takes, and when it ends."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.conch.ssh.common import NS
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.net.ssh.link import Links
from truckee.net.ssh import transport
from truckee.net.ssh.transport import GRACE, BoundedTransport

KEXINIT, NEWKEYS = 20, 21


class StrangerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.links = Links()

    def check_nothing_left(self) -> None:
        """See that the server knows of nobody, and waits for nothing."""
        self.assertEqual(self.links.server.connections, set())
        self.assertEqual(self.links.clock.getDelayedCalls(), [])

    def test_who_says_nothing(self) -> None:
        """A client has some time to log in from when it connects, whatever it does."""
        silent = self.links.connect(secure=False)
        idle = self.links.connect()
        asking = self.links.connect()
        for _ in range(GRACE - 1):
            asking.send(5, NS(b"ssh-userauth"))
            self.links.tick(1, silent, idle, asking)
        self.assertFalse(silent.gone or idle.gone or asking.gone)
        self.links.tick(1, silent, idle, asking)
        self.assertTrue(silent.gone and idle.gone and asking.gone)
        self.check_nothing_left()

    def test_who_logs_in_stays(self) -> None:
        """One who has logged in may be silent for hours."""
        link = self.links.logged_in()
        self.links.tick(6 * 3600, link)
        self.assertFalse(link.gone)
        self.assertEqual(self.links.clock.getDelayedCalls(), [])

    def test_one_key_exchange(self) -> None:
        """Keys are exchanged a second time with clients only that have logged in."""
        link = self.links.connect()
        link.client.sendKexInit()
        link.pump()
        self.assertTrue(link.gone)
        link = self.links.logged_in()
        link.client.is_secure = False
        link.client.sendKexInit()
        link.pump()
        self.assertFalse(link.gone)
        self.assertTrue(link.client.is_secure)

    def test_keys_before_their_time(self) -> None:
        """Nothing that belongs to a key exchange is taken outside one."""
        for kind in (NEWKEYS, 30, 31, 32, 34, 49):
            link = self.links.connect()
            link.send(kind)
            self.assertTrue(link.gone, kind)
        self.check_nothing_left()

    def test_log_in_without_keys(self) -> None:
        """Nobody logs in before there are keys."""
        link = self.links.connect(secure=False)
        link.theirs.write(b"SSH-2.0-x\r\n")
        link.pump()
        body = bytes([5]) + NS(b"ssh-userauth")
        padding = 16 - (5 + len(body)) % 8
        size = (1 + len(body) + padding).to_bytes(4, "big")
        link.theirs.write(size + bytes([padding]) + body + bytes(padding))
        link.pump()
        self.assertTrue(link.gone)
        self.assertIsNone(link.protocol.service)

    def test_other_services(self) -> None:
        """Only a log-in is begun, and no second one."""
        for name in (b"ssh-connection", b"", b"x" * 1000):
            link = self.links.connect()
            link.send(5, NS(name))
            self.assertTrue(link.gone)
        link = self.links.logged_in()
        service = link.protocol.service
        link.send(5, NS(b"ssh-userauth"))
        self.assertIs(link.protocol.service, service)
        self.assertTrue(link.gone)

    def test_large_packets(self) -> None:
        """A stranger's packet is not waited for when it is larger than it has to be."""
        link = self.links.connect(secure=False)
        link.theirs.write(b"SSH-2.0-x\r\n" + (1 << 20).to_bytes(4, "big"))
        for _ in range(64):
            link.theirs.write(bytes(16 << 10))
            link.pump()
            self.assertLess(len(link.protocol.buf), 96 << 10)
        self.assertTrue(link.gone)

    @settings(max_examples=200)
    @given(data=st.binary(max_size=400), kind=st.integers(0, 255))
    def test_nonsense(self, data: bytes, kind: int) -> None:
        """Whatever a stranger sends, nothing is raised and no time is left behind."""
        link = self.links.connect(secure=False)
        link.theirs.write(b"SSH-2.0-x\r\n" + data)
        link.pump()
        link.cut()
        link = self.links.connect()
        link.send(kind, data)
        link.cut()
        self.check_nothing_left()

    def test_extensions(self) -> None:
        """Extensions that a client names are passed over, however many they seem to be."""
        link = self.links.connect()
        link.send(7, (0xFFFFFFFF).to_bytes(4, "big") + bytes(30_000))
        self.assertFalse(link.gone)

    def test_weak_algorithms(self) -> None:
        """Nothing that is broken is offered."""
        offered = [
            *BoundedTransport.supportedKeyExchanges,
            *BoundedTransport.supportedCiphers,
            *BoundedTransport.supportedMACs,
        ]
        for name in offered:
            for weak in (b"cbc", b"md5", b"sha1", b"none"):
                self.assertNotIn(weak, name)
        self.assertIn(b"curve25519-sha256", offered)
        self.assertIn(b"aes256-ctr", offered)
        self.assertIn(b"hmac-sha2-256", offered)


class PiledTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.links = Links()
        self.link = self.links.logged_in()

    def test_answers_that_nobody_takes(self) -> None:
        """A client that asks and takes no answers is not listened to any more."""
        link = self.link
        link.takes = False
        request = NS(b"keepalive@openssh.com") + b"\1" + bytes(20)
        for _ in range(40_000):
            link.client.sendPacket(80, request)
        link.pump()
        for _ in range(50):
            for _ in range(1000):
                link.client.sendPacket(80, request)
            link.pump()
        self.assertFalse(link.ours.reads)
        self.assertLess(link.ours.peak, 4 << 20)
        link.takes = True
        link.pump()
        self.assertTrue(link.ours.reads)
        self.assertEqual(link.client.kinds().count(82), 90_000)

    def test_key_exchange_without_end(self) -> None:
        """One who begins to exchange keys and does not go on has so much time, no more."""
        link = self.link
        self.begin_exchange()
        self.links.tick(GRACE - 1, link)
        self.assertFalse(link.gone)
        self.links.tick(1, link)
        self.assertTrue(link.gone)
        self.assertEqual(self.links.clock.getDelayedCalls(), [])

    def test_piled_up_while_keys_are_exchanged(self) -> None:
        """What waits for the end of a key exchange is bounded."""
        link = self.link
        self.begin_exchange()
        request = NS(b"keepalive@openssh.com") + b"\1" + bytes(20)
        sent = 0
        link.client._keyExchangeState = link.client._KEY_EXCHANGE_NONE
        while not link.gone and sent < 100_000:
            sent += 1
            link.send(80, request)
        self.assertTrue(link.gone)
        self.assertLess(sent * 64, 2 << 20)

    def begin_exchange(self) -> None:
        """Begin one, and stay away."""
        self.link.client.dispatchMessage = lambda *_: None  # type: ignore[method-assign]
        self.link.client.sendKexInit()
        self.link.pump()
        self.assertTrue(self.link.protocol.is_full)

    def test_who_takes_nothing_cannot_stay(self) -> None:
        """The end of a connection does not wait for who takes nothing."""
        link = self.link
        link.takes = False
        request = NS(b"keepalive@openssh.com") + b"\1" + bytes(20)
        for _ in range(3000):
            link.client.sendPacket(80, request)
        link.pump()
        self.assertTrue(link.protocol.is_full)
        link.protocol.leave()
        link.pump()
        self.assertFalse(link.gone)
        self.links.tick(transport._LINGER, link)
        self.assertTrue(link.gone)
        self.assertEqual(self.links.clock.getDelayedCalls(), [])


class LogTests(SynchronousTestCase):
    def test_nothing_secret(self) -> None:
        """Neither names nor what is in packets is logged, at any level."""
        events: list[str] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            events.append(repr(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        links = Links()
        link = links.connect()
        link.send(5, NS(b"ssh-userauth"))
        link.try_password(b"geheim-1", b"name-1")
        links.tick(1, link)
        link.send(61, NS(b"geheim-2"))  # an answer to what was not asked
        rest = NS(b"ssh-connection") + NS(b"keyboard-interactive") + NS(b"geheim-3")
        link.send(50, NS(b"name-2") + rest)
        odd = NS(b"publickey") + b"\0" + NS(b"geheim-4") + NS(b"geheim-5")
        link.send(50, NS(b"name-3") + NS(b"ssh-connection") + odd)
        link.send(50, NS(b"name-4") + NS(b"geheim-6") + NS(b"password") + b"\0")
        link = links.logged_in()
        link.open()
        link.send(98, bytes(4) + NS(b"exec") + b"\1" + NS(b"geheim-7"))
        link.send(80, NS(b"geheim-8") + b"\1")
        link.send(93, b"geheim-9")
        link = links.connect()
        link.send(1, bytes(4) + NS(b"geheim-10") + NS(b""))
        text = "\n".join(events)
        for secret in ("geheim", "name-", "right", "alice"):
            self.assertNotIn(secret, text)
        self.flushLoggedErrors()
