"""``truckee cp``."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click
from attrs import define, field

from truckee.cli.board import Board
from truckee.cli.copy_state import CopyState
from truckee.cli.crew import Crew
from truckee.cli.file_sender import FileSender
from truckee.cli.gateway import Gateway
from truckee.cli.grid import Grid
from truckee.cli.grid_entries import grid_entry
from truckee.cli.grid_path import GridPath, is_remote
from truckee.cli.grid_target import FRESH, GridTarget, Place, job_of, place_of
from truckee.cli.local_entries import Local, count
from truckee.cli.local_target import LocalTarget
from truckee.cli.problems import NOT_FOUND, Problem, printable, tell
from truckee.cli.session import Session, jobs, with_session
from truckee.cli.tree_walk import Entry, Frame, Target, TreeWalk

_COUNTING = 2.0  # seconds in which files are counted before the first one is copied


@click.command("cp", short_help="Copy files and directories into, out of and in the grid.")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.argument("target", metavar="TARGET")
@click.option("-r", "--recursive", is_flag=True, help="Also directories.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@jobs
@with_session
def cp_command(
    session: Session,
    sources: tuple[str, ...],
    target: str,
    recursive: bool,
    quiet: bool,
    jobs: int,
) -> None:
    """
    Copy each SOURCE into the directory TARGET, or one file to the name TARGET.

    \b
    truckee cp holiday.mp4 photos:2026/
    truckee cp -r pictures photos:          # makes photos:pictures
    truckee cp -r photos:pictures .         # and back
    truckee cp -r photos:pictures shared:   # links in the grid: no bytes move

    What has a colon before its first slash is in the grid: ALIAS:PATH or CAP/PATH; write
    ./a:b for such a file here. What is there already, with the same size and time, is not
    copied, so the same command continues where one was cut. Symbolic links are followed.
    Exits with 1 when something could not be copied; all else is.
    """
    board = Board(sys.stderr, time.monotonic, quiet)
    again = shlex.join(["truckee", "cp", *sys.argv[2:]])
    copy = _Copy(session, board, sources, target, recursive, jobs, again)
    session.tell = board.tell
    if board.is_seen and not any(map(is_remote, sources)):
        end = time.monotonic() + _COUNTING
        board.total = count(
            [Path(s) for s in sources], True, lambda: time.monotonic() > end
        )
    try:
        session.run_many(copy.work, last_words=copy.last_words)
    finally:
        board.clear()
        if not quiet and copy.is_over:
            tell(board.summary("copied"))


@define(eq=False)
class _Copy:
    """One command's work."""

    _session: Session
    _board: Board
    _sources: Sequence[str]
    _target: str
    _recursive: bool
    _jobs: int
    _again: str
    is_over: bool = field(default=False, init=False)

    async def work(self, grid: Grid, gateway: Gateway) -> None:
        """Copy all."""
        if is_remote(self._target):
            await self._into_grid(grid, gateway, self._session.path(self._target))
        elif all(map(is_remote, self._sources)):
            await self._out_of_grid(grid, gateway)
        else:
            raise Problem(
                "TARGET is a file here, and so is a SOURCE: cp copies those. A path in the "
                "grid begins with an alias and a colon, such as tahoe:"
            )
        self.is_over = True

    def last_words(self) -> str:
        """Return what is to be known after a signal."""
        self._board.clear()
        return (
            f"Stopped. {self._board.summary('copied')}. Run the same command to continue."
        )

    # Into the grid, from here or from the grid.

    async def _into_grid(self, grid: Grid, gateway: Gateway, target: GridPath) -> None:
        state = self._state()
        try:
            entries = await self._entries(grid, target)
            place = await _place_for(grid, target, entries)
            sender = FileSender(gateway, self._board, self._again, self._session.failed)
            await sender.prepare()
            job = job_of(place.cap, *(entry.shown for entry in entries))
            into = GridTarget(grid, gateway, sender, state, self._board, job, time.time)
            await self._walk(gateway, into, place, entries)
            if state is not None:
                state.end_job(job)
        finally:
            if state is not None:
                state.close()

    def _state(self) -> CopyState | None:
        session = self._session
        path = session.aliases.private / "truckee-copies.sqlite"
        try:
            state = CopyState.open(path, session.grid_name, time.time)
            state.expire(FRESH)
            return state
        except Problem as problem:
            if path.parent.exists():
                self._board.tell(f"Note: what is cut off begins again: {problem.message}")
            return None

    async def _entries(self, grid: Grid, target: GridPath) -> list[Entry]:
        local = Local(True, self._board.tell, self._session.failed)
        entries: list[Entry] = []
        for source in self._sources:
            found: Entry | None
            if not is_remote(source):
                found = _local_entry(local, source)
            else:
                path = self._session.path(source)
                if (
                    path.root == target.root
                    and target.names[: len(path.names)] == path.names
                ):
                    raise Problem(f"{path.shown} cannot be copied into itself")
                found = await grid_entry(grid, path)
            if found is None:
                continue
            self._check(found)
            # Without a name of its own it is what is in it that is copied.
            entries += [found] if found.name else await found.children()
        return entries

    def _check(self, entry: Entry) -> None:
        if entry.is_directory and not self._recursive:
            raise Problem(
                f"{entry.shown} is a directory: -r copies it and all that is in it"
            )

    # Out of the grid.

    async def _out_of_grid(self, grid: Grid, gateway: Gateway) -> None:
        entries: list[Entry] = []
        for source in self._sources:
            found = await grid_entry(grid, self._session.path(source))
            self._check(found)
            entries += [found] if found.name else await found.children()
        path = Path(self._target)
        several = len(entries) != 1 or entries[0].is_directory
        into = LocalTarget(gateway, self._board, False, self._session.failed)
        if not path.is_dir():
            if several:
                into.make(path)
            elif self._target.endswith("/") or not path.parent.is_dir():
                raise Problem(f"{printable(self._target)}: there is no such directory")
            else:
                entries = [entries[0].renamed(path.name)]
                path = path.parent
        await self._walk(gateway, into, path, entries)

    async def _walk(
        self, gateway: Gateway, into: Target, place: object, entries: Sequence[Entry]
    ) -> None:
        crew = Crew(gateway.reactor, self._jobs)
        walk = TreeWalk(crew, into, self._session.failed)
        await walk.run(Frame(None, None, place), entries)


def _local_entry(local: Local, source: str) -> Entry | None:
    name = os.path.basename(source.rstrip("/"))
    try:
        return local.entry(source, "" if name in (".", "..") else name)
    except FileNotFoundError:
        raise Problem(f"{printable(source)}: there is no such file", NOT_FOUND) from None


async def _place_for(grid: Grid, target: GridPath, entries: list[Entry]) -> Place:
    """
    Return the directory that *entries* go into; it is made, if it is not there.

    A single file may get another name thereby.  :raises Problem:
    """
    found = await grid.look(target)
    if found is not None and found.is_directory:
        return await place_of(grid, target, found)
    single = len(entries) == 1 and not entries[0].is_directory
    if not single and found is not None:
        raise Problem(f"{target.shown} is a file: name a directory")
    if single:
        if target.slash or not target.names:
            raise Problem(
                f"{target.shown} is no directory; truckee mkdir makes one", NOT_FOUND
            )
        entries[0] = entries[0].renamed(target.name)
        target = target.parent
    await grid.change(target.shown, "POST", target.url, {"t": "mkdir"})
    return await place_of(grid, target, await grid.find(target))
