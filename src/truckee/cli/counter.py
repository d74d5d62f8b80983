"""How far a command is that works on a whole tree, in one line on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress

from attrs import define, field

_LEAST = 0.2  # seconds between two looks


@define(eq=False)
class Counter:
    """Shows how many objects are done, how fast and, where known, for how long still."""

    _first: int  # objects that were done before
    _quiet: bool = False
    _now: Callable[[], float] = time.monotonic
    _begun: float = field(init=False)
    _begun_at: float = field(default=0.0, init=False)  # the part that was done then
    _drawn: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._begun = self._now()

    def begin(self, part: float) -> None:
        """Count the time from here on, when this *part* of 1 is done already."""
        self._begun, self._begun_at = self._now(), part

    def show(self, count: int, part: float | None = None) -> None:
        """Show that *count* objects are done, a *part* of 1 of all; None: unknown."""
        now = self._now()
        if now < self._drawn + _LEAST or not self._is_seen():
            return
        self._drawn = now
        self._draw(f"\r{self.line(count, part)}\x1b[K")

    def line(self, count: int, part: float | None = None) -> str:
        """Return what is shown."""
        taken = max(self._now() - self._begun, _LEAST)
        text = f"{count:,} objects, {(count - self._first) / taken:,.0f} a second"
        if part is None:
            return text
        text = f"{text}, {min(100, int(part * 100))}%"
        if part <= self._begun_at:
            return text
        left = int(taken * max(0.0, 1 - part) / (part - self._begun_at))
        hours, minutes = divmod(left // 60, 60)
        clock = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
        return f"{text}, {clock}:{left % 60:02d} left"

    def clear(self) -> None:
        """Leave the line to others."""
        if self._drawn:
            self._draw("\r\x1b[K")
            self._drawn = 0.0

    def _draw(self, text: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()

    def _is_seen(self) -> bool:
        if self._quiet:
            return False
        try:
            return sys.stderr.isatty() and not sys.stdout.isatty()
        except (AttributeError, OSError, ValueError):
            return False
