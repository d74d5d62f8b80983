"""
When the next pass over a tree begins.  Pure.

The clock of the machine may be wrong, and jump.  So its jump forward begins one pass too
early and no more, a clock that says less than it did when the last pass began is believed
from when that was seen on, and the time that this process has run counts anyway.
"""

from __future__ import annotations

from truckee.renewal.state import RenewalState


def seconds_left(state: RenewalState, every: float, now: float, running: float) -> float:
    """
    Return the seconds until a new pass is due, 0 or less when it is.

    *now* is Unix seconds, of which ``note_clock`` took note; *running* is how long ago this
    process began, or its last pass if that was later, in seconds that no clock changes.
    """
    if state.started is None:
        return 0.0
    since = state.started if state.doubt is None else state.doubt
    return min(since + every - now, every - running)


def note_clock(state: RenewalState, now: float) -> bool:
    """
    Take note of what the clock says; return whether that changed the state.

    After this no time in it that counts is later than *now*.
    """
    before = state.doubt
    if state.started is None or state.started <= now:
        state.doubt = None
    elif state.doubt is None or state.doubt > now:
        state.doubt = now
    return state.doubt != before
