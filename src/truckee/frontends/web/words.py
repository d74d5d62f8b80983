"""Sizes, times and names as people write them, with the exact value behind each."""

from __future__ import annotations

import time

from twisted.web.template import Flattenable, Tag, tags

_MONTHS = [
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
]


def amount(size: int) -> str:
    """Return *size* bytes for people."""
    if size < 1000:
        return "1 byte" if size == 1 else f"{size} bytes"
    number, units = float(size), iter(("kB", "MB", "GB", "TB", "PB", "EB"))
    unit = ""
    # What would be rounded to 1000.0 is 1.0 of the next.
    while number >= 999.95:
        number, unit = number / 1000, next(units)
    return f"{number:.1f} {unit}"


def exact(size: int, text: str | None = None) -> Flattenable:
    """Return *size* bytes for people, or *text* in its place, and the exact number."""
    if size < 1000 and text is None:
        return amount(size)
    return tags.span(text or amount(size), title=f"{size:,} bytes")


def part(done: int, size: int) -> Tag:
    """Return how many bytes of *size* are done."""
    text = f"{amount(done)} of {amount(size)}"
    return tags.span(text, title=f"{done:,} of {size:,} bytes")


def moment(seconds: float) -> Tag:
    """Return a time, in Unix seconds, for people anywhere."""
    then = time.gmtime(seconds)
    return tags.time(
        day_and_time(seconds),
        datetime=time.strftime("%Y-%m-%dT%H:%M:%SZ", then),
        title=time.strftime("%Y-%m-%d %H:%M:%S UTC", then),
    )


def day_and_time(seconds: float) -> str:
    """Return the same as text."""
    then = time.gmtime(seconds)
    day = f"{then.tm_mday} {_MONTHS[then.tm_mon - 1]} {then.tm_year}"
    return f"{day}, {then.tm_hour:02}:{then.tm_min:02} UTC"


def duration(seconds: float) -> str:
    """Return a time for people: two units at most."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 172800:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} days {whole % 86400 // 3600} h"


def counted(count: int, thing: str) -> str:
    """Return a number of things: "1 file", "2 files"."""
    if count != 1:
        thing = f"{thing[:-1]}ies" if thing.endswith("ry") else f"{thing}s"
    return f"{count:,} {thing}"


def foreign(text: str, most: int = 100) -> str:
    """Return what others say, at most so many characters, as any page can have it."""
    return text[:most].encode("utf-8", "replace").decode("utf-8")
