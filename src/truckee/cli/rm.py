"""``truckee rm``."""

from __future__ import annotations

import click

from truckee.cli.grid import Grid
from truckee.cli.grid_path import GridPath
from truckee.cli.problems import NOT_FOUND, Problem, Unreachable
from truckee.cli.session import Session, with_session


@click.command("rm", short_help="Remove files and directories from their directories.")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("-r", "--recursive", is_flag=True, help="Also directories.")
@click.option("-f", "--force", is_flag=True, help="What is not there is no error.")
@with_session
def rm_command(
    session: Session, paths: tuple[str, ...], recursive: bool, force: bool
) -> None:
    """
    Remove each PATH from the directory it is in.

    \b
    truckee rm photos:2026/blurred.jpg
    truckee rm -r photos:2025

    Only the link goes. What it led to is in the grid until its leases expire, and who has
    its cap can still read it.
    """
    places = [session.path(text) for text in paths]

    async def work(grid: Grid) -> None:
        for place in places:
            try:
                await _remove(grid, place, recursive)
            except Unreachable:
                raise
            except Problem as problem:
                if not (force and problem.exit_code == NOT_FOUND):
                    session.failed(problem)

    session.run(work)


async def _remove(grid: Grid, place: GridPath, recursive: bool) -> None:
    if not place.names:
        raise Problem(f"{place.shown} is in no directory; truckee alias remove forgets it")
    found = await grid.find(place)
    if found.is_directory and not recursive:
        raise Problem(f"{place.shown} is a directory: -r removes it and all that is in it")
    await grid.change(place.shown, "DELETE", place.url, {})
