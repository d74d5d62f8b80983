"""
Values of ``tahoe.cfg``: each function takes a text and raises ``ValueError``.

Source: ``docs/reference/node-directory.md``.
"""

from __future__ import annotations

import os
import re
from configparser import ConfigParser
from pathlib import Path

from truckee.flow.durations import parse_duration
from truckee.flow.sizes import parse_size
from truckee.grid.addresses import AddressPolicy, Reach
from truckee.grid.transports import StorageTransport


def parse_boolean(text: str) -> bool:
    states = ConfigParser.BOOLEAN_STATES
    if text.lower() not in states:
        raise ValueError(f"{text!r} is not true or false")
    return states[text.lower()]


def or_none(text: str) -> str | None:
    """What stock nodes call none."""
    return None if text.lower() in ("disabled", "none") else text


def parse_memory(text: str) -> int:
    """Return a size for which something fits.  :raises ValueError: when none does."""
    size = parse_size(text)
    if size == 0:
        raise ValueError("must be greater than 0")
    return size


# Shorter ones are mostly hashes and messages; longer ones were not measured.
_LEAST_SEGMENT, _MOST_SEGMENT = 16 << 10, 16 << 20


def parse_segment_size(text: str) -> int:
    """Return the bytes of a segment.  :raises ValueError: when that is no good size."""
    size = parse_size(text)
    if not _LEAST_SEGMENT <= size <= _MOST_SEGMENT:
        raise ValueError(f"{text!r} is not a size from 16KiB to 16MiB")
    return size


def parse_key(text: str) -> str:
    """Return which key a file has by itself.  :raises ValueError:"""
    if text.lower() not in ("random", "chk"):
        raise ValueError(f"{text!r} is not random or CHK")
    return text.lower()


def parse_count(text: str) -> int:
    """Return a number from 1 on.  :raises ValueError: when *text* is none."""
    count = int(text)
    if count < 1:
        raise ValueError(f"{text!r} is not a number from 1 on")
    return count


_ADDRESSES = {
    "auto": None,
    "any": AddressPolicy(Reach.LOOPBACK),
    "private": AddressPolicy(Reach.PRIVATE),
    "public": AddressPolicy(Reach.PUBLIC),
}


def parse_addresses(text: str) -> AddressPolicy | None:
    """Return which addresses announcements may name.  :raises ValueError:"""
    if text.lower() not in _ADDRESSES:
        raise ValueError(f"{text!r} is none of {', '.join(_ADDRESSES)}")
    return _ADDRESSES[text.lower()]


def parse_transport(text: str) -> StorageTransport:
    """Return over what servers are reached."""
    try:
        return StorageTransport(text)
    except ValueError:
        names = ", ".join(each.value for each in StorageTransport)
        raise ValueError(f"{text!r} is none of {names}") from None


def parse_days(text: str) -> float:
    """Return seconds.  :raises ValueError: when *text* is not a number of days."""
    match = re.fullmatch(r"([0-9]{1,5}(?:\.[0-9]{1,5})?) *(?:days?)?", text, re.ASCII)
    days = float(match[1]) if match else 0.0
    if not 0 < days < 36500:
        raise ValueError(f"{text!r} is not a number of days, as in 14 days")
    return days * 86400


def parse_keep(text: str) -> float:
    """Return seconds, 0 for not at all.  :raises ValueError: see ``parse_days``."""
    return 0.0 if re.fullmatch(r"0 *(?:days?)?", text, re.ASCII) else parse_days(text)


def parse_guard(text: str) -> float:
    """Return seconds, 0 for none.  :raises ValueError: when *text* is not a time."""
    return 0.0 if text == "0" else parse_duration(text)


def parse_path(directory: Path, text: str) -> Path:
    """Return the path *text*, which starts at *directory*, at /, or at a home directory."""
    path = os.path.expanduser(text)
    if path.startswith("~"):
        raise ValueError(
            f"there is no home directory {text.split('/', maxsplit=1)[0]}: write it out"
        )
    return directory / path


def parse_tub_port(text: str) -> str | None:
    """Return endpoints with commas between, or None.  :raises ValueError: for port 0."""
    for each in text.split(","):
        number = endpoint_text(each).split(":")[1:2]
        if number and re.fullmatch(r"\s*(port=)?\s*0+\s*", number[0]):
            raise ValueError(
                "port 0 would be another one at each start, and others have to find this "
                "node again: name one, as in tcp:3457"
            )
    return or_none(text)


def parse_storage_dir(directory: Path, text: str) -> Path:
    """
    Return the same for ``storage_dir``, where stock nodes know no home directories.

    What one of them made under such a name in the node *directory* is meant, if there.
    """
    literal = directory / text
    return (
        literal
        if text.startswith("~") and literal.is_dir()
        else parse_path(directory, text)
    )


def endpoint_text(text: str) -> str:
    """Return an endpoint for Twisted; where only a port begins it, tcp is meant."""
    text = text.strip()
    return f"tcp:{text}" if text.partition(":")[0].strip().isdecimal() else text
