"""
How far an upload at the helper is: states, events, and what each makes of the other.  Pure.

It says what is true of the ciphertext and of who may still bring some.  Whether shares are
being made of it meanwhile is a matter of its own: see ``coding``.
"""

from __future__ import annotations

from enum import Enum, auto


class State(Enum):
    """Of one upload."""

    RECEIVING = auto()  # bytes are missing, or it is not recorded that none are
    VOUCHED = auto()  # a client said that this is the file; that is not recorded yet
    KEPT = auto()  # all bytes are here, which is recorded: it outlives its clients
    CONFIRMED = auto()  # both
    LEAVING = auto()  # over; its file will be closed, and stays on the disk
    FORGETTING = auto()  # over; its file will be removed
    CLOSED = auto()  # nothing is open any more, and the file is on the disk
    FORGOTTEN = auto()  # nothing is open any more, and there is no file


class Event(Enum):
    """What happens to one."""

    KEEP = auto()  # it was recorded that all bytes are here
    VOUCH = auto()  # a client said that what is here is the file, all of it
    LEAVE = auto()  # nobody takes part any more
    FORGET = auto()  # nor is what is here needed
    RELEASED = auto()  # its file was closed
    REMOVED = auto()  # its file was removed


class IllegalTransition(Exception):
    """What happened cannot happen to an upload in this state."""


_OPEN = (State.RECEIVING, State.VOUCHED, State.KEPT, State.CONFIRMED)

TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.RECEIVING, Event.KEEP): State.KEPT,
    (State.RECEIVING, Event.VOUCH): State.VOUCHED,
    (State.VOUCHED, Event.KEEP): State.CONFIRMED,
    (State.VOUCHED, Event.VOUCH): State.VOUCHED,
    (State.KEPT, Event.VOUCH): State.CONFIRMED,
    (State.CONFIRMED, Event.VOUCH): State.CONFIRMED,
    **{(state, Event.LEAVE): State.LEAVING for state in _OPEN},
    **{(state, Event.FORGET): State.FORGETTING for state in _OPEN},
    # The record was being written when it ended.
    (State.LEAVING, Event.KEEP): State.LEAVING,
    (State.FORGETTING, Event.KEEP): State.FORGETTING,
    (State.LEAVING, Event.RELEASED): State.CLOSED,
    (State.LEAVING, Event.REMOVED): State.FORGOTTEN,  # there was not a byte in it
    (State.FORGETTING, Event.REMOVED): State.FORGOTTEN,
    # How it ended stays so, whatever those want who leave later.
    **{
        (state, event): state
        for state in (State.LEAVING, State.FORGETTING, State.CLOSED, State.FORGOTTEN)
        for event in (Event.LEAVE, Event.FORGET)
    },
}


def after(state: State, event: Event) -> State:
    """Return the state after *event*.  :raises IllegalTransition: when it cannot be."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"{event.name} in {state.name}") from None


def takes_part(state: State) -> bool:
    """Tell whether bytes can be brought, and answers had."""
    return state in _OPEN


def is_vouched(state: State) -> bool:
    """Tell whether a client said that what is here is the file."""
    return state in (State.VOUCHED, State.CONFIRMED)


def is_kept(state: State) -> bool:
    """Tell whether it is recorded that all bytes are here, so that no client is needed."""
    return state in (State.KEPT, State.CONFIRMED)


def is_ended(state: State) -> bool:
    """Tell whether nothing is open any more."""
    return state in (State.CLOSED, State.FORGOTTEN)
