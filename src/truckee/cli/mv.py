"""``truckee mv``."""

from __future__ import annotations

import click

from truckee.cli.grid import Grid
from truckee.cli.grid_path import GridPath
from truckee.cli.problems import Problem
from truckee.cli.session import Session, with_session
from truckee.cli.targets import place_for


@click.command("mv", short_help="Move and rename in the grid.")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.argument("target", metavar="TARGET")
@with_session
def mv_command(session: Session, sources: tuple[str, ...], target: str) -> None:
    """
    Move each SOURCE into the directory TARGET, or give one SOURCE the name TARGET.

    \b
    truckee mv photos:img1.jpg photos:2026/first.jpg
    truckee mv photos:a.jpg photos:b.jpg photos:2026

    A file of that name is replaced, a directory never. No bytes are moved: it is linked
    at its new place, then removed from the old one.
    """
    places = [session.path(text) for text in sources]
    end = session.path(target)

    async def work(grid: Grid) -> None:
        for place in places:
            if not place.names:
                raise Problem(f"{place.shown} is in no directory: truckee ln links it")
            await _move(
                grid, place, await place_for(grid, end, place.name, len(places) > 1)
            )

    session.run(work)


async def _move(grid: Grid, source: GridPath, target: GridPath) -> None:
    same = source.root == target.root
    if same and source.names == target.names:
        return
    if same and target.names[: len(source.names)] == source.names:
        raise Problem(f"{source.shown} cannot be moved into itself")
    args = {
        "t": "relink",
        "from_name": source.name,
        "to_name": target.name,
        "replace": "only-files",
    }
    if not (same and source.names[:-1] == target.names[:-1]):
        # A path behind a cap is not percent-encoded there, but as a whole.
        args["to_dir"] = "/".join((target.root, *target.names[:-1]))
    await grid.change(source.shown, "POST", source.parent.url, args)
