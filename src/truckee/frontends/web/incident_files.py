"""
Files of what users report, each with the log before it, for the operator.

Source: ``docs/what-is-logged.md``, "Files of reports".
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.logger import Logger, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from truckee.codec import base32
from truckee.flow.cpu import Workers
from truckee.flow.durable import ensure_directories, fault_of, write_durably
from truckee.flow.limits import Exclusive
from truckee.status.failures import without_secrets

log = Logger()

MOST_FILES = 20
MOST_BYTES = 64 << 10  # of a file
LINES = 200  # of the log that are kept in memory
_MOST_LINE = 1000  # characters of one of these
_MOST_REPORT = 8000  # characters

# Ours alone, and what a crash left of one: stock nodes put files with other ends there.
_OURS = "incident-*.txt*"

_QUOTED = re.compile(r"""(?<!\w)(?:'[^'\n]*'|"[^"\n]*")""")
_WORD = re.compile(r"\S+")
# Words with a slash that are no path.
_NO_PATH = re.compile(r"\(?(?:[0-9]+/[0-9]+|[A-Z]{1,4}/[A-Z]{1,4})[.,;:)]*")
# Keys and hashes in base32, and handles and tasks in base64, have more characters.
_KEY = re.compile(r"[A-Za-z0-9_-]{22,}")


def nameless(text: str) -> str:
    """Return *text* without what looks like a cap, a key, a path or an address."""
    for pattern in (_QUOTED, _WORD):
        text = pattern.sub(_without_path, text)
    return _KEY.sub("(a key)", without_secrets(text))


def _without_path(match: re.Match[str]) -> str:
    text = match[0]
    is_path = ("/" in text or "\\" in text) and not _NO_PATH.fullmatch(text)
    return "(a path)" if is_path else text


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in line.replace("\t", " "))


def incident_text(head: str, report: str, lines: Sequence[str]) -> bytes:
    """Return what is in a file: at most ``MOST_BYTES``, with the newest of the *lines*."""
    said = nameless(report[: 2 * _MOST_REPORT])[:_MOST_REPORT].splitlines()
    shown = "\n".join(f"  {_printable(line)}" for line in said or ["(no details)"])
    above = f"{head}\n\nReport:\n{shown}\n\nLog:\n".encode()
    left, kept = MOST_BYTES - len(above), []
    for line in reversed(lines):
        data = f"{line}\n".encode()
        left -= len(data)
        if left < 0:
            break
        kept.append(data)
    return above + b"".join(reversed(kept))


def _log_line(event: Mapping[str, Any]) -> str:
    """Return an event of the log in one line."""
    when = datetime.fromtimestamp(float(event.get("log_time", 0.0)), timezone.utc)
    text = formatEvent(dict(event))
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        text += f": {failure.type.__name__ if failure.type else ''}: {failure.value}"
    text = nameless(" ".join(text[: 2 * _MOST_LINE].split()))[:_MOST_LINE]
    level = event.get("log_level", LogLevel.info).name
    source = f"{event.get('log_namespace', '')}#{level}"
    return _printable(f"{when:%Y-%m-%dT%H:%M:%S%z} [{source}] {text}")


def _store(place: Path, name: str, data: bytes) -> None:
    """Write a file, and remove all but the newest others.  :raises OSError:"""
    ensure_directories(place)
    # First, so that no crash leaves more.
    others = sorted(place.glob(_OURS), reverse=True)
    for other in others[MOST_FILES - 1 :]:
        other.unlink(missing_ok=True)
    write_durably(place / name, data)


@define(eq=False)
class IncidentFiles:
    """Stores what users report; ``start``, then ``stop``."""

    _place: Path
    _disk: Workers
    _now: Callable[[], float]  # seconds since 1970
    _random: Callable[[int], bytes]
    _about: str  # of the node: its version and the like
    _lines: deque[str] = field(factory=lambda: deque(maxlen=LINES), init=False, repr=False)
    _turns: Exclusive = field(factory=Exclusive, init=False, repr=False)
    _observer: Any = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._observer = self._observe

    def start(self) -> None:
        """Hear of what is logged."""
        globalLogPublisher.addObserver(self._observer)

    def stop(self) -> None:
        """Hear of nothing more; may be called twice."""
        globalLogPublisher.removeObserver(self._observer)

    async def save(self, report: str) -> bool:
        """Store a file; False: it cannot be, as the log says."""
        when = datetime.fromtimestamp(self._now(), timezone.utc)
        head = f"Reported on {when:%Y-%m-%d %H:%M:%S} UTC, of {self._about}"
        data = incident_text(head, report, list(self._lines))
        chosen = base32.encode(self._random(5))[:7]
        name = f"incident-{when:%Y-%m-%d--%H-%M-%S}Z-{chosen}.txt"
        try:
            # One after the other, so that each sees how many there are.
            async with self._turns.hold(self._place):
                await self._disk.run(_store, self._place, name, data)
        except OSError as error:
            fault = fault_of(error)
            reason = fault.value if fault else error.strerror
            log.warn("A report could not be stored in a file: {reason}", reason=reason)
            return False
        return True

    def _observe(self, event: Mapping[str, Any]) -> None:
        """Hear of an event, in whichever thread it is logged."""
        if event.get("log_level", LogLevel.info) >= LogLevel.info:
            self._lines.append(_log_line(event))
