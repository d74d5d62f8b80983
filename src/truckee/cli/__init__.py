"""The ``truckee`` command: one file for each subcommand."""

from __future__ import annotations

from importlib import import_module

import click

from truckee import __version__

_COMMANDS = (
    "create-client",
    "create-grid",
    "create-helper",
    "create-storage",
    "get",
    "put",
    "run",
    "status",
)


class _Commands(click.Group):
    """Imports the file of a command when it is needed: each needs other libraries."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(
            import_module(f"truckee.cli.{name}"), f"{name}_command"
        )
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
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
