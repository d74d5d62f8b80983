"""``truckee create-client``."""

from __future__ import annotations

import click

from truckee.cli import options
from truckee.node.config import GridShape
from truckee.node.create import create_node
from truckee.node.layout import NodeDirectory
from truckee.node.peers import check_furl
from truckee.node.templates import client_config


@click.command("create-client", short_help="Make a gateway to a grid of other machines.")
@options.nodedir
@options.introducer
@click.option(
    "--helper",
    metavar="FURL",
    default=None,
    callback=options.one_line,
    help="A helper that makes the shares: pb://…, from its private/helper.furl.",
)
@options.webport
@options.shares(GridShape(3, 7, 10), "servers")
@options.nickname("truckee")
def create_client_command(
    nodedir: str,
    introducer: str,
    helper: str | None,
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
        node = NodeDirectory(nodedir)
        if helper is not None:
            helper = check_furl(node.path, "--helper", helper)
        config = client_config(nickname, webport, shape, helper)
        create_node(node, config, introducer)
    click.echo(f"Made a {shape.needed}-of-{shape.total} gateway in {nodedir}")
    click.echo(f"Start it with: truckee run {nodedir}")
