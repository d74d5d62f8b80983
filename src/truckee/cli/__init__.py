"""The ``truckee`` command: one file for each subcommand."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Any

try:
    import click

    from truckee import __version__
    from truckee.cli.endings import exit_code_of, finish_process, prepare_process
except KeyboardInterrupt:  # while Python looked for them
    raise SystemExit(130) from None

_COMMANDS = (
    "account",
    "alias",
    "backup",
    "check",
    "cp",
    "create-client",
    "create-grid",
    "create-helper",
    "create-storage",
    "deep-check",
    "get",
    "ln",
    "ls",
    "manifest",
    "mkdir",
    "mv",
    "put",
    "renew",
    "repair",
    "restore",
    "rm",
    "run",
    "status",
    "storage",
    "sync",
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

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command; *standalone_mode*: end the process, with its exit code."""
        run = partial(
            super().main,
            args,
            prog_name,
            complete_var,
            standalone_mode=False,
            windows_expand_args=windows_expand_args,
            **extra,
        )
        if not standalone_mode:
            return run()
        own_process = args is None  # and not one of a test's
        if own_process:
            prepare_process()
        code = exit_code_of(run)
        sys.exit(finish_process(code) if own_process else code)


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
