"""Who owes what, and who has to go."""

from __future__ import annotations

from attrs import define, frozen
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from truckee.flow.fair import FAIR_RATE, MOST_CREDIT, PART, Debt, Yielding, slowest


class DebtTests(SynchronousTestCase):
    def test_waiting(self) -> None:
        """Only time in which it is waited for counts."""
        clock = Clock()
        debt = Debt(clock.seconds)
        clock.advance(5)
        self.assertEqual(debt.seconds, 0)
        debt.wait()
        clock.advance(3)
        debt.wait()
        clock.advance(1)
        debt.rest()
        clock.advance(10)
        self.assertEqual(debt.seconds, 4)
        debt.clear()
        self.assertEqual(debt.seconds, 0)

    def test_a_byte_a_second(self) -> None:
        """What trickles pays for next to nothing."""
        clock = Clock()
        debt = Debt(clock.seconds)
        debt.wait()
        for _ in range(100):
            clock.advance(1)
            debt.pay(1)
        self.assertGreater(debt.seconds, 99)

    def test_credit_is_bounded(self) -> None:
        """One who was fast may be silent for a while, and no longer."""
        clock = Clock()
        debt = Debt(clock.seconds)
        debt.wait()
        debt.pay(1000 * FAIR_RATE)
        self.assertEqual(debt.seconds, -MOST_CREDIT)
        clock.advance(MOST_CREDIT + 1)
        self.assertEqual(debt.seconds, 1)


@frozen
class Place:
    """Somebody who has one."""

    client: str
    owed: float


@define(eq=False)
class Mover:
    """Somebody who has one, and pays now and then."""

    owed: float
    client: str = "a"


class YieldingTests(SynchronousTestCase):
    def test_in_order(self) -> None:
        """The slowest goes first, however many were found at once."""
        movers = [Mover(float(owed)) for owed in range(1, 10 * PART)]
        holders, yielding = set(movers), Yielding[Mover]()
        for mover in reversed(movers):
            self.assertIs(yielding.next(holders), mover)
            holders.remove(mover)
        self.assertIsNone(yielding.next(holders))

    def test_meanwhile(self) -> None:
        """Who has moved since it was found, or is gone, is passed over."""
        movers = [Mover(float(owed)) for owed in range(1, 10 * PART)]
        holders, yielding = set(movers), Yielding[Mover]()
        yielding.next(holders)
        holders.remove(movers[-1])
        holders.remove(movers[-2])
        movers[-3].owed = 0.5
        self.assertIs(yielding.next(holders), movers[-4])


class SlowestTests(SynchronousTestCase):
    def test_of_who_has_the_most(self) -> None:
        """One with few places keeps them, however slow it is."""
        few = [Place("few", 100.0)]
        many = [Place("many", float(n)) for n in range(5)]
        self.assertEqual(slowest([*few, *many], 2), [many[4], many[3]])

    def test_nobody_owes(self) -> None:
        """Who keeps up is not dropped for anybody."""
        self.assertEqual(slowest([Place("a", 0.0), Place("a", -1.0)]), [])
        self.assertEqual(slowest([]), [])
        self.assertEqual(slowest([Place("a", 3.0)], 1, 3.0), [])
