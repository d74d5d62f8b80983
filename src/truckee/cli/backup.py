"""``truckee backup``."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path

import click
from attrs import define, field

from truckee.cli.board import Board
from truckee.cli.copy_state import CopyState
from truckee.cli.crew import Crew
from truckee.cli.excluding import Excluding, patterns_in
from truckee.cli.file_sender import FileSender
from truckee.cli.gateway import Gateway
from truckee.cli.grid import Grid
from truckee.cli.grid_path import GridPath
from truckee.cli.local_entries import Local, LocalEntry, count
from truckee.cli.problems import NOT_FOUND, Problem, printable, reason_within, tell
from truckee.cli.session import Session, jobs, with_session
from truckee.cli.snapshot_target import Contents, SnapshotTarget, default_state
from truckee.cli.tree_walk import Frame, TreeWalk

_COUNTING = 2.0  # seconds in which files are counted before the first one is stored
_TRIES = 10  # seconds, each of which may have a snapshot


@click.command("backup", short_help="Keep a directory as it is now, beside earlier ones.")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option(
    "--exclude",
    metavar="PATTERN",
    multiple=True,
    help="Leave out names, or paths below FROM, that are like this: *.tmp, cache/*.",
)
@click.option("--exclude-from", metavar="FILE", multiple=True, help="Patterns, one a line.")
@click.option("-L", "--follow", is_flag=True, help="Follow symbolic links.")
@click.option(
    "--database",
    metavar="FILE",
    default=None,
    help="What is stored already, instead of private/truckee-backup.sqlite.",
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@jobs
@with_session
def backup_command(
    session: Session,
    source: str,
    target: str,
    exclude: tuple[str, ...],
    exclude_from: tuple[str, ...],
    follow: bool,
    database: str | None,
    quiet: bool,
    jobs: int,
) -> None:
    """
    Keep the directory FROM as it is now in the directory TO of the grid.

    \b
    truckee backup ~/documents tahoe:backups
    truckee ls tahoe:backups/Archives              # one directory for each time
    truckee restore tahoe:backups/Latest back      # the newest one, with modes and times

    Only what is new is sent: what was stored is remembered. When it is cut, the next one
    goes on. Symbolic links, FIFOs, sockets and devices are left out, with a message. Exits
    with 1 when a file could not be read; all others are kept.
    """
    board = Board(sys.stderr, time.monotonic, quiet)
    session.tell = board.tell
    top = os.path.abspath(source)
    patterns = [each.rstrip("/") for each in exclude] + patterns_in(exclude_from)
    skipped = (lambda text: None) if quiet else board.tell
    wanted = Excluding(top, patterns).wanted
    local = Local(follow, skipped, session.failed, wanted)
    state = Path(database) if database else default_state(session.aliases.private)
    work = _Backup(session, board, top, session.path(target), local, state, jobs)
    if board.is_seen:
        end = time.monotonic() + _COUNTING
        board.total = count([Path(top)], follow, lambda: time.monotonic() > end)
    try:
        session.run_many(work.work, last_words=work.last_words)
    finally:
        board.clear()
        if not quiet and work.made:
            tell(f"{board.summary('stored')}. Made {work.made}")


def _name_now() -> str:
    """Return what a snapshot of this second is called, as ``tahoe backup`` does."""
    return time.strftime("%Y-%m-%d_%H:%M:%SZ", time.gmtime())


@define(eq=False)
class _Backup:
    """One command's work."""

    _session: Session
    _board: Board
    _top: str
    _target: GridPath
    _local: Local
    _database: Path
    _jobs: int
    made: str = field(default="", init=False)  # the directory that is kept

    def last_words(self) -> str:
        """Return what is to be known after a signal."""
        self._board.clear()
        return (
            f"Stopped. {self._board.summary('stored')}. Run the same command to continue."
        )

    async def work(self, grid: Grid, gateway: Gateway) -> None:
        """Store the tree, and link it."""
        top = self._entry()
        archives = self._target.child("Archives")
        # Before hours are spent on what could not be linked.
        await grid.change(archives.shown, "POST", archives.url, {"t": "mkdir"})
        state = CopyState.open(self._database, self._session.grid_name, time.time)
        try:
            cap = await self._store(grid, gateway, top, state)
        finally:
            state.close()
        place = archives.child(_name_now())
        for _ in range(_TRIES):
            if await grid.look(place) is None:
                break
            # There is a snapshot of this second already.
            await gateway.sleep(1)
            place = archives.child(_name_now())
        latest = self._target.child("Latest")
        for path, replace in ((place, "false"), (latest, "true")):
            await grid.link(path, cap, replace)
        self.made = place.shown

    def _entry(self) -> LocalEntry:
        shown = printable(self._top)
        try:
            # FROM itself may be a link.
            status = os.stat(self._top)
        except OSError as error:
            raise Problem(f"{shown}: {reason_within(error)}", NOT_FOUND) from None
        entry = LocalEntry("", self._top, shown, True, status, self._local)
        if not os.path.isdir(self._top):
            raise Problem(f"{shown} is no directory: truckee cp copies files")
        return entry

    async def _store(
        self, grid: Grid, gateway: Gateway, top: LocalEntry, state: CopyState
    ) -> str:
        again = shlex.join(["truckee", "backup", *sys.argv[2:]])
        sender = FileSender(gateway, self._board, again, self._session.failed)
        await sender.prepare()
        into = SnapshotTarget(grid, sender, state, self._board, time.time)
        walk = TreeWalk(Crew(gateway.reactor, self._jobs), into, self._session.failed)
        contents = Contents()
        root = Frame(top, None, contents)
        await walk.run(root, await top.children())
        if not contents.cap:
            raise Problem(f"{top.shown}: its top could not be stored")
        return contents.cap
