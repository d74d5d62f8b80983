"""Channels: who may send how much, and what ends them."""

from __future__ import annotations

from twisted.conch.ssh.common import NS
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.net.ssh.link import Links
from truckee.net.ssh.channel import MOST_CHANNELS, MOST_WINDOW, PENDING, STEPS, WINDOW

OPENED, REFUSED, ADJUST, CLOSE, SUCCESS, FAILURE = 91, 92, 93, 97, 99, 100


class ChannelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.links = Links()
        self.link = self.links.logged_in()

    def opened(self, window: int = 1 << 20) -> int:
        """Open a channel with a subsystem; return its number."""
        self.link.open(window=window)
        self.assertEqual(self.link.client.kinds()[-2:], [OPENED, SUCCESS])
        return int(max(self.link.connection.channels))

    def test_window(self) -> None:
        """The window is given back when bytes were used, in steps, and not before."""
        number = self.opened()
        echo = self.links.subsystems[0]
        for _ in range(WINDOW // 32768):
            self.link.data(number, bytes(32768))
        self.assertEqual(len(echo.got), WINDOW)
        self.assertNotIn(ADJUST, self.link.client.kinds())
        step = WINDOW // STEPS
        echo.channel.credit(step - 1)
        self.link.pump()
        self.assertNotIn(ADJUST, self.link.client.kinds())
        echo.channel.credit(1)
        self.link.pump()
        self.assertEqual(self.link.client.answers[-1][0], ADJUST)
        self.assertEqual(self.link.channel(number).localWindowLeft, step)

    def test_window_grows(self) -> None:
        """Who sends much gets twice as much back, up to a bound, and then no more."""
        number = self.opened()
        echo = self.links.subsystems[0]
        for _ in range(3 * MOST_WINDOW // 32768):
            self.link.data(number, bytes(32768))
            echo.channel.credit(32768, grow=True)
            self.link.pump()
        left = self.link.channel(number).localWindowLeft
        self.assertLessEqual(left, MOST_WINDOW)
        self.assertGreater(left, MOST_WINDOW - MOST_WINDOW // STEPS)

    def test_shares(self) -> None:
        """Less waits for each client when there are many, and more again later."""
        links = [self.links.logged_in() for _ in range(32)]
        for each in links:
            each.open()
        channel = self.links.subsystems[0].channel
        self.assertEqual(channel.share, (4 << 20) // 32)
        for each in links[1:]:
            each.cut()
        self.assertEqual(channel.share, PENDING)

    def test_beyond_the_window(self) -> None:
        """Whoever sends more than he may loses the channel at once, and what is in it."""
        number = self.opened()
        for _ in range(WINDOW // 32768 + 3):
            self.link.data(number, bytes(32768))
        echo = self.links.subsystems[0]
        self.assertEqual(len(echo.got), WINDOW)
        self.assertEqual(echo.events, ["lost"])
        self.assertIn(CLOSE, self.link.client.kinds())
        self.assertFalse(self.link.gone)

    def test_lengths(self) -> None:
        """Data must be as long as it says."""
        for length, data in ((5, b"1234"), (3, b"1234"), (65537, bytes(65537))):
            number = self.opened()
            packet = number.to_bytes(4, "big") + length.to_bytes(4, "big") + data
            self.link.send(94, packet)
            self.assertEqual(self.links.subsystems[-1].events, ["lost"])
            self.assertEqual(self.links.subsystems[-1].got, b"")

    def test_errors_do_not_widen_the_window(self) -> None:
        """Data of the kind that only servers send ends the channel."""
        number = self.opened()
        self.link.send(95, number.to_bytes(4, "big") + bytes(4) + NS(bytes(1000)))
        self.assertEqual(self.links.subsystems[0].events, ["lost"])

    def test_most_channels(self) -> None:
        """A connection has so many channels, however it is tried."""
        for _ in range(MOST_CHANNELS):
            self.opened()
        self.link.open(start=False)
        self.assertEqual(self.link.client.kinds()[-1], REFUSED)
        number = max(self.link.connection.channels)
        # An answer as if we had asked for the channel would make room for another one.
        self.link.send(REFUSED, number.to_bytes(4, "big") + bytes(12))
        self.assertTrue(self.link.gone)
        for each in self.links.subsystems:
            self.assertEqual(each.events, ["lost"])
        self.assertEqual(self.links.clock.getDelayedCalls(), [])

    def test_closed_and_opened(self) -> None:
        """Closed channels make room."""
        for _ in range(3 * MOST_CHANNELS):
            number = self.opened()
            self.link.send(CLOSE, number.to_bytes(4, "big"))
            self.assertEqual(self.links.subsystems[-1].events, ["lost"])
        self.assertEqual(self.link.connection.channels, {})

    def test_what_nobody_asked_for(self) -> None:
        """Answers to nothing, and what is of no channel, end the connection."""
        for kind in (81, 82, 91, 92, 93, 96, 97, 98, 99, 100):
            link = self.links.logged_in()
            link.open()
            link.send(kind, (77).to_bytes(4, "big") + bytes(12))
            self.assertTrue(link.gone, kind)
            self.assertEqual(self.links.subsystems[-1].events, ["lost"])

    def test_one_subsystem(self) -> None:
        """A channel has one subsystem, of a name that there is, and nothing else."""
        self.link.open(start=False)
        for kind, rest in (
            (b"exec", NS(b"id")),
            (b"shell", b""),
            (b"env", NS(b"A") + NS(b"B")),
            (b"pty-req", b""),
            (b"subsystem", NS(b"other")),
            (b"subsystem", b"\0"),
            (b"\xff\xfe", b""),
        ):
            self.link.send(98, bytes(4) + NS(kind) + b"\1" + rest)
            self.assertEqual(self.link.client.kinds()[-1], FAILURE, kind)
        self.link.send(98, bytes(4) + NS(b"subsystem") + b"\1" + NS(b"echo"))
        self.assertEqual(self.link.client.kinds()[-1], SUCCESS)
        self.link.send(98, bytes(4) + NS(b"subsystem") + b"\1" + NS(b"echo"))
        self.assertEqual(self.link.client.kinds()[-1], FAILURE)
        self.assertEqual(len(self.links.subsystems), 1)

    def test_data_before_a_subsystem(self) -> None:
        """What comes before there is a subsystem is passed over."""
        self.link.open(start=False)
        for _ in range(2 * WINDOW // 32768):
            self.link.data(0, bytes(32768))
        self.assertNotIn(CLOSE, self.link.client.kinds())

    def test_room(self) -> None:
        """Whoever sends can wait until the client has taken most of it."""
        number = self.opened(window=1000)
        channel = self.links.subsystems[0].channel
        channel.send(bytes(300_000))
        room = Deferred.fromCoroutine(channel.room())
        self.assertNoResult(room)
        self.link.send(ADJUST, number.to_bytes(4, "big") + (30_000).to_bytes(4, "big"))
        self.assertNoResult(room)
        self.link.send(ADJUST, number.to_bytes(4, "big") + (30_000).to_bytes(4, "big"))
        self.successResultOf(room)

    def test_room_in_order(self) -> None:
        """Those who wait for room go on as they came, also before who comes just then."""
        number = self.opened(window=1000)
        channel, order = self.links.subsystems[0].channel, list[str]()

        async def wait(name: str, then: str = "") -> None:
            await channel.room()
            order.append(name)
            if then:
                Deferred.fromCoroutine(wait(then))

        channel.send(bytes(300_000))
        for name, then in (("a", "d"), ("b", ""), ("c", "")):
            Deferred.fromCoroutine(wait(name, then))
        self.link.send(ADJUST, number.to_bytes(4, "big") + (60_000).to_bytes(4, "big"))
        self.assertEqual(order, ["a", "b", "c", "d"])

    def test_room_of_the_connection(self) -> None:
        """A window of any size is no room if the client reads nothing."""
        self.opened(window=0xFFFFFFFF)
        channel = self.links.subsystems[0].channel
        self.link.takes = False
        for _ in range(3):
            channel.send(bytes(32_768))
        room = Deferred.fromCoroutine(channel.room())
        self.assertNoResult(room)
        self.link.takes = True
        self.link.pump()
        self.successResultOf(room)

    def test_room_for_every_channel(self) -> None:
        """When the client takes little, each of its channels is the first in its turn."""
        self.opened(window=0xFFFFFFFF)
        self.opened(window=0xFFFFFFFF)
        sent = [0, 0]

        async def send(which: int) -> None:
            while sent[which] < 12:
                await self.links.subsystems[which].channel.room()
                sent[which] += 1
                self.links.subsystems[which].channel.send(bytes(100_000))

        self.link.takes = False
        for which in (0, 1):
            Deferred.fromCoroutine(send(which))
        for _ in range(8):
            self.link.ours.took()
        self.assertLess(max(sent) - min(sent), 3, sent)

    def test_nobody_waits_for_who_is_gone(self) -> None:
        """Room is there for whoever waits when the channel ends, and nothing is sent."""
        number = self.opened(window=10)
        channel = self.links.subsystems[0].channel
        channel.send(bytes(300_000))
        room = Deferred.fromCoroutine(channel.room())
        self.link.send(CLOSE, number.to_bytes(4, "big"))
        self.successResultOf(room)
        channel.send(bytes(10))
        self.assertEqual(channel.buf, b"")

    def test_sign_of_life(self) -> None:
        """It reaches the client, but does not pile up for one that takes nothing."""
        self.opened()
        channel = self.links.subsystems[0].channel
        channel.keep_alive()
        self.link.pump()
        self.assertEqual(self.link.client.kinds()[-1], 2)
        self.link.takes = False
        channel.send(bytes(200_000))
        before = len(self.link.ours.sent)
        for _ in range(1000):
            channel.keep_alive()
        self.assertEqual(len(self.link.ours.sent), before)

    def test_end(self) -> None:
        """The end of what a client sends reaches the subsystem; a lost connection too."""
        number = self.opened()
        self.link.send(96, number.to_bytes(4, "big"))
        self.assertEqual(self.links.subsystems[0].events, ["ended"])
        self.link.cut()
        self.assertEqual(self.links.subsystems[0].events, ["ended", "lost"])

    def test_failing_subsystem(self) -> None:
        """A subsystem that fails loses its channel, and others go on."""
        number, other = self.opened(), self.opened()

        def fail(data: bytes) -> None:
            raise ZeroDivisionError

        self.links.subsystems[0].received = fail  # type: ignore[method-assign]
        self.link.data(number, b"x")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.link.data(other, b"x")
        self.assertEqual(self.links.subsystems[1].got, b"x")
        self.assertFalse(self.link.gone)
