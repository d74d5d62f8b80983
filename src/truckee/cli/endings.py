"""How the process of a command ends, whatever happened in it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

import click

from truckee.cli.problems import FAILED, STOPPED, reason_within, sentence_of


def exit_code_of(work: Callable[[], object]) -> int:
    """Do *work*; return the exit code of the command, after its sentence was printed."""
    try:
        return _code(work())
    except (click.exceptions.Exit, SystemExit) as end:
        return _code(end.code if isinstance(end, SystemExit) else end.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return STOPPED
    except BrokenPipeError:  # a reader that has enough
        return FAILED
    except Exception as error:
        if not isinstance(error, click.ClickException):
            error = click.ClickException(sentence_of(error))
        _show(error)
        return error.exit_code


def _code(told: object) -> int:
    return told if isinstance(told, int) else 0


def _show(problem: click.ClickException) -> None:
    try:
        problem.show()
    except (OSError, AttributeError):
        return  # nobody hears it: the exit code tells


def prepare_process() -> None:
    """Let signals end a command as a Ctrl-C does, and let no name be unprintable."""
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def finish_process(code: int) -> int:
    """
    Print what waits to be printed, and return the exit code.

    The interpreter would do that later, and tell of an error in its own words.
    """
    # From here on there is nothing to clean up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        if code == 0:
            _show(click.ClickException(f"standard output: {reason_within(error)}"))
            code = FAILED
    for stream in (sys.stdout, sys.stderr):
        _forget(stream)
    return code


def _forget(stream: object) -> None:
    """Let what is left in the buffer of *stream* go nowhere."""
    try:
        stream.flush()  # type: ignore[attr-defined]
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[attr-defined]
        os.close(nowhere)
    except AttributeError:
        return  # it was closed from the start
