"""How far many transfers are: a line for all of them, and one for each large file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from attrs import define, field

from truckee.cli.problems import printable
from truckee.cli.progress import Bar, amount

_LEAST = 0.2  # seconds between two looks of it
_LINES = 4  # files that are shown
_LARGE = 1 << 20  # bytes of a file that is shown
_CUT, _WRAP = "\x1b[?7l", "\x1b[?7h"


@define(eq=False)
class Board:
    """Draws nothing where nobody looks: not on a terminal, or told to be quiet."""

    _stream: TextIO | None  # None: it is closed
    _now: Callable[[], float]
    _quiet: bool = False
    total: int | None = None  # bytes of all files, where that is known
    files: int = field(default=0, init=False)  # that were copied
    bytes: int = field(default=0, init=False)  # of them
    there: int = field(default=0, init=False)  # files that were there already
    _there_bytes: int = field(default=0, init=False)
    _active: dict[object, Bar] = field(factory=dict, init=False)
    _names: dict[object, str] = field(factory=dict, init=False)
    _under_way: dict[object, int] = field(factory=dict, init=False)  # bytes of each
    _began: float | None = field(default=None, init=False)
    _drawn: float = field(default=0.0, init=False)
    _lines: int = field(default=0, init=False)

    @property
    def is_seen(self) -> bool:
        """Whether anything is drawn."""
        if self._quiet or self._stream is None:
            return False
        try:
            return self._stream.isatty()
        except (OSError, ValueError):
            return False

    def begin(self, key: object, name: str, size: int | None) -> None:
        """A file is under way."""
        if self._began is None:
            self._began = self._now()
        if self.is_seen and (size is None or size >= _LARGE):
            self._active[key] = Bar(None, size, self._now)
            self._names[key] = printable(name)

    def moved(self, key: object, done: int) -> None:
        """So many bytes of this file are done."""
        self._under_way[key] = done
        if key in self._active:
            self._active[key].show(done)
        self._look()

    def end(self, key: object) -> None:
        """A file is not under way any more."""
        self._under_way.pop(key, None)
        self._active.pop(key, None)
        self._names.pop(key, None)

    def copied(self, size: int) -> None:
        """A file is copied."""
        self.files += 1
        self.bytes += size
        self._look()

    def was_there(self, size: int) -> None:
        """A file need not be copied."""
        self.there += 1
        self._there_bytes += size
        self._look()

    def tell(self, text: str) -> None:
        """Write a line for people that stays."""
        self.clear()
        if self._stream is not None:
            with suppress(OSError):
                self._stream.write(f"{text}\n")
                self._stream.flush()

    def summary(self, done: str) -> str:
        """Return what happened; *done* says what to the files."""
        text = f"{_files(self.files)} {done}, {amount(self.bytes)}"
        return f"{text}; {_files(self.there)} there already" if self.there else text

    def clear(self) -> None:
        """Leave the screen to others."""
        if self._lines:
            self._write(f"\x1b[{self._lines}F\x1b[J")
            self._lines = 0

    def _look(self) -> None:
        now = self._now()
        if not self.is_seen or now - self._drawn < _LEAST:
            return
        self._drawn = now
        room = max(0, shutil.get_terminal_size().lines - 2)
        lines = [self.line(now)]
        for key in list(self._active)[: min(_LINES, room)]:
            lines.append(f"  {self._names[key]}  {self._active[key].line(now)}")
        back = f"\x1b[{self._lines}F\x1b[J" if self._lines else ""
        self._lines = len(lines)
        self._write("".join((back, _CUT, *(f"{line}\n" for line in lines), _WRAP)))

    def line(self, now: float) -> str:
        """Return the line for all of it."""
        moved = self.bytes + sum(self._under_way.values())
        done = self._there_bytes + moved
        told = f"{_files(self.files + self.there)}, {amount(done)}"
        taken = 0.0 if self._began is None else now - self._began
        rate = moved / taken if taken > 0 else 0.0
        if self.total:
            told += f" of {amount(self.total)}, {min(100, done * 100 // self.total)}%"
        told += f"  {amount(int(rate))}/s"
        if self.total and rate > 0:
            seconds = max(0, int((self.total - done) / rate))
            told += f"  {seconds // 60}:{seconds % 60:02d} left"
        return told

    def _write(self, text: str) -> None:
        if self._stream is not None:
            with suppress(OSError):
                self._stream.write(text)
                self._stream.flush()


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
