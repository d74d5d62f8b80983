"""``truckee repair``."""

from __future__ import annotations

import click

from truckee.cli.check import check_paths
from truckee.cli.line_options import Lines, are_lines, of_lines
from truckee.cli.session import Session, with_session

# A repair that does not read all of the shares would leave those that are damaged.
_ARGS = {"verify": "true", "repair": "true"}


@click.command("repair", short_help="Make shares again that are missing or damaged.")
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print what the gateway tells.")
@of_lines
@with_session
def repair_command(
    session: Session, paths: tuple[str, ...], as_json: bool, lines: Lines
) -> None:
    """
    Make the shares of each PATH again that are missing or damaged.

    \b
    truckee repair photos:2026/first.jpg
    truckee deep-check --json photos: | truckee repair > repaired

    Every share is read and compared. Without a PATH, or with - alone, it reads the lines of
    truckee check or of deep-check --json on standard input, passes over what is healthy,
    and writes a line of JSON for each object that was not. Exits with 0 when all are
    healthy now, and with 1 otherwise.
    """
    if are_lines(paths, lines):
        # Twisted takes longer to load than a check of one file needs.
        from truckee.cli.line_command import run_lines  # noqa: PLC0415

        run_lines(session, lines, "repair", _ARGS, passes=True)
    else:
        check_paths(session, paths, _ARGS, as_json)
