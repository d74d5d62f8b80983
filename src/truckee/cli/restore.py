"""``truckee restore``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from truckee.cli.board import Board
from truckee.cli.crew import Crew
from truckee.cli.gateway import Gateway
from truckee.cli.grid import Grid
from truckee.cli.grid_entries import grid_entry
from truckee.cli.local_target import LocalTarget
from truckee.cli.problems import Problem, tell
from truckee.cli.session import Session, jobs, with_session
from truckee.cli.tree_walk import Frame, TreeWalk


@click.command("restore", short_help="Bring a backup back.")
@click.argument("snapshot", metavar="SNAPSHOT")
@click.argument("target", metavar="DIRECTORY", type=click.Path(path_type=Path))
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@jobs
@with_session
def restore_command(
    session: Session, snapshot: str, target: Path, quiet: bool, jobs: int
) -> None:
    """
    Bring what is in SNAPSHOT, a directory of the grid, into DIRECTORY, which is made.

    \b
    truckee restore tahoe:backups/Latest back
    truckee restore tahoe:backups/Archives/2026-11-20_17:22:32Z/letters letters

    Files and directories get the times and modes that they had. What is there with the
    same size and time stays; other files of the same names are replaced, and nothing is
    removed. The same command continues where one was cut. It restores what tahoe backup has
    stored, too.
    """
    board = Board(sys.stderr, time.monotonic, quiet)
    session.tell = board.tell
    over = False

    async def work(grid: Grid, gateway: Gateway) -> None:
        nonlocal over
        top = await grid_entry(grid, session.path(snapshot))
        if not top.is_directory:
            raise Problem(f"{top.shown} is a file: truckee get and cp bring it")
        into = LocalTarget(gateway, board, True, session.failed)
        if not target.is_dir():
            into.make(target)
        walk = TreeWalk(Crew(gateway.reactor, jobs), into, session.failed)
        await walk.run(Frame(None, None, target), await top.children())
        over = True

    def last_words() -> str:
        board.clear()
        return f"Stopped. {board.summary('restored')}. Run the same command to continue."

    try:
        session.run_many(work, last_words=last_words)
    finally:
        board.clear()
        if over and not quiet:
            tell(board.summary("restored"))
