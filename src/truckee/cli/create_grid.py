"""``truckee create-grid``."""

from __future__ import annotations

import click

from truckee.errors import TruckeeError
from truckee.node.config import DEFAULT_STORAGE_DIRS, DEFAULT_WEB_PORT, GridShape
from truckee.node.create import create_grid
from truckee.node.layout import NodeDirectory

_SHAPE = GridShape()


def _one_line(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Refuse what would be more than its own line in ``tahoe.cfg``."""
    if len(value.splitlines()) > 1:
        raise click.BadParameter("it must be one line", context, parameter)
    return value


@click.command("create-grid", short_help="Make a gateway with storage of its own.")
@click.argument("nodedir", metavar="NODEDIR", type=click.Path(file_okay=False))
@click.option(
    "--webport",
    metavar="STRPORT",
    default=DEFAULT_WEB_PORT,
    callback=_one_line,
    show_default=True,
    help="Where the web API listens: a Twisted endpoint.",
)
@click.option(
    "--storage-dirs",
    metavar="M",
    type=click.IntRange(1, 256),
    default=DEFAULT_STORAGE_DIRS,
    show_default=True,
    help="How many storage directories to make. Each can be moved to a disk of its own.",
)
@click.option(
    "--shares-needed",
    metavar="K",
    type=int,
    default=_SHAPE.needed,
    show_default=True,
    help="How many shares give a file back.",
)
@click.option(
    "--shares-happy",
    metavar="H",
    type=int,
    default=_SHAPE.happy,
    show_default=True,
    help="On how many directories shares must be for an upload to succeed.",
)
@click.option(
    "--shares-total",
    metavar="N",
    type=int,
    default=_SHAPE.total,
    show_default=True,
    help="How many shares each file has.",
)
@click.option(
    "--nickname",
    metavar="S",
    default="truckee",
    callback=_one_line,
    show_default=True,
    help="The node's name.",
)
def create_grid_command(
    nodedir: str,
    webport: str,
    storage_dirs: int,
    shares_needed: int,
    shares_happy: int,
    shares_total: int,
    nickname: str,
) -> None:
    """
    Make a grid in the new directory NODEDIR: a gateway with its own storage.

    Start it with: truckee run NODEDIR
    """
    try:
        shape = GridShape(shares_needed, shares_happy, shares_total)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if shares_happy > storage_dirs:
        raise click.UsageError(
            f"shares cannot be on {shares_happy} directories (--shares-happy) when there "
            f"are {storage_dirs} (--storage-dirs)"
        )
    try:
        create_grid(NodeDirectory(nodedir), shape, webport, storage_dirs, nickname)
    except TruckeeError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from None
    click.echo(f"Made a {shape.needed}-of-{shape.total} grid in {nodedir}")
    click.echo(f"Start it with: truckee run {nodedir}")
