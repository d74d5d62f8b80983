"""The options of commands for whole trees."""

from __future__ import annotations

import click

state_file = click.option(
    "--state",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Note in FILE how far it is; repeated with it, the command continues.",
)
