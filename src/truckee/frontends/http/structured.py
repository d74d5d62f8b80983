"""
Header values that are one item.  Pure.

Source: RFC 9651, sections 3.3.1 and 3.3.6.  What is malformed counts as missing.
"""

from __future__ import annotations

import re

# Parameters have no meaning here.
_BOOLEAN = re.compile(r" *\?([01]) *(?:;.*)?", re.ASCII)
_INTEGER = re.compile(r" *(-?[0-9]{1,15}) *(?:;.*)?", re.ASCII)


def boolean_item(text: str | None) -> bool | None:
    """Return what ``?0`` or ``?1`` says, None where that is not what *text* is."""
    found = _BOOLEAN.fullmatch(text or "")
    return None if found is None else found[1] == "1"


def count_item(text: str | None) -> int | None:
    """Return a number that is not negative, None where that is not what *text* is."""
    found = _INTEGER.fullmatch(text or "")
    count = None if found is None else int(found[1])
    return None if count is None or count < 0 else count


def show_boolean(value: bool) -> str:
    """Return *value* as a header has it."""
    return "?1" if value else "?0"
