"""
When a lease has expired, and a share with it.

Source: ``docs/formats/immutable.md``, "Expiry".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from enum import Enum

from attrs import frozen

from truckee.codec.container import LEASE_DURATION

_DAY = 86400  # seconds
_UNITS = {
    "day": _DAY,
    "days": _DAY,
    "mo": 31 * _DAY,
    "month": 31 * _DAY,
    "months": 31 * _DAY,
    "year": 365 * _DAY,
    "years": 365 * _DAY,
}


class ShareKind(Enum):
    """What a share is of."""

    IMMUTABLE = "immutable"
    MUTABLE = "mutable"


@frozen
class ExpiryPolicy:
    """Which leases have expired, and of which shares."""

    duration: int | None = None  # seconds since the last renewal; None: what leases say
    cutoff: int | None = None  # Unix seconds; renewed before: expired, whatever else
    kinds: frozenset[ShareKind] = frozenset(ShareKind)

    def expired(self, expires: int, now: float) -> bool:
        """Tell whether a lease that says it *expires* then, in Unix seconds, is over."""
        renewed = expires - LEASE_DURATION
        if self.cutoff is not None:
            return renewed < self.cutoff
        return renewed + (LEASE_DURATION if self.duration is None else self.duration) < now

    def all_expired(self, kind: ShareKind, leases: Sequence[int], now: float) -> bool:
        """
        Tell whether a share may go, whose leases expire then.

        One without any stays: nothing says since when nobody wants it.
        """
        if kind not in self.kinds or not leases:
            return False
        return all(self.expired(expires, now) for expires in leases)


def parse_lease_duration(text: str) -> int:
    """
    Return the seconds in ``5 days``, ``2mo``, ``1 year``, as stock servers read it.

    :raises ValueError: when it says something else.
    """
    match = re.fullmatch(r"([0-9]{1,6}) *([a-z]+)", text.strip().lower(), re.ASCII)
    unit = _UNITS.get(match[2]) if match else None
    if match is None or unit is None or not int(match[1]):
        raise ValueError(f"{text!r} is not a time like 60 days, 3 months, 1 year")
    return int(match[1]) * unit


def parse_cutoff_date(text: str) -> int:
    """
    Return when a day ``YYYY-MM-DD`` begins, in Unix seconds (UTC).

    :raises ValueError: when it is no such day.
    """
    match = re.fullmatch(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})", text.strip(), re.ASCII)
    try:
        day = date(*map(int, match.groups() if match else ()))
    except (TypeError, ValueError):
        raise ValueError(f"{text!r} is not a day like 2026-01-31") from None
    return (day - date(1970, 1, 1)).days * _DAY
