"""Pages that are made once for many."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.web.remade import Remade


class RemadeTests(SynchronousTestCase):
    def test_what_costs_nothing_is_always_new(self) -> None:
        """Each who asks gets a page of its own."""
        pages: Remade[int] = Remade(Clock().seconds)
        self.assertEqual([pages.get("a", lambda n=n: n) for n in range(3)], [0, 1, 2])  # type: ignore[misc]

    def test_what_costs_much_is_shared(self) -> None:
        """Making it takes no more than a twentieth of the time."""
        clock = Clock()
        pages: Remade[int] = Remade(clock.seconds)
        made = []

        def make() -> int:
            clock.advance(0.01)
            made.append(clock.seconds())
            return len(made)

        for _ in range(1000):
            pages.get("a", make)
            clock.advance(0.01)
        self.assertLess(len(made), 1000 / 20 + 5)
        self.assertGreater(len(made), 1000 / 20 - 5)

    def test_age_is_bounded(self) -> None:
        """A page that took minutes is made again after a second."""
        clock = Clock()
        pages: Remade[int] = Remade(clock.seconds)
        pages.get("a", lambda: clock.advance(100) or 1)  # type: ignore[func-returns-value]
        clock.advance(0.9)
        self.assertEqual(pages.get("a", lambda: 2), 1)
        clock.advance(0.1)
        self.assertEqual(pages.get("a", lambda: 2), 2)

    def test_least(self) -> None:
        """A page may be good for some time whatever it costs; each kind by itself."""
        clock = Clock()
        pages: Remade[int] = Remade(clock.seconds, 1.0)
        self.assertEqual(pages.get("a", lambda: 1), 1)
        self.assertEqual(pages.get("b", lambda: 2), 2)
        self.assertEqual(pages.get("a", lambda: 3), 1)
        clock.advance(1)
        self.assertEqual(pages.get("a", lambda: 3), 3)
