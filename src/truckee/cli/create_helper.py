"""``truckee create-helper``."""

from __future__ import annotations

import click

from truckee.cli import options
from truckee.node.config import GridShape
from truckee.node.create import create_node
from truckee.node.layout import NodeDirectory
from truckee.node.templates import helper_config


@click.command("create-helper", short_help="Make a helper: gateways push ciphertext to it.")
@options.nodedir
@options.introducer
@options.port
@options.location
@click.option(
    "--webport",
    metavar="STRPORT",
    default=None,
    callback=options.one_line,
    help="Where its status page (and a gateway) listens.  [default: nowhere]",
)
@options.shares(GridShape(3, 7, 10), "servers")
@options.nickname("truckee helper")
def create_helper_command(
    nodedir: str,
    introducer: str,
    port: str,
    location: str,
    webport: str | None,
    shares_needed: int,
    shares_happy: int,
    shares_total: int,
    nickname: str,
) -> None:
    """
    Make a helper in the new directory NODEDIR.

    A gateway on a thin line sends each byte to it once; the helper makes the shares. It
    never sees a key. Put it where its line to the servers is good. Start it with: truckee
    run NODEDIR. Its address is then in NODEDIR/private/helper.furl, for

    \b
      truckee create-client --helper FURL ...
    """
    shape = options.checked_shape(shares_needed, shares_happy, shares_total)
    with options.plain_errors():
        config = helper_config(nickname, webport, port, location, shape)
        create_node(NodeDirectory(nodedir), config, introducer)
    click.echo(f"Made a helper in {nodedir}")
    click.echo(f"Start it with: truckee run {nodedir}")
    click.echo(f"Gateways need what is then in {nodedir}/private/helper.furl")
