"""Work that begins in its order, a little in each turn."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from truckee.flow.turns import MOST, Share, Turn, Turns


class Loop(Clock):
    """What is to come at once comes in the next turn, as in the reactor."""

    def turn(self) -> None:
        """Do what was to come at once when this began."""
        for call in self.getDelayedCalls():
            work = call.func  # type: ignore[attr-defined]
            call.cancel()
            work()


class TurnsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Loop()
        self.turns = Turns(self.clock)
        self.done = list[str]()

    def work(self, name: str, seconds: float = 0.0) -> None:
        self.done.append(name)
        self.clock.rightNow += seconds

    def turn(self, name: str, seconds: float = 0.0) -> Turn:
        return Turn(self.turns, lambda: self.work(name, seconds))

    def test_until_the_time_is_over(self) -> None:
        """What comes while there is time is done at once, what comes later is not."""
        self.turns.run(lambda: self.work("one", MOST * 0.6), Share())
        self.assertFalse(self.turns.is_over)
        self.turns.run(lambda: self.work("two", MOST * 0.6), Share())
        self.assertTrue(self.turns.is_over)
        self.clock.turn()
        self.assertFalse(self.turns.is_over)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_in_order(self) -> None:
        """Those who wait come first, as many in a turn as there is time for."""
        for name in "abcde":
            self.turn(name, MOST * 0.6).wait()
        self.assertEqual(self.done, [])
        seen = []
        for _ in range(3):
            self.assertTrue(self.turns.is_over)
            self.clock.turn()
            seen.append("".join(self.done))
        self.assertEqual(seen, ["ab", "abcd", "abcde"])
        self.clock.turn()
        self.assertFalse(self.turns.is_over)

    def test_again(self) -> None:
        """One who comes again from its work does so in another turn, behind the others."""
        again = self.turn("again")

        def work() -> None:
            self.work("greedy")
            again.wait()

        greedy = Turn(self.turns, work)
        greedy.wait()
        greedy.wait()
        self.turn("other").wait()
        self.clock.turn()
        self.assertEqual(self.done, ["greedy", "other"])
        self.clock.turn()
        self.assertEqual(self.done, ["greedy", "other", "again"])

    def busy(self, name: str, share: Share) -> Turn:
        """Return the turn of one who wants all there is."""

        def work() -> None:
            self.work(name, MOST)
            turn.wait()

        turn = Turn(self.turns, work, share)
        return turn

    def test_least_first(self) -> None:
        """One who had little comes before a crowd each of which has much."""
        for _ in range(50):
            self.busy("crowd", Share()).wait()
        for _ in range(120):
            self.clock.turn()
        self.done.clear()
        self.turn("one").wait()
        self.clock.turn()
        self.clock.turn()
        self.assertIn("one", self.done)

    def test_nobody_for_ever(self) -> None:
        """One who had much has his turn, though new ones come all the time."""
        greedy = self.turn("greedy", 20 * MOST)
        greedy.take()
        greedy.wait()
        for _ in range(200):
            for _ in range(2):
                self.turn("new", MOST / 2).wait()
            self.clock.turn()
            if self.done.count("greedy") == 2:
                return
        self.fail("it never came")

    def test_the_same_share(self) -> None:
        """All turns of one count together."""
        share = Share()
        for _ in range(5):
            self.busy("much", share).wait()
        self.busy("little", Share()).wait()
        for _ in range(100):
            self.clock.turn()
        self.assertIn(self.done.count("little"), range(45, 56))

    def test_cancel(self) -> None:
        """Who leaves does nothing, and may come again."""
        turn = self.turn("x")
        turn.wait()
        turn.cancel()
        self.assertFalse(turn.waits)
        self.clock.turn()
        self.assertEqual(self.done, [])
        turn.wait()
        self.clock.turn()
        self.assertEqual(self.done, ["x"])

    def test_failure(self) -> None:
        """Work that fails keeps nobody else from coming."""
        Turn(self.turns, lambda: self.done.remove("x")).wait()
        self.turn("other").wait()
        with self.assertRaises(ValueError):
            self.clock.turn()
        self.clock.turn()
        self.assertEqual(self.done, ["other"])
