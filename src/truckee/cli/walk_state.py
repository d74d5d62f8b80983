"""
How far a command is in a tree or in lines, in a file, so that it can be repeated.

The file has a cursor, numbers and how long the output was; no cap.  Only its owner can read
it.  Source: ``docs/reference/commands.md``, "truckee manifest".
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from attrs import define, field

from truckee.cli.problems import Problem, reason_within
from truckee.flow.durable import remove_durably, write_durably

_EACH = 1.0  # seconds
_FORMAT = 1


@define(eq=False)
class WalkState:
    """What is known of one command; without a *path* it is forgotten with it."""

    _path: Path | None
    _of: str  # which command it is
    _now: Callable[[], float]
    cursor: str = field(default="", init=False)
    counts: dict[str, int] = field(factory=dict, init=False)
    _saved: float = field(default=0.0, init=False)

    @classmethod
    def open(cls, path: str | None, walk: str, now: Callable[[], float]) -> WalkState:
        """
        Return where *walk* was, which is named by its command, options and directory.

        Output that is a file is cut to where it was then.

        :raises Problem: when the file cannot be used, is of another command, or the output
            has not all that was written.
        """
        state = cls(None if path is None else Path(path), _digest(walk), now)
        state._load()
        return state

    def _load(self) -> None:
        if self._path is None:
            return
        try:
            told = json.loads(self._path.read_bytes())
            if told["truckee-walk"] != _FORMAT:
                raise ValueError
            of, self.cursor, self.counts = told["of"], told["cursor"], dict(told["counts"])
            output = told["output"]
        except FileNotFoundError:
            self._write()  # so that what a kill leaves in the output is known from now on
            return
        except OSError as error:
            raise Problem(f"cannot read {self._path}: {reason_within(error)}") from None
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Problem(
                f"{self._path} is no state of a command, or damaged: name another file, or "
                "remove it to start over"
            ) from None
        if of != self._of:
            raise Problem(
                f"{self._path} is of another command: repeat that with the same arguments "
                "and options, or name another file"
            )
        if output is None or not _is_file():
            return
        if _length() < output:
            raise Problem(
                f"the output is shorter than {self._path} says: continue in the same "
                "file, with >> FILE, or remove the state to start over"
            )
        os.ftruncate(sys.stdout.fileno(), output)

    def note(self) -> None:
        """Save it, if that is due."""
        if self._path is not None and self._now() >= self._saved + _EACH:
            self.save()

    def save(self) -> None:
        """
        Save it; before the first line there is nothing to continue.

        :raises Problem: when the disk does not take it.
        """
        if self._path is None:
            return
        if not self.cursor:
            self.finish()
            return
        self._saved = self._now()
        self._write()

    def _write(self) -> None:
        assert self._path is not None
        sys.stdout.flush()
        if _is_file():
            # Or after a power cut the state would be ahead of the output.
            os.fsync(sys.stdout.fileno())
        told = {
            "truckee-walk": _FORMAT,
            "of": self._of,
            "cursor": self.cursor,
            "counts": self.counts,
            "output": _length() if _is_file() else None,
        }
        try:
            write_durably(self._path, json.dumps(told).encode())
        except OSError as error:
            raise Problem(f"cannot write {self._path}: {reason_within(error)}") from None

    def finish(self) -> None:
        """It is over: nothing is left to continue."""
        if self._path is not None and self._path.exists():
            remove_durably(self._path)


def _digest(walk: str) -> str:
    # The directory is a part of it, so that it is no way to a cap.
    return sha256(b"truckee walk\n" + walk.encode("utf-8", "surrogateescape")).hexdigest()


def _is_file() -> bool:
    try:
        return stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _length() -> int:
    return os.fstat(sys.stdout.fileno()).st_size
