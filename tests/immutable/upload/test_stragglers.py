"""Which servers an upload goes on without."""

from __future__ import annotations

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from truckee.immutable.upload.stragglers import laggards


@frozen
class Server:
    waited: float | None
    slowest: float = 0.01
    idle: float | None = 1000.0
    away: bool = False


IDLE = Server(None)


class LaggardTests(SynchronousTestCase):
    def test_one_slow(self) -> None:
        """One that all others wait for is left behind after half a second, not before."""
        slow = Server(0.51)
        self.assertEqual(laggards([IDLE] * 9 + [slow]), [slow])
        self.assertEqual(laggards([IDLE] * 9 + [Server(0.49)]), [])

    def test_all_slow(self) -> None:
        """When most are at work the line or the gateway is slow, and no server."""
        self.assertEqual(laggards([Server(60.0)] * 10), [])
        self.assertEqual(laggards([IDLE] * 6 + [Server(60.0)] * 4), [])

    def test_thin_line(self) -> None:
        """Where calls take long, one more long call is nothing special."""
        used_to_it = Server(None, slowest=10.0)
        self.assertEqual(laggards([used_to_it] * 9 + [Server(39.0)]), [])
        late = Server(41.0)
        self.assertEqual(laggards([used_to_it] * 9 + [late]), [late])

    def test_slowest_first(self) -> None:
        """The slowest comes first: there may be happiness for one of two only."""
        one, two = Server(2.0), Server(3.0)
        self.assertEqual(laggards([one, *[IDLE] * 8, two]), [two, one])

    def test_few(self) -> None:
        """Of one or two servers, none is left behind while nobody is idle enough."""
        self.assertEqual(laggards([]), [])
        self.assertEqual(laggards([Server(99.0)]), [])
        self.assertEqual(laggards([IDLE, Server(99.0)]), [])
        slow = Server(99.0)
        self.assertEqual(laggards([IDLE, IDLE, slow]), [slow])

    def test_return(self) -> None:
        """When all were cut off, who comes back first waits for the others from then on."""
        late = Server(60.0, away=True)
        back = Server(None, idle=14.9)
        self.assertEqual(laggards([back] * 9 + [late]), [])
        self.assertEqual(laggards([*[IDLE] * 6, *[back] * 3, late]), [])
        self.assertEqual(laggards([*[IDLE] * 7, *[back] * 2, late]), [late])

    def test_away(self) -> None:
        """One that is cut off has the time in which a node is started again."""
        self.assertEqual(laggards([IDLE] * 9 + [Server(14.9, away=True)]), [])
        gone = Server(15.1, away=True)
        self.assertEqual(laggards([IDLE] * 9 + [gone]), [gone])
