"""The options of commands that read lines, and whether they do."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click
from attrs import frozen

from truckee.cli.session import jobs
from truckee.cli.walk_options import state_file


@frozen
class Lines:
    """How lines on standard input are worked on."""

    jobs: int  # in flight at each gateway
    gateways: Sequence[str]  # addresses of more of them
    state: str | None
    quiet: bool


def are_lines(paths: Sequence[str], lines: Lines) -> bool:
    """
    Tell whether there are lines on standard input, instead of *paths*.

    :raises UsageError: when there is neither, or options are of the other one.
    """
    if list(paths) == ["-"] or not (paths or _is_terminal()):
        return True
    if not paths:
        raise click.UsageError(
            "name a PATH, or give it lines: truckee manifest DIRECTORY | truckee "
            f"{click.get_current_context().info_name}"
        )
    if "-" in paths:
        raise click.UsageError("- is for lines on standard input, and goes with no PATH")
    if lines.state is not None or lines.gateways:
        raise click.UsageError("--state and --gateway are for lines on standard input")
    return False


def _is_terminal() -> bool:
    try:
        return sys.stdin.isatty()
    except (AttributeError, OSError, ValueError):
        return True  # it is closed: nobody can mean it


def of_lines(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of lines, as one argument."""

    @jobs
    @click.option(
        "--gateway",
        "gateways",
        metavar="URL",
        multiple=True,
        help="Of lines: one more gateway that does its part; may be repeated.",
    )
    @state_file
    @click.option("-q", "--quiet", is_flag=True, help="Of lines: no progress, no count.")
    @functools.wraps(command)
    def given(
        *args: Any,
        jobs: int,
        gateways: tuple[str, ...],
        state: str | None,
        quiet: bool,
        **options: Any,
    ) -> None:
        command(*args, lines=Lines(jobs, gateways, state, quiet), **options)

    return given
