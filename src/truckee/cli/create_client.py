"""``truckee create-client``."""

from __future__ import annotations

import click

from truckee.cli import options
from truckee.node.config import GridShape
from truckee.node.create import create_node
from truckee.node.layout import NodeDirectory
from truckee.node.templates import client_config


@click.command("create-client", short_help="Make a gateway to a grid of other machines.")
@options.nodedir
@options.introducer
@options.webport
@options.shares(GridShape(3, 7, 10), "servers")
@options.nickname("truckee")
def create_client_command(
    nodedir: str,
    introducer: str,
    webport: str,
    shares_needed: int,
    shares_happy: int,
    shares_total: int,
    nickname: str,
) -> None:
    """
    Make a gateway in the new directory NODEDIR, for a grid of other machines.

    Start it with: truckee run NODEDIR
    """
    shape = options.checked_shape(shares_needed, shares_happy, shares_total)
    with options.plain_errors():
        config = client_config(nickname, webport, shape)
        create_node(NodeDirectory(nodedir), config, introducer)
    click.echo(f"Made a {shape.needed}-of-{shape.total} gateway in {nodedir}")
    click.echo(f"Start it with: truckee run {nodedir}")
