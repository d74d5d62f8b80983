"""
How far a push at the gateway is: states, events, and what each makes of the other.  Pure.

What is sent, and what of it is held over there, is a matter of its own: ``push_session``.
"""

from __future__ import annotations

from enum import Enum, auto


class PushState(Enum):
    """Of one file on its way to a helper."""

    NEW = auto()  # the helper was not told of it yet
    PUSHING = auto()  # an upload over there takes what is sent
    REWINDING = auto()  # it refused a message; answers to those before are waited for
    REOPENING = auto()  # it is gone, or given up; the next one is being opened
    STORED = auto()  # the helper says that the file is on the grid
    FAILED = auto()  # no more is sent, and whoever waits hears why
    OVER = auto()  # nobody brings or waits for anything


class PushEvent(Enum):
    """What happens to one."""

    OPENED = auto()  # there is an upload over there, on this connection
    REFUSED = auto()  # it does not take a message, since bytes before it are missing
    LOST = auto()  # it is gone with its connection, or given up
    STORED = auto()  # the helper said so, when it was asked to open or to finish
    FAILED = auto()  # it cannot be resumed
    STOPPED = auto()  # it was closed or aborted


class IllegalTransition(Exception):
    """What happened cannot happen to a push in this state."""


_S, _E = PushState, PushEvent

TRANSITIONS: dict[tuple[PushState, PushEvent], PushState] = {
    (_S.NEW, _E.OPENED): _S.PUSHING,
    (_S.PUSHING, _E.REFUSED): _S.REWINDING,
    (_S.REWINDING, _E.REFUSED): _S.REWINDING,
    (_S.PUSHING, _E.LOST): _S.REOPENING,
    (_S.REWINDING, _E.LOST): _S.REOPENING,
    (_S.REOPENING, _E.OPENED): _S.PUSHING,
    **{
        (state, _E.STORED): _S.STORED
        for state in (_S.NEW, _S.PUSHING, _S.REWINDING, _S.REOPENING)
    },
    **{
        (state, _E.FAILED): _S.FAILED
        for state in (_S.NEW, _S.PUSHING, _S.REWINDING, _S.REOPENING)
    },
    # What was under way when it was decided changes nothing any more.
    **{
        (state, event): state
        for state in (_S.STORED, _S.FAILED)
        for event in (_E.OPENED, _E.LOST, _E.STORED, _E.FAILED)
    },
    (_S.OVER, _E.FAILED): _S.OVER,
    **{(state, _E.STOPPED): _S.OVER for state in _S},
}


def after(state: PushState, event: PushEvent) -> PushState:
    """Return the state after *event*.  :raises IllegalTransition: when it cannot be."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"{event.name} in {state.name}") from None
