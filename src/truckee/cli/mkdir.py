"""``truckee mkdir``."""

from __future__ import annotations

import click

from truckee.cli.grid import Grid
from truckee.cli.problems import NOT_FOUND, Problem
from truckee.cli.session import Session, with_session


@click.command("mkdir", short_help="Make directories.")
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("-p", "--parents", is_flag=True, help="Also those above; existing ones stay.")
@click.option(
    "--format",
    "layout",
    type=click.Choice(["SDMF", "MDMF"], case_sensitive=False),
    default=None,
    help="How it is stored; MDMF for one that becomes very large.",
)
@with_session
def mkdir_command(
    session: Session, paths: tuple[str, ...], parents: bool, layout: str | None
) -> None:
    """
    Make a directory at each PATH; without one, make one and print its cap.

    \b
    truckee mkdir photos:2026
    truckee mkdir -p photos:2026/january/raw
    truckee mkdir > new.cap                   # in no other directory; keep the cap
    """
    args = {"t": "mkdir", **({"format": layout.lower()} if layout else {})}
    places = [session.path(text) for text in paths]

    async def work(grid: Grid) -> None:
        if not places:
            click.echo(await grid.change("mkdir", "POST", "uri", args))
        for place in places:
            if not place.names:
                if not parents:
                    raise Problem(f"{place.shown} is a directory already")
            elif parents:
                await grid.change(place.shown, "POST", place.url, args)
            else:
                named = {"name": place.name, "replace": "false", **args}
                if await grid.look(place.parent) is None:
                    raise Problem(
                        f"{place.parent.shown}: there is no such directory; -p makes it",
                        NOT_FOUND,
                    )
                await grid.change(place.shown, "POST", place.parent.url, named)

    session.run(work)
