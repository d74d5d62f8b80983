"""How far a transfer is, on one line of a terminal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from attrs import define, field

_WIDTH = 30  # characters of the bar
_UNWRAPPED, _WRAPPED = "\x1b[?7l", "\x1b[?7h"
_LEAST = 0.2  # seconds between two looks of it


@define(eq=False)
class Bar:
    """Draws nothing where nobody looks: not on a terminal, or told to be quiet."""

    _stream: TextIO | None  # None: it is closed
    size: int | None  # bytes, if that is known
    _now: Callable[[], float]
    _quiet: bool = False
    _done: int = field(default=0, init=False)
    _start: tuple[float, int] | None = field(default=None, init=False)
    _drawn: float = field(default=0.0, init=False)
    _noted: str = field(default="", init=False)

    def show(self, done: int) -> None:
        """So many bytes are done, or more."""
        self._done = max(self._done, done)
        now = self._now()
        if self._start is None:
            self._start = now, self._done
        if now - self._drawn < _LEAST or self._noted:
            return
        self._drawn = now
        self._draw(self.line(now))

    def note(self, text: str, kind: str) -> None:
        """
        Tell of what stops the transfer, instead of how far it is.

        A terminal shows each *text*, a log the first of each *kind*.
        """
        before, self._noted = self._noted, kind
        if self._quiet:
            return
        if self._is_terminal:
            self._draw(text)
        elif kind != before:
            self._write(f"{text}\n")

    def resumed(self, text: str) -> None:
        """What was noted is over."""
        if self._noted:
            self._noted = ""
            self._start = None  # the rate begins anew
            if not self._quiet and not self._is_terminal:
                self._write(f"{text}\n")

    @property
    def _is_terminal(self) -> bool:
        try:
            return self._stream is not None and self._stream.isatty()
        except (OSError, ValueError):
            return False

    def _draw(self, line: str) -> None:
        if not self._quiet and self._is_terminal:
            # A line that is too long would leave its first half behind.
            self._write(f"\r{_UNWRAPPED}{line}\x1b[K{_WRAPPED}")

    def _write(self, text: str) -> None:
        """Write for people; a transfer does not fail because nobody reads how far it is."""
        if self._stream is not None:
            with suppress(OSError):
                self._stream.write(text)
                self._stream.flush()

    def line(self, now: float) -> str:
        """Return what is drawn."""
        began, before = self._start or (now, 0)
        taken = now - began
        rate = (self._done - before) / taken if taken > 0 else 0.0
        told = f"{amount(self._done)}"
        if self.size:
            part = min(1.0, self._done / self.size)
            bar = "#" * int(part * _WIDTH)
            told = f"[{bar:<{_WIDTH}}] {int(part * 100):3d}% {told}/{amount(self.size)}"
        told += f"  {amount(int(rate))}/s"
        if self.size and rate > 0:
            seconds = int((self.size - self._done) / rate)
            told += f"  {seconds // 60}:{seconds % 60:02d} left"
        return told

    def end(self) -> None:
        """Leave the line to others."""
        self._draw("")


def amount(size: int) -> str:
    """Return *size* bytes for people."""
    number = float(size)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 999.95 or unit == "TB":
            return f"{size} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError
