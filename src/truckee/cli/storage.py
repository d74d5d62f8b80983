"""``truckee storage``: the storage directories of a grid of its own."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click
from attrs import frozen
from twisted.internet.defer import Deferred

from truckee.cli import options
from truckee.cli.finding import find_gateway
from truckee.cli.gateway import Gateway
from truckee.cli.problems import Problem
from truckee.cli.progress import amount
from truckee.cli.reacting import run
from truckee.codec import base32
from truckee.node.directory_changes import Change, add_directory, replace_directory
from truckee.node.directory_look import OwnGrid, count_shares
from truckee.node.directory_record import DirectoryRecord
from truckee.node.layout import DEFAULT_NODEDIR, NodeDirectory
from truckee.storage.directory_status import FINE, DirectoryStatus

_PATIENCE = 5.0  # seconds for the node's own answer
_MOST = 4 << 20  # bytes of it

node_directory = click.option(
    "-d",
    "--node-directory",
    metavar="NODEDIR",
    type=click.Path(file_okay=False),
    help="The node, instead of ./truckee-node or else ~/.tahoe.",
)


@click.group("storage", short_help="List, add and replace storage directories.")
def storage_command() -> None:
    """
    The storage directories of a grid of its own, each of which can have its own disk.

    \b
    truckee storage list                   how each is: fine, missing, another disk, ...
    truckee storage add PATH               use one more
    truckee storage replace 2 PATH         put a new one in the place of number 2

    When a disk dies: replace its directory by one on a new disk (at the same path, or at
    another one), restart the node, and repair each file that you have a cap of:

    \b
    curl -X POST "http://127.0.0.1:3456/uri/CAP?t=check&repair=true"
    """


_PATH = click.Path(path_type=Path)


@storage_command.command("add", short_help="Use one more storage directory.")
@node_directory
@click.argument("path", type=_PATH)
def add_command(node_directory: str | None, path: Path) -> None:
    """
    Make PATH, an empty or new directory, one more storage directory of a node.

    It is written into tahoe.cfg, and used from the next start of the node on. Files that
    are stored already have no shares there until they are repaired.
    """
    node = named_node(node_directory)
    with options.plain_errors():
        done = add_directory(node, _absolute(path))
    click.echo(f"{path} is storage directory {done.number}.")
    _tell_shared(done)
    click.echo(_starting(node))


@storage_command.command("replace", short_help="Put a new directory in one's place.")
@node_directory
@click.option("--force", is_flag=True, help="Also one that is fine, or full.")
@click.argument("old")
@click.argument("path", metavar="NEWPATH", type=_PATH)
def replace_command(node_directory: str | None, force: bool, old: str, path: Path) -> None:
    """
    Put NEWPATH in the place of the storage directory OLD, whose disk is gone or broken.

    OLD is its number, its path or its id, as truckee storage list has them. NEWPATH is
    an empty or new directory: that of a new disk at the same path, or another one. The
    shares of OLD are not there, so restart the node and repair each file afterwards. OLD
    is not used again, should it come back.
    """
    node = named_node(node_directory)
    with options.plain_errors():
        done = replace_directory(node, old, _absolute(path), force)
    click.echo(f"{path} takes the place of storage directory {done.number}.")
    _tell_shared(done)
    if done.left < done.needed:
        click.echo(
            f"Warning: {done.needed} shares give a file back, and only {done.left} other "
            "directories are there: keep the old disk, and mount the others before you "
            "repair, or files are lost."
        )
    url = node_url_of(node) or "http://127.0.0.1:3456/"
    click.echo(
        f"Next:\n  1. {_starting(node)}\n"
        "  2. Repair each file that you have a cap of, which makes its lost shares again:\n"
        f'       curl -X POST "{url}uri/CAP?t=check&repair=true"\n'
        "Keep the old disk until that is done, if it can still be read."
    )


def _absolute(path: Path) -> Path:
    # Not resolved: the operator's links may lead elsewhere one day.
    return Path(os.path.abspath(path))


def _tell_shared(done: Change) -> None:
    if done.shared:
        others = ", ".join(map(str, done.shared))
        click.echo(
            f"Note: it is on the same disk as storage directory {others}; when that disk "
            "dies, the shares of all of them are lost."
        )


def _starting(node: NodeDirectory) -> str:
    if ask_node(node) is not None:
        return "Restart the node, which uses the old list until then."
    return f"Start the node: truckee run {node.path}"


def node_url_of(node: NodeDirectory) -> str:
    """Return where the web API is or was last; empty: that is not known."""
    with suppress(Problem):
        return find_gateway(None, str(node.path))
    return ""


def named_node(nodedir: str | None) -> NodeDirectory:
    """Return the node that is meant, which is there.  :raises ClickException:"""
    usual = (DEFAULT_NODEDIR, os.path.join(os.path.expanduser("~"), ".tahoe"))
    named = nodedir or next(
        (each for each in usual if os.path.exists(os.path.join(each, "tahoe.cfg"))),
        DEFAULT_NODEDIR,
    )
    node = NodeDirectory(named)
    with options.plain_errors():
        node.check()
    return node


@frozen
class _Row:
    """One directory, as it is shown."""

    status: DirectoryStatus
    path: Path
    shares: int | None
    waits: bool  # the node runs, and does not use it yet

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "name": self.status.name,
            "id": self.status.identity,
            "path": str(self.path),
            "state": self.status.state,
            "size": self.status.size,
            "free": self.status.free,
            "shares": self.shares,
            "waits_for_restart": self.waits,
        }

    def cells(self, number: int) -> list[str]:
        """Return it for people."""
        state = self.status.state + (" (after a restart)" if self.waits else "")
        sizes = (self.status.free, self.status.size)
        return [
            str(number),
            state,
            *("-" if size is None else amount(size) for size in sizes),
            "-" if self.shares is None else str(self.shares),
            (self.status.identity or "-")[:8],
            str(self.path),
        ]


@storage_command.command("list", short_help="Show how each storage directory is.")
@node_directory
@click.option("--json", "as_json", is_flag=True, help="Print it for programs.")
def list_command(node_directory: str | None, as_json: bool) -> None:
    """
    Show the storage directories of a node, which may run or not.

    \b
    The states are:
      fine           shares are read there and stored
      missing        it is not there, or empty: its disk is not mounted, or is gone
      another disk   it is not the one that was there, or it was replaced
      full           no space is left beyond reserved_space: shares are only read
      read-only, no permission, failing
    """
    node = named_node(node_directory)
    with options.plain_errors():
        grid = OwnGrid.read(node)
        statuses = grid.look()
    told = ask_node(node)
    rows = []
    for status, path in zip(statuses, grid.paths, strict=True):
        seen = _as_told(status, told or {})
        shares = count_shares(path) if seen.is_there else None
        waits = told is not None and status.identity not in told
        rows.append(_Row(seen, path, shares, waits))
    if sys.stdout is None:
        raise Problem("standard output is closed: there is nowhere to show it")
    if as_json:
        click.echo(json.dumps(_document(grid, rows, told is not None), indent=1))
        return
    away = sum(not row.status.is_there for row in rows)
    click.echo(f"{len(rows) - away} of {_counted(len(rows))} there.")
    heads = ["", "state", "free", "of", "shares", "id", "path"]
    table = [heads, *(row.cells(number) for number, row in enumerate(rows))]
    for line in _aligned(table):
        click.echo(line)


def _counted(count: int) -> str:
    return "1 storage directory is" if count == 1 else f"{count} storage directories are"


def _document(grid: OwnGrid, rows: list[_Row], answers: bool) -> dict[str, Any]:
    return {
        "node": str(grid.node.path),
        "running": answers,
        "directories": [row.document() for row in rows],
        "replaced": [
            {
                "id": base32.encode(each.identity),
                "path": str(each.path),
                "when": datetime.fromtimestamp(each.when, timezone.utc).isoformat(),
            }
            for each in grid.remembered.replaced
            if grid.remembered.replacement(each.identity, grid.paths)
        ],
    }


def _aligned(table: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(map(str.ljust, line, widths)).rstrip()
        for line in (["".join(map(_plain, cell)) for cell in line] for line in table)
    ]


def _plain(character: str) -> str:
    return character if character.isprintable() else "?"


def _as_told(status: DirectoryStatus, told: dict[str, str]) -> DirectoryStatus:
    """Return *status*, or what the node says where it knows of a worse one."""
    state = told.get(status.identity or "", FINE)
    if status.state == FINE and state != FINE:
        return status.in_state(state)
    return status


def ask_node(node: NodeDirectory) -> dict[str, str] | None:
    """
    Return the states of the directories that a running node has, by identity.

    None: it does not run, or does not answer.
    """
    if not node.url.exists():
        return None
    found: list[dict[str, str]] = []

    async def work(reactor: Any) -> None:
        gateway = Gateway(find_gateway(None, str(node.path)), reactor)
        asking = Deferred.fromCoroutine(gateway.text("GET", "?t=json", most=_MOST))
        asking.addTimeout(_PATIENCE, reactor)
        told = json.loads(await asking)
        directories = told["truckee"]["storage_directories"]
        found.append({str(each["id"]): str(each["state"]) for each in directories})

    # Who does not answer in that way does not run, or is an older one.
    with suppress(Problem, TimeoutError, ValueError, KeyError, TypeError, RecursionError):
        run(work)
    # Where it was, there may be another node by now.
    ours = {base32.encode(each) for each in DirectoryRecord(node.path).read().places}
    return found[0] if found and ours & found[0].keys() else None
