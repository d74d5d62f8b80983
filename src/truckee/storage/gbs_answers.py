"""What a server over HTTPS answered, as its callers understand it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from truckee.storage.interfaces import BadAnswer

S = TypeVar("S")
T = TypeVar("T")


def understood(server: str, call: str, parse: Callable[[S], T], answer: S) -> T:
    """Return what *parse* finds in *answer*.  :raises BadAnswer: for a ``ValueError``"""
    try:
        return parse(answer)
    except ValueError:
        raise BadAnswer(server, call) from None
