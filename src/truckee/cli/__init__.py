"""The ``truckee`` command: one file for each subcommand."""

from __future__ import annotations

import click

from truckee import __version__
from truckee.cli.create_client import create_client_command
from truckee.cli.create_grid import create_grid_command
from truckee.cli.create_helper import create_helper_command
from truckee.cli.create_storage import create_storage_command
from truckee.cli.get import get_command
from truckee.cli.put import put_command
from truckee.cli.run import run_command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="truckee")
def main() -> None:
    """
    The streaming edge of a Tahoe-LAFS grid.

    \b
    Begin with:
      truckee run
    It makes a grid in ./truckee-node if there is none, starts it, and tells how to put a
    file into it and get it back.
    """


main.add_command(create_client_command)
main.add_command(create_grid_command)
main.add_command(create_helper_command)
main.add_command(create_storage_command)
main.add_command(get_command)
main.add_command(put_command)
main.add_command(run_command)
