"""``truckee deep-check``."""

from __future__ import annotations

import json

import click
from attrs import frozen

from truckee.cli.checked import is_healthy, verdict
from truckee.cli.problems import FAILED
from truckee.cli.session import Session, with_session
from truckee.cli.walk_options import state_file
from truckee.cli.walking import Unit, path_of, walk


@click.command("deep-check", short_help="See whether all below a directory is healthy.")
@click.argument("directory", metavar="[DIRECTORY]", required=False)
@click.option("--verify", is_flag=True, help="Read every share, which takes longer.")
@click.option("--repair", is_flag=True, help="Make again what is missing or damaged.")
@click.option("--add-lease", is_flag=True, help="Renew the leases meanwhile.")
@click.option("-v", "--verbose", is_flag=True, help="Report what is healthy, too.")
@click.option("--json", "as_json", is_flag=True, help="Print what the gateway tells.")
@state_file
@with_session
def deep_check_command(
    session: Session,
    directory: str | None,
    verify: bool,
    repair: bool,
    add_lease: bool,
    verbose: bool,
    as_json: bool,
    state: str | None,
) -> None:
    """
    See how many shares of all that is below DIRECTORY are there.

    \b
    truckee deep-check photos:
    truckee deep-check photos: --verify --repair --state walk    repeat it after a break

    Tells of what is not healthy, or was not, and of the numbers. Exits with 0 when all is
    healthy, or was made so, and with 1 otherwise.
    """
    options = {"verify": verify, "repair": repair, "add-lease": add_lease}
    wanted = {name: "true" for name, given in options.items() if given}

    look = _Look(verbose, as_json)
    args = {"t": "stream-deep-check", **wanted}
    counts = walk(session, directory, args, state, look.show, look.finish)
    if counts.get("not healthy") or counts.get("unreadable"):
        raise SystemExit(FAILED)


@frozen
class _Look:
    """How things are shown."""

    _verbose: bool
    _as_json: bool

    def show(self, unit: Unit, counts: dict[str, int]) -> str:
        """Return the line of one object, and count it."""
        told = unit.get("check-and-repair-results") or unit["check-results"]
        if "results" not in told and "post-repair-results" not in told:
            told = {"results": {"healthy": True}}  # what is in its cap, with repair
        kind = _kind(unit, told)
        counts[kind] = counts.get(kind, 0) + 1
        if self._as_json:
            return json.dumps(unit)
        path = path_of(unit) or "."
        if "error" in unit:
            return f"{path}: {verdict(told)}; {unit['error']}"
        return f"{path}: {verdict(told)}" if self._verbose or kind != "healthy" else ""

    def finish(self, counts: dict[str, int]) -> str:
        """Return the last line."""
        parts = [
            f"{counts[kind]:,} {kind}"
            for kind in ("healthy", "repaired", "not healthy", "unreadable")
            if counts.get(kind)
        ]
        return "" if self._as_json else f"{counts['objects']:,} objects: {', '.join(parts)}"


def _kind(unit: Unit, told: Unit) -> str:
    if "error" in unit and unit["type"] == "directory":
        return "unreadable"
    if not is_healthy(told):
        return "not healthy"
    return "repaired" if told.get("repair-successful") else "healthy"
