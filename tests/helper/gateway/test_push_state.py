"""States of a push at the gateway: every event in every one of them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.helper.gateway.push_state import (
    TRANSITIONS,
    IllegalTransition,
    PushEvent,
    PushState,
    after,
)

# For each state what becomes of it with each event, in the order of PushEvent; -: it
# cannot be.
TABLE = """
           OPENED   REFUSED    LOST       STORED  FAILED  STOPPED
NEW        PUSHING  -          -          STORED  FAILED  OVER
PUSHING    -        REWINDING  REOPENING  STORED  FAILED  OVER
REWINDING  -        REWINDING  REOPENING  STORED  FAILED  OVER
REOPENING  PUSHING  -          -          STORED  FAILED  OVER
STORED     STORED   -          STORED     STORED  STORED  OVER
FAILED     FAILED   -          FAILED     FAILED  FAILED  OVER
OVER       -        -          -          -       OVER    OVER
"""


class TableTests(SynchronousTestCase):
    def test_every_pair(self) -> None:
        """Every event in every state leads where it should, or cannot be."""
        head, *rows = (line.split() for line in TABLE.strip().splitlines())
        self.assertEqual(head, [event.name for event in PushEvent])
        self.assertEqual([row[0] for row in rows], [state.name for state in PushState])
        for name, *cells in rows:
            for event, cell in zip(PushEvent, cells, strict=True):
                state = PushState[name]
                if cell == "-":
                    with self.assertRaisesRegex(IllegalTransition, name):
                        after(state, event)
                else:
                    self.assertIs(after(state, event), PushState[cell], (name, event))

    def test_one_upload_at_a_time(self) -> None:
        """Between two uploads that take bytes one was lost."""
        for state, event in TRANSITIONS:
            if after(state, event) is PushState.PUSHING:
                self.assertIs(event, PushEvent.OPENED)
                self.assertIn(state, (PushState.NEW, PushState.REOPENING))

    def test_every_state_is_met(self) -> None:
        """From the first state there is a way to each, and from each to the end."""
        met = {PushState.NEW}
        for _ in PushState:
            met |= {then for (state, _), then in TRANSITIONS.items() if state in met}
        self.assertEqual(met, set(PushState))
        for state in PushState:
            self.assertIs(after(state, PushEvent.STOPPED), PushState.OVER)
