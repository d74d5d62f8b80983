"""
Children as JSON that are taken out of a body while it comes.

Source: ``docs/formats/directories.md``, "Children as JSON".
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import Any

from attrs import define, field

from truckee.codec.children_json import BadChildren, GivenChild, given_child

# Characters of one child.  What is shorter may have to be parsed again when more has come.
_MOST = 1 << 20
_ENOUGH = 4  # bytes that tell the encoding

_SPACE = re.compile(r"[ \t\n\r]*")
_COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
_parse = json.JSONDecoder().raw_decode


class _State(Enum):
    """What comes next."""

    OBJECT = auto()  # its {
    FIRST = auto()  # a child, or }
    CHILD = auto()
    COMMA = auto()  # or }
    NOTHING = auto()


# What a character leads to, where it is not the first one of a child.
_NEXT = {
    (_State.OBJECT, "{"): _State.FIRST,
    (_State.FIRST, "}"): _State.NOTHING,
    (_State.COMMA, "}"): _State.NOTHING,
    (_State.COMMA, ","): _State.CHILD,
}


@define(eq=False)
class ChildrenStream:
    """Feed a body in pieces of any size; take whole children out, by normalised name."""

    _head: bytes = field(default=b"", init=False, repr=False)
    _decoder: codecs.IncrementalDecoder | None = field(default=None, init=False)
    _text: str = field(default="", init=False, repr=False)  # not understood yet
    _wanted: int = field(default=0, init=False)  # characters before the next attempt
    _state: _State = field(default=_State.OBJECT, init=False)

    def feed(self, data: bytes) -> Iterator[tuple[str, GivenChild]]:
        """
        Give the children that end in *data*; take all of them before the next piece.

        :raises BadChildren: :raises BadNamedChild: as ``parse_children``
        """
        self._decode(data, last=False)
        if len(self._text) >= min(self._wanted, _MOST + 1):
            yield from self._take()

    def finish(self) -> Iterator[tuple[str, GivenChild]]:
        """
        Give the last children.

        :raises BadChildren: :raises BadNamedChild: as ``parse_children``
        """
        self._decode(b"", last=True)
        yield from self._take()
        nothing = self._state is _State.OBJECT and not self._text
        if self._text or not (nothing or self._state is _State.NOTHING):
            raise _no_json()

    def _decode(self, data: bytes, *, last: bool) -> None:
        if self._decoder is None:
            self._head += data
            if len(self._head) < _ENOUGH and not last:
                return
            encoding = json.detect_encoding(self._head)
            self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
            data = self._head
        try:
            self._text += self._decoder.decode(data, last)
        except UnicodeDecodeError:
            raise _no_json() from None

    def _take(self) -> Iterator[tuple[str, GivenChild]]:
        """Give what is whole, and keep the rest."""
        text, at = self._text, 0
        self._wanted = 0
        while (at := _end(_SPACE, text, at)) < len(text):
            after = _NEXT.get((self._state, text[at]))
            if after is not None:
                self._state, at = after, at + 1
                continue
            self._check_start(text[at])
            found = _child(text, at)
            _check_length((found[2] if found else len(text)) - at)
            if found is None:
                # So a long one is parsed a few times, and not for each piece.
                self._wanted = 2 * (len(text) - at)
                break
            name, value, at = found
            self._state = _State.COMMA
            yield given_child(name, value)
        self._text = text[at:]

    def _check_start(self, character: str) -> None:
        if self._state is _State.OBJECT:
            raise BadChildren("it is no JSON object")
        if self._state not in (_State.FIRST, _State.CHILD) or character != '"':
            raise _no_json()


def _child(text: str, at: int) -> tuple[str, Any, int] | None:
    """Return the name and value at *at*, and where they end; None: not all is there."""
    try:
        name, end = _parse(text, at)
        value, end = _parse(text, _end(_COLON, text, end))
    except ValueError:
        return None
    except RecursionError:
        raise _no_json() from None
    return name, value, end


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Return where *pattern* ends at *at*.  :raises ValueError: when it is not there"""
    match = pattern.match(text, at)
    if match is None:
        raise ValueError
    return match.end()


def _check_length(length: int) -> None:
    if length > _MOST:
        raise BadChildren(f"one of them has more than {_MOST} characters, or is not JSON")


def _no_json() -> BadChildren:
    return BadChildren("it is not JSON")
