"""
How far the lease crawler is, in a file of the storage directory.

Source: ``docs/formats/immutable.md``, "Expiry".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attrs import asdict, define, field, fields

from truckee.flow.durable import write_durably

_VERSION = 1
NAME = "truckee-leases.json"


@define
class CrawlCounts:
    """What was seen in one cycle."""

    files: int = 0  # storage indexes
    shares: int = 0
    bytes: int = 0  # of all containers
    leases: int = 0
    expired_leases: int = 0
    expired_shares: int = 0  # all of whose leases have expired
    expired_bytes: int = 0
    removed_shares: int = 0
    removed_bytes: int = 0
    without_lease: int = 0  # shares
    unreadable: int = 0  # files that are no container, or a damaged one


@define
class CrawlState:
    """One crawler's place and numbers."""

    started: float | None = None  # Unix seconds, of this cycle; None: it waits for one
    prefix: str = ""  # the last one that is done in this cycle
    cycles: int = 0  # that were finished
    finished: float | None = None  # Unix seconds, of the last one
    # By the clock when this was written, and seconds that nothing expires from then on.
    seen: float | None = None
    grace: float = 0.0
    now: CrawlCounts = field(factory=CrawlCounts)
    last: CrawlCounts = field(factory=CrawlCounts)  # of the last cycle

    @property
    def removes(self) -> bool:
        """Whether what has expired goes: not in the first cycle, nor in a grace period."""
        return self.cycles > 0 and self.grace <= 0


def save_state(path: Path, state: CrawlState) -> None:
    """Blocks.  :raises OSError:"""
    document = {"version": _VERSION, **asdict(state)}
    write_durably(path, (json.dumps(document, indent=1) + "\n").encode("ascii"))


def load_state(path: Path) -> CrawlState:
    """
    Blocks.

    :raises FileNotFoundError: :raises ValueError: when it is damaged.
    """
    document = json.loads(path.read_bytes())
    if not isinstance(document, dict) or document.pop("version", None) != _VERSION:
        raise ValueError("it has another version")
    if set(document) != {each.name for each in fields(CrawlState)}:
        raise ValueError("it has other fields")
    document |= {name: _counts(document[name]) for name in ("now", "last")}
    state = CrawlState(**document)
    for number in (state.started, state.finished, state.seen):
        if number is not None and not _is_number(number):
            raise ValueError("it has a time that is none")
    if not isinstance(state.prefix, str) or not isinstance(state.cycles, int):
        raise ValueError("it has a place that is none")
    if not _is_number(state.grace):
        raise ValueError("it has a time that is none")
    return state


def _counts(document: Any) -> CrawlCounts:
    if not isinstance(document, dict) or any(type(n) is not int for n in document.values()):
        raise ValueError("it has other things than numbers")
    try:
        return CrawlCounts(**document)
    except TypeError:
        raise ValueError("it has other fields") from None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and 0 <= value < 1 << 40
