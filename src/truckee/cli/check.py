"""``truckee check``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import click

from truckee.cli.checked import check, is_healthy, verdict
from truckee.cli.grid import Grid
from truckee.cli.line_options import Lines, are_lines, of_lines
from truckee.cli.problems import FAILED, Problem, Unreachable
from truckee.cli.session import Session, with_session


@click.command("check", short_help="See whether files have all their shares.")
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("--verify", is_flag=True, help="Read every share, which takes longer.")
@click.option("--repair", is_flag=True, help="Make again what is missing or damaged.")
@click.option("--add-lease", is_flag=True, help="Renew the leases meanwhile.")
@click.option("--json", "as_json", is_flag=True, help="Print what the gateway tells.")
@of_lines
@with_session
def check_command(
    session: Session,
    paths: tuple[str, ...],
    verify: bool,
    repair: bool,
    add_lease: bool,
    as_json: bool,
    lines: Lines,
) -> None:
    """
    See how many shares of each PATH are there; of a directory, those of its table.

    \b
    truckee check photos:2026 photos:2026/first.jpg
    truckee check --verify --repair photos:2026/first.jpg
    truckee manifest photos: --json | truckee check > results

    Without a PATH, or with - alone, it reads lines on standard input: those of truckee
    manifest, plain or JSON, or a cap in each. It writes a line of JSON for each, in their
    order. Exits with 0 when all are healthy, or were made so, and with 1 otherwise.
    """
    options = {"verify": verify, "repair": repair, "add-lease": add_lease}
    args = {name: "true" for name, wanted in options.items() if wanted}
    if are_lines(paths, lines):
        # Twisted takes longer to load than a check of one file needs.
        from truckee.cli.line_command import run_lines  # noqa: PLC0415

        run_lines(session, lines, "check", args, passes=False)
    else:
        check_paths(session, paths, args, as_json)


def check_paths(
    session: Session, paths: Sequence[str], args: Mapping[str, str], as_json: bool
) -> None:
    """
    Print what is found at each path.

    :raises SystemExit: when something is not healthy.
    """
    places = [session.path(text) for text in paths]
    sick = 0

    async def work(grid: Grid) -> None:
        nonlocal sick
        for place in places:
            try:
                told = await check(grid, place, args)
            except Unreachable:
                raise
            except Problem as problem:
                session.failed(problem)
                continue
            click.echo(json.dumps(told) if as_json else f"{place.shown}: {verdict(told)}")
            sick += not is_healthy(told)

    session.run(work)
    if sick:
        raise SystemExit(FAILED)
