"""``truckee manifest``."""

from __future__ import annotations

import json

import click

from truckee.cli.problems import FAILED
from truckee.cli.session import Session, with_session
from truckee.cli.walk_options import state_file
from truckee.cli.walking import Unit, path_of, walk


@click.command("manifest", short_help="List all that is below a directory.")
@click.argument("directory", metavar="[DIRECTORY]", required=False)
@click.option("--storage-index", "column", flag_value="storage-index", help="Only these.")
@click.option("--verify-cap", "column", flag_value="verifycap", help="Only these.")
@click.option("--repair-cap", "column", flag_value="repaircap", help="Only these.")
@click.option("--json", "as_json", is_flag=True, help="Print what the gateway tells.")
@state_file
@with_session
def manifest_command(
    session: Session,
    directory: str | None,
    column: str | None,
    as_json: bool,
    state: str | None,
) -> None:
    """
    List the caps and paths of all that is below DIRECTORY, each object once.

    \b
    truckee manifest photos:2026
    truckee manifest photos: --state walk >> all    repeat it after a break

    A break of the gateway is waited for. Exits with 1 when a directory could not be read;
    the others are listed.
    """

    def show(unit: Unit, counts: dict[str, int]) -> str:
        if "error" in unit:
            counts["unreadable"] = counts.get("unreadable", 0) + 1
            session.tell(f"Error: {path_of(unit) or 'the directory'}: {unit['error']}")
        if as_json:
            return json.dumps(unit)
        return str(unit[column]) if column else f"{unit['cap']} {path_of(unit)}"

    args = {"t": "stream-manifest"}
    counts = walk(session, directory, args, state, show, lambda _: "")
    if counts.get("unreadable"):
        raise SystemExit(FAILED)
