"""``truckee ls``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import click
from attrs import frozen

from truckee.cli.grid import Grid
from truckee.cli.grid_nodes import GridNode
from truckee.cli.grid_path import GridPath
from truckee.cli.problems import Problem
from truckee.cli.progress import amount
from truckee.cli.session import Session, with_session

_HALF_YEAR = 182 * 86400  # seconds


@frozen
class _Look:
    """How things are shown."""

    long: bool
    human: bool
    classify: bool
    caps: bool
    read_caps: bool


@click.command("ls", short_help="List directories.")
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("-l", "--long", is_flag=True, help="With kind, size and time.")
@click.option("--human", is_flag=True, help="With -l: sizes as 1.5 MB.")
@click.option("-F", "--classify", is_flag=True, help="/ behind directories.")
@click.option("--json", "as_json", is_flag=True, help="Print what the gateway tells.")
@click.option("--uri", "caps", is_flag=True, help="With the strongest cap of each.")
@click.option("--readonly-uri", "read_caps", is_flag=True, help="With the read caps.")
@with_session
def ls_command(
    session: Session,
    paths: tuple[str, ...],
    long: bool,
    human: bool,
    classify: bool,
    as_json: bool,
    caps: bool,
    read_caps: bool,
) -> None:
    """
    List the directory or file at each PATH; without one, that of the alias tahoe:.

    \b
    truckee ls                      what is in tahoe:
    truckee ls -l photos:2026       with sizes and times
    truckee ls --root the.cap /sub  by a cap that is in a file, and not in ps

    A PATH is ALIAS:PATH, CAP/PATH, or a PATH in tahoe:. Exits with 4 when there is
    nothing.
    """
    if sys.stdout is None:
        raise Problem("standard output is closed: there is nowhere to show it")
    look = _Look(long, human, classify, caps, read_caps)
    places = session.directories(paths)

    async def work(grid: Grid) -> None:
        for number, place in enumerate(places):
            if as_json:
                args = {"t": "json"}
                click.echo(await grid.change(place.shown, "GET", place.url, args))
                continue
            found = await grid.find(place)
            if len(places) > 1 and found.is_directory:
                blank = "\n" if number else ""
                click.echo(f"{blank}{place.shown.removesuffix(':')}:")
            for line in lines(place, found, look):
                click.echo(line)

    session.run(work)


def lines(place: GridPath, found: GridNode, look: _Look) -> Iterator[str]:
    """Give a line for each thing."""
    rows = (
        sorted(found.children.items())
        if found.is_directory
        else [(place.name or place.shown, found)]
    )
    table = [_facts(node, look) for _, node in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for facts, (name, node) in zip(table, rows, strict=True):
        mark = "/" if node.is_directory else "*" if node.is_mutable else ""
        caps = [node.cap] * look.caps + [node.read_cap] * look.read_caps
        named = [escaped(name) + mark * look.classify, *map(escaped, caps)]
        yield " ".join((*map(str.rjust, facts, widths), "  ".join(named)))


def _facts(node: GridNode, look: _Look) -> list[str]:
    return [_kind(node), _size(node, look.human), _when(node)] if look.long else []


def _kind(node: GridNode) -> str:
    first = "d" if node.is_directory else "-" if node.is_file else "?"
    return f"{first}{'r' if node.read_cap else '-'}{'w' if node.write_cap else '-'}"


def _size(node: GridNode, human: bool) -> str:
    if node.is_directory:
        return "-"
    if node.size is None:
        return "?"
    return amount(node.size) if human else str(node.size)


def _when(node: GridNode) -> str:
    moment = node.linked or node.modified
    if moment is None:
        return "-"
    try:
        local = time.localtime(moment)
    except (OverflowError, ValueError, OSError):
        return "?"
    recent = abs(time.time() - moment) < _HALF_YEAR
    return time.strftime("%b %d %H:%M" if recent else "%b %d  %Y", local)


def escaped(name: str) -> str:
    """Return a name on one line that cannot move the cursor."""
    if name.isprintable():
        return name
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name
    )
