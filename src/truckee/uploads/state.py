"""
How far a resumable upload is, and what brings it further.  Pure.

Source: ``docs/formats/open-uploads.md``, "What happens when".
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class State(Enum):
    """How far a resumable upload is."""

    OPEN = "open"  # takes bytes
    CLOSING = "closing"  # has them all, and waits until they are stored
    STORED = "stored"
    FAILED = "failed"
    ABORTED = "aborted"


class Event(Enum):
    """What happens to one."""

    APPEND = "append"  # a client brings bytes
    CLOSE = "close"  # a client says that these are all; or a restart finds that it did
    DELAY = "delay"  # it cannot be stored now; it is retried
    STORE = "store"  # a run has its cap
    FAIL = "fail"  # a run found what no retry mends
    ABORT = "abort"  # the client, or the gateway, gives it up


class IllegalEvent(Exception):
    """An event that cannot happen in a state: a fault of the caller."""


_OPEN, _CLOSING, _STORED, _FAILED, _ABORTED = State

# What is not here cannot happen.  A run that ends while its upload is being aborted changes
# nothing any more; a stored file is not aborted.
TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (_OPEN, Event.APPEND): _OPEN,
    (_OPEN, Event.CLOSE): _CLOSING,
    (_OPEN, Event.DELAY): _OPEN,
    (_OPEN, Event.FAIL): _FAILED,
    (_OPEN, Event.ABORT): _ABORTED,
    (_CLOSING, Event.CLOSE): _CLOSING,
    (_CLOSING, Event.DELAY): _CLOSING,
    (_CLOSING, Event.STORE): _STORED,
    (_CLOSING, Event.FAIL): _FAILED,
    (_CLOSING, Event.ABORT): _ABORTED,
    (_STORED, Event.CLOSE): _STORED,
    (_FAILED, Event.ABORT): _FAILED,
    (_ABORTED, Event.DELAY): _ABORTED,
    (_ABORTED, Event.STORE): _ABORTED,
    (_ABORTED, Event.FAIL): _ABORTED,
    (_ABORTED, Event.ABORT): _ABORTED,
}
ENDS = frozenset({_STORED, _FAILED, _ABORTED})


def after(state: State, event: Event) -> State:
    """Return the state after *event*.  :raises IllegalEvent: if it cannot happen then."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalEvent(f"{event.value} of an upload that is {state.value}") from None
