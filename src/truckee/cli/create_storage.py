"""``truckee create-storage``."""

from __future__ import annotations

import click

from truckee.cli import options
from truckee.flow.sizes import parse_size
from truckee.node.create import create_node
from truckee.node.layout import NodeDirectory
from truckee.node.templates import storage_config


@click.command("create-storage", short_help="Make a storage server for a grid.")
@options.nodedir
@options.introducer
@options.port
@options.location
@click.option(
    "--reserved-space",
    metavar="SIZE",
    default="1G",
    callback=options.one_line,
    show_default=True,
    help="Disk space that shares never use, as in 5G or 512MiB.",
)
@options.nickname("truckee")
def create_storage_command(
    nodedir: str,
    introducer: str,
    port: str,
    location: str,
    reserved_space: str,
    nickname: str,
) -> None:
    """
    Make a storage server in the new directory NODEDIR.

    Its shares are kept in NODEDIR/storage. Start it with: truckee run NODEDIR
    """
    try:
        parse_size(reserved_space)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--reserved-space") from None
    with options.plain_errors():
        config = storage_config(nickname, port, location, reserved_space)
        create_node(NodeDirectory(nodedir), config, introducer)
    click.echo(f"Made a storage server in {nodedir}")
    click.echo(f"Start it with: truckee run {nodedir}")
