"""``truckee ln``."""

from __future__ import annotations

import click

from truckee.cli.grid import Grid
from truckee.cli.problems import Problem
from truckee.cli.session import Session, with_session
from truckee.cli.targets import place_for


@click.command("ln", short_help="Link a file or directory at one more place.")
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@click.option("--read-only", is_flag=True, help="Without the right to change it.")
@with_session
def ln_command(session: Session, source: str, target: str, read_only: bool) -> None:
    """
    Link SOURCE, a path or a cap, as TARGET, or in the directory TARGET.

    \b
    truckee ln photos:2026 shared:photos
    truckee ln --read-only photos:2026 shared:photos
    truckee ln --root photo.cap / photos:photo.jpg    # a cap that is in a file

    A link is as good as any other one: there is no original. A file of that name is
    replaced, a directory never.
    """
    place, end = session.path(source), session.path(target)

    async def work(grid: Grid) -> None:
        found = await grid.find(place)
        cap = found.read_cap if read_only else found.cap
        if not cap:
            raise Problem(f"{place.shown} has no cap that could be linked")
        await grid.link(await place_for(grid, end, place.name, several=False), cap)

    session.run(work)
