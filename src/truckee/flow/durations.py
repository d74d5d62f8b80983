"""Lengths of time as people write them.  Pure."""

from __future__ import annotations

import re

_UNITS = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
_UNITS |= {"day": 86400}


def parse_duration(text: str) -> float:
    """
    Return the seconds, more than none, that *text* says: ``90 s``, ``30 min``, ``1 hour``.

    :raises ValueError: when it says something else.
    """
    match = re.fullmatch(
        r"([0-9]{1,5}(?:\.[0-9]{1,5})?) *([a-z]+?)s?", text.strip().lower(), re.ASCII
    )
    unit = _UNITS.get(match[2]) if match else None
    seconds = float(match[1]) * unit if match and unit else 0.0
    if not 0 < seconds < 36500 * 86400:
        raise ValueError(f"{text!r} is not a time like 90 seconds, 30 min, 1 hour, 2 days")
    return seconds
