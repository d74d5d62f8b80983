"""
Names that others chose, as text of a page in which nothing is hidden.  Pure.

A name may have characters that turn the direction of a text, or that nobody sees: a
program can pass for a picture that way.  They are shown by their number, and each name is
apart from what is around it.
"""

from __future__ import annotations

import re
from html import escape

# Controls, marks and overrides of direction, spaces without width, tags.  The joiners
# U+200C and U+200D are left: languages and emoji need them, and they turn nothing.
_ODD = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)


def is_odd(name: str) -> bool:
    """Tell whether *name* has characters that would not be seen."""
    return not name or _ODD.search(name) is not None


def visible(name: str) -> str:
    """Return *name* as one line of text, with the numbers of what is not seen."""
    return _ODD.sub(lambda found: f"[{_number(found)}]", name) or "(no name)"


def shown(name: str) -> str:
    """Return *name* as markup, apart from the text around it."""
    text = _ODD.sub(lambda found: f"<i>{_number(found)}</i>", escape(name))
    return f"<bdi>{text}</bdi>" if name else "<bdi><i>no name</i></bdi>"


def _number(found: re.Match[str]) -> str:
    return f"U+{ord(found[0]):04X}"
