"""
What the headers If-Match, If-None-Match and If-Range say of an entity tag.

Source: RFC 9110, sections 8.8.3 and 13.1.  Pure.  There are no dates: what has no
Last-Modified matches none.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from attrs import define

from truckee.errors import Misuse

# Without its quotes a tag is none; stock gateways send theirs so, and get it back.
_TAG = re.compile(r'(?P<weak>W/)?"(?P<tag>[^"]*)"|(?P<bare>[^\s",]+)')


@define
class PreconditionFailed(Misuse):
    """This is another file than the one that If-Match asks for."""


def is_wanted(if_match: str, tag: str) -> bool:
    """Return whether If-Match lets the request go on, by the strong comparison."""
    if if_match.strip(" \t") == "*":
        return True
    known = list(_TAG.finditer(if_match))
    if any(each["bare"] for each in known):
        return False  # malformed: nothing is known to match
    return any(not each["weak"] and each["tag"] == tag for each in known)


def is_known(if_none_match: str, tags: Collection[str]) -> bool:
    """Return whether If-None-Match has one of *tags*, by the weak comparison."""
    if if_none_match.strip(" \t") == "*":
        return True
    known = _TAG.finditer(if_none_match)
    return any((each["bare"] or each["tag"]) in tags for each in known)


def goes_on(if_range: str, tag: str) -> bool:
    """Return whether If-Range lets a Range count, by the strong comparison."""
    return if_range.strip(" \t") == f'"{tag}"'
