"""Times, as they are written in properties and headers: Unix seconds inside.  Pure."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from email.utils import format_datetime, parsedate_to_datetime

_NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?")
# Years 1 to 9999 can be written.
_FIRST, _LAST = -62135596800.0, 253402300799.0


def http_date(seconds: float) -> str:
    """Return a time as HTTP has it."""
    return format_datetime(_datetime(seconds).replace(microsecond=0), usegmt=True)


def iso_date(seconds: float) -> str:
    """Return a time as RFC 3339 has it."""
    return f"{_datetime(seconds).replace(microsecond=0, tzinfo=None).isoformat()}Z"


def parse_seconds(text: str) -> float | None:
    """Return the seconds that a client writes as a number; None: it is none."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return None
    return _bounded(float(text))


def parse_time(text: str) -> float | None:
    """Return a time that is written in any of the usual ways; None: in another one."""
    found = parse_seconds(text)
    if found is not None:
        return found
    text = text.strip()[:64]
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            date = parse(text.replace("Z", "+00:00") if "T" in text else text)
            if date.tzinfo is None:
                date = date.replace(tzinfo=timezone.utc)
            return _bounded(date.timestamp())
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None


def _datetime(seconds: float) -> datetime:
    return datetime.fromtimestamp(_bounded(seconds), timezone.utc)


def _bounded(seconds: float) -> float:
    return min(max(seconds, _FIRST), _LAST)
