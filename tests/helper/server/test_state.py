"""States of an upload at the helper: every event in every one of them."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from truckee.helper.server.state import (
    TRANSITIONS,
    Event,
    IllegalTransition,
    State,
    after,
    is_ended,
    is_kept,
    is_vouched,
    takes_part,
)

# For each state what becomes of it with each event, in the order of Event; -: it cannot be.
TABLE = """
              KEEP        VOUCH      LEAVE    FORGET      RELEASED  REMOVED
RECEIVING     KEPT        VOUCHED    LEAVING  FORGETTING  -         -
VOUCHED       CONFIRMED   VOUCHED    LEAVING  FORGETTING  -         -
KEPT          -           CONFIRMED  LEAVING  FORGETTING  -         -
CONFIRMED     -           CONFIRMED  LEAVING  FORGETTING  -         -
LEAVING       LEAVING     -          LEAVING  LEAVING     CLOSED    FORGOTTEN
FORGETTING    FORGETTING  -          FORGETTING FORGETTING -        FORGOTTEN
CLOSED        -           -          CLOSED   CLOSED      -         -
FORGOTTEN     -           -          FORGOTTEN FORGOTTEN  -         -
"""


class TableTests(SynchronousTestCase):
    def test_every_pair(self) -> None:
        """Every event in every state leads where it should, or cannot be."""
        head, *rows = (line.split() for line in TABLE.strip().splitlines())
        self.assertEqual(head, [event.name for event in Event])
        self.assertEqual([row[0] for row in rows], [state.name for state in State])
        for name, *cells in rows:
            for event, cell in zip(Event, cells, strict=True):
                if cell == "-":
                    with self.assertRaises(IllegalTransition, msg=f"{name} {event}"):
                        after(State[name], event)
                else:
                    self.assertIs(after(State[name], event), State[cell], (name, event))

    def test_no_way_back(self) -> None:
        """What is over is never open again, what is kept or vouched for stays so."""
        for state, event in TRANSITIONS:
            then = after(state, event)
            if not takes_part(state):
                self.assertFalse(takes_part(then))
            elif takes_part(then):
                self.assertLessEqual(is_kept(state), is_kept(then))
                self.assertLessEqual(is_vouched(state), is_vouched(then))
            if is_ended(state):
                self.assertIs(then, state)

    def test_every_state_is_met(self) -> None:
        """From the first state there is a way to each, and from each to an end."""
        met = {State.RECEIVING}
        for _ in State:
            met |= {TRANSITIONS[pair] for pair in TRANSITIONS if pair[0] in met}
        self.assertEqual(met, set(State))
        ending = {state for state in State if is_ended(state)}
        for _ in State:
            ending |= {state for (state, _), then in TRANSITIONS.items() if then in ending}
        self.assertEqual(ending, set(State))

    def test_questions(self) -> None:
        """Open, kept, vouched for and ended say different things of a state."""
        told = {
            state.name: "".join(
                letter
                for letter, question in zip(
                    "okve", (takes_part, is_kept, is_vouched, is_ended), strict=True
                )
                if question(state)
            )
            for state in State
        }
        self.assertEqual(
            told,
            {
                "RECEIVING": "o",
                "VOUCHED": "ov",
                "KEPT": "ok",
                "CONFIRMED": "okv",
                "LEAVING": "",
                "FORGETTING": "",
                "CLOSED": "e",
                "FORGOTTEN": "e",
            },
        )

    def test_error(self) -> None:
        """What cannot be is named."""
        for state, event in product(State, Event):
            if (state, event) not in TRANSITIONS:
                with self.assertRaisesRegex(IllegalTransition, state.name):
                    after(state, event)
