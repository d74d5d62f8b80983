"""What the commands that make nodes have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from truckee.cli.problems import sentence_of
from truckee.errors import TruckeeError
from truckee.node.config import DEFAULT_WEB_PORT, GridShape
from truckee.node.config_values import parse_tub_port

F = TypeVar("F", bound=Callable[..., Any])

nodedir = click.argument("nodedir", metavar="NODEDIR", type=click.Path(file_okay=False))


def one_line(_context: click.Context, parameter: click.Parameter, text: str) -> str:
    """Refuse a value that would be more than one line of ``tahoe.cfg``."""
    if text is not None and not text.isprintable():
        raise click.BadParameter("it must be one line of printable text", param=parameter)
    return text


def nickname(default: str) -> Callable[[F], F]:
    """The node's name."""
    return click.option(
        "--nickname",
        metavar="S",
        default=default,
        callback=one_line,
        show_default=True,
        help="The node's name.",
    )


webport = click.option(
    "--webport",
    metavar="STRPORT",
    default=DEFAULT_WEB_PORT,
    callback=one_line,
    show_default=True,
    help="Where the web API listens: a Twisted endpoint.",
)


def shares(shape: GridShape, places: str) -> Callable[[F], F]:
    """Options for k, H and N; *shape* has the defaults."""

    def add(command: F) -> F:
        for name, metavar, default, text in (
            ("total", "N", shape.total, "How many shares each file has."),
            (
                "happy",
                "H",
                shape.happy,
                f"On how many {places} shares must be for an upload to succeed.",
            ),
            ("needed", "K", shape.needed, "How many shares give a file back."),
        ):
            option = click.option(
                f"--shares-{name}",
                metavar=metavar,
                type=int,
                default=default,
                show_default=True,
                help=text,
            )
            command = option(command)
        return command

    return add


def _reached(context: click.Context, parameter: click.Parameter, text: str) -> str:
    """Refuse what means that nobody can connect."""
    if text.strip().lower() in ("", "disabled", "none"):
        raise click.BadParameter("other nodes must reach it", param=parameter)
    return one_line(context, parameter, text)


def _port(context: click.Context, parameter: click.Parameter, text: str) -> str:
    """Refuse what means that nobody can connect, or not after the next start."""
    text = _reached(context, parameter, text)
    try:
        parse_tub_port(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param=parameter) from None
    return text


port = click.option(
    "--port",
    metavar="STRPORT",
    required=True,
    callback=_port,
    help="Where other nodes reach it: a Twisted endpoint such as tcp:8099.",
)

location = click.option(
    "--location",
    metavar="HINT",
    required=True,
    callback=_reached,
    help="What other nodes are told: tcp:HOST:PORT, several with commas, or AUTO.",
)

introducer = click.option(
    "--introducer",
    metavar="FURL",
    required=True,
    callback=one_line,
    help="The grid's introducer: pb://…",
)


def checked_shape(needed: int, happy: int, total: int) -> GridShape:
    """Return the shape that the options name.  :raises UsageError:"""
    try:
        return GridShape(needed, happy, total)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


@contextmanager
def plain_errors() -> Iterator[None]:
    """Let a command end with a sentence and the exit code 1."""
    try:
        yield
    except (TruckeeError, OSError) as error:
        raise click.ClickException(sentence_of(error)) from None
