"""The states of resumable uploads."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from truckee.uploads.state import ENDS, TRANSITIONS, Event, IllegalEvent, State, after

# Each line: a state, then what each event makes of it, in the order of ``Event``.
#          append   close      delay      store      fail      abort
TABLE = """
open       open     closing    open       -          failed    aborted
closing    -        closing    closing    stored     failed    aborted
stored     -        stored     -          -          -         -
failed     -        -          -          -          -         failed
aborted    -        -          aborted    aborted    aborted   aborted
"""


class StateTests(SynchronousTestCase):
    def test_every_pair(self) -> None:
        """Each event in each state does what the table says, or is refused."""
        lines = [line.split() for line in TABLE.split("\n") if line]
        told = {
            (State(name), event): next_
            for name, *rest in lines
            for event, next_ in zip(Event, rest, strict=True)
        }
        self.assertEqual(set(told), set(product(State, Event)))
        for (state, event), next_ in told.items():
            if next_ == "-":
                self.assertNotIn((state, event), TRANSITIONS)
                self.assertRaises(IllegalEvent, after, state, event)
            else:
                self.assertIs(after(state, event), State(next_))

    def test_ends(self) -> None:
        """What is over stays over."""
        for (state, _), next_ in TRANSITIONS.items():
            if state in ENDS:
                self.assertIs(next_, state)
