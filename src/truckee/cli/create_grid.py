"""``truckee create-grid``."""

from __future__ import annotations

import click

from truckee.cli import options
from truckee.node.config import DEFAULT_STORAGE_DIRS, GridShape
from truckee.node.create import create_grid
from truckee.node.layout import NodeDirectory


@click.command("create-grid", short_help="Make a gateway with storage of its own.")
@options.nodedir
@options.webport
@click.option(
    "--storage-dirs",
    metavar="M",
    type=click.IntRange(1, 256),
    default=DEFAULT_STORAGE_DIRS,
    show_default=True,
    help="How many storage directories to make. Each can be moved to a disk of its own.",
)
@options.shares(GridShape(), "directories")
@options.nickname("truckee")
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
    shape = options.checked_shape(shares_needed, shares_happy, shares_total)
    if shares_happy > storage_dirs:
        raise click.UsageError(
            f"shares cannot be on {shares_happy} directories (--shares-happy) when there "
            f"are {storage_dirs} (--storage-dirs)"
        )
    with options.plain_errors():
        create_grid(NodeDirectory(nodedir), shape, webport, storage_dirs, nickname)
    click.echo(f"Made a {shape.needed}-of-{shape.total} grid in {nodedir}")
    click.echo(f"Start it with: truckee run {nodedir}")
