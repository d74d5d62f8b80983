"""How much all connections may do at the same time."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.net.foolscap.connection_bounds import ConnectionBounds, ConnectionLimits, Load


class _Peer:
    """A connection of which nothing is asked."""

    def drop(self) -> None:
        """Nothing to drop."""

    def look(self) -> None:
        """Nothing to read."""


def begin_all(load: Load) -> int:
    """Begin as many calls as may be; return how many run."""
    while load.may_begin:
        load.begin()
    return load.running


class RunningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.limits = ConnectionLimits(running=40, all_running=64)
        self.bounds = ConnectionBounds(lambda: 0.0, self.limits)

    def loads(self, count: int) -> list[Load]:
        """Return those of new connections."""
        return [self.bounds.open(_Peer()) for _ in range(count)]

    def test_alone(self) -> None:
        """One that is alone has as many as any may have, and more as they end."""
        [load, _idle] = self.loads(2)
        self.assertEqual(begin_all(load), 40)
        load.end()
        self.assertTrue(load.may_begin)

    def test_late(self) -> None:
        """One that comes when all are taken has its part; the others wait for theirs."""
        first, second = self.loads(2)
        self.assertEqual((begin_all(first), begin_all(second)), (40, 32))
        for _ in range(10):
            first.end()
        self.assertEqual(begin_all(first), 32)

    def test_many(self) -> None:
        """However many there are, each has one."""
        loads = self.loads(200)
        self.assertEqual(begin_all(loads[0]), 40)
        self.assertEqual(begin_all(loads[1]), 24)
        self.assertEqual({begin_all(load) for load in loads[2:]}, {1})

    def test_gone(self) -> None:
        """What one had that is gone is free, and is not given back twice."""
        first, second = self.loads(2)
        begin_all(first)
        first.close()
        first.end()
        first.begin()
        self.assertEqual((self.bounds.running, begin_all(second)), (0, 40))
