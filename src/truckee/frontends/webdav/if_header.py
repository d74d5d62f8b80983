"""
The If header: what must hold for a request to be done.  Pure.

Source: RFC 4918, section 10.4.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from attrs import define, field, frozen

from truckee.errors import Misuse

# A client names the locks that it has: of one file and of the directories above.
_MOST = 100  # conditions

_TOKEN = re.compile(
    r"\s*(?:(?P<url><[^<>\s]*>)|(?P<open>\()|(?P<close>\))|(?P<no>Not\b)"
    r'|\[(?P<tag>(?:W/)?"[^"]*")\])',
    re.IGNORECASE,
)


@define
class BadIf(Misuse):
    """The If header is malformed."""


@frozen
class Condition:
    """One state that something must have, or must not."""

    token: str | None = field(default=None, repr=False)  # of a lock
    tag: str | None = None  # with its quotes
    negated: bool = False


@frozen
class StateList:
    """Conditions that must hold together."""

    resource: str | None  # an address; None: that of the request
    conditions: tuple[Condition, ...]


def parse_if(text: str) -> list[StateList]:
    """Return the lists of a header, of which one must hold.  :raises BadIf:"""
    words = list(_words(text))
    found: list[StateList] = []
    resource: str | None = None
    tagged = False
    while words:
        kind, value = words.pop(0)
        if kind == "url" and (tagged or not found):
            if tagged and (not found or found[-1].resource != resource):
                raise BadIf
            resource, tagged = value, True
        elif kind == "open":
            found.append(StateList(resource, _conditions(words)))
        else:
            raise BadIf
    if not found or (tagged and found[-1].resource != resource):
        raise BadIf
    return found


def _conditions(words: list[tuple[str, str]]) -> tuple[Condition, ...]:
    found: list[Condition] = []
    negated = False
    while words:
        kind, value = words.pop(0)
        if kind == "no" and not negated:
            negated = True
        elif kind in ("url", "tag"):
            condition = Condition(token=value) if kind == "url" else Condition(tag=value)
            found.append(Condition(condition.token, condition.tag, negated))
            negated = False
        elif kind == "close" and found and not negated:
            return tuple(found)
        else:
            break
    raise BadIf


def _words(text: str) -> Iterator[tuple[str, str]]:
    place, text, count = 0, text.strip(), 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        count += 1
        if match is None or count > 4 * _MOST:
            raise BadIf
        kind = match.lastgroup or ""
        value = match[kind]
        yield kind, value[1:-1] if kind == "url" else value
        place = match.end()


def tokens_of(lists: list[StateList]) -> frozenset[str]:
    """Return the tokens that a client shows to have."""
    return frozenset(
        each.token
        for one in lists
        for each in one.conditions
        if each.token is not None and not each.negated
    )


def holds(
    one: StateList,
    has_token: Callable[[str | None, str], bool],
    has_tag: Callable[[str | None, str], bool],
) -> bool:
    """Tell whether a list holds, given what an address has."""
    for each in one.conditions:
        if each.token is not None:
            found = has_token(one.resource, each.token)
        else:
            found = has_tag(one.resource, each.tag or "")
        if found is each.negated:
            return False
    return True
