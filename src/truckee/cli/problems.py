"""What a command ends with when it fails: a sentence in the user's terms, and a code."""

from __future__ import annotations

import contextlib
import errno
import os
import traceback
from pathlib import Path

import click

from truckee.errors import TruckeeError

# Exit codes, as docs/reference/commands.md has them.
FAILED, UNREACHABLE, NOT_FOUND, REFUSED = 1, 3, 4, 5
STOPPED = 130

_CURE = (
    "Does it run? Start it with truckee run, or name another gateway with -u URL or "
    "-d NODEDIR"
)
_NOWHERE = "the current directory is not there any more: change to another one"
_LONGEST = 600  # characters of what others wrote

# What the system's own words leave open.
_REASONS = {
    errno.ELOOP: "it is a symbolic link to itself, or there are too many of them",
    errno.EMFILE: "this process may open no more files: raise the limit (ulimit -n)",
    errno.ENFILE: "this machine has too many files open: close some programs",
    errno.ENOMEM: "there is not enough memory: close some programs",
    errno.EFBIG: "the file would be larger than this disk or ulimit -f permits",
    errno.ENOSPC: "No space left on device: make room on that disk",
    errno.EDQUOT: "Disk quota exceeded: make room on that disk",
}


class Problem(click.ClickException):
    """What a command ends with: a sentence, and its exit code."""

    exit_code: int  # type: ignore[misc]

    def __init__(self, text: str, code: int = FAILED) -> None:
        super().__init__(_one_line(text))
        self.exit_code = code


class Unreachable(Problem):
    """The gateway did not answer, or stopped answering; it may be tried again."""

    def __init__(self, reason: object, url: str = "", then: str = "") -> None:
        self.reason = str(reason)
        who = f"the gateway at {url}" if url else "the gateway"
        text = f"{who} does not answer ({reason}). {_CURE}. {then}".rstrip()
        super().__init__(text, UNREACHABLE)


def tell(text: str) -> None:
    """Print *text*, if there is any, for people; where nobody reads, that is no error."""
    if text:
        with contextlib.suppress(OSError):
            click.echo(text, err=True)


def printable(text: str) -> str:
    """Return what others wrote on one line of some length that cannot move the cursor."""
    return _one_line(" ".join(text.split()))[:_LONGEST]


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() or _is_odd_byte(c) else "?" for c in text)


def _is_odd_byte(character: str) -> bool:
    """Whether it stands for a byte of a name that is no UTF-8."""
    return "\udc80" <= character <= "\udcff"


def reason_within(error: OSError) -> str:
    """Return why the system refused, without the number and without the file."""
    known = _REASONS.get(error.errno or 0)
    if known is None and error.errno:
        # That of a subclass can be a number, or a message of the program's own.
        known = os.strerror(error.errno)
    return known or printable(str(error)) or type(error).__name__


def sentence_of(error: BaseException) -> str:
    """Return what to tell of *error*, whatever it is."""
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, TruckeeError):
        return _one_line(" ".join(str(error).split()))
    if isinstance(error, OSError):
        named = error.filename
        if named is None or isinstance(named, int):
            return _NOWHERE if _is_nowhere() else reason_within(error)
        return f"{os.fsdecode(named)}: {reason_within(error)}"
    if isinstance(error, MemoryError):
        return _REASONS[errno.ENOMEM]
    return (
        f"this is a fault of truckee itself ({type(error).__name__} in {_place(error)}). "
        "Please report it, with what you did"
    )


def _is_nowhere() -> bool:
    """Tell whether the directory in which the command began was removed."""
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "truckee" in Path(frame.filename).parts]
    for frame in reversed(ours or frames):
        return f"{Path(frame.filename).name}, line {frame.lineno}"
    return "an unknown place"
