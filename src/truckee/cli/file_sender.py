"""Files of this machine on their way to a gateway, one of many."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.web.iweb import IBodyProducer

from truckee.cli.board import Board
from truckee.cli.file_body import FileBody
from truckee.cli.finding import NO_GATEWAY, is_cap
from truckee.cli.gateway import BytesBody, Gateway
from truckee.cli.in_pieces import Upload
from truckee.cli.local_entries import LocalEntry
from truckee.cli.paths import Snapshot
from truckee.cli.problems import Problem, Unreachable
from truckee.cli.progress import Bar
from truckee.cli.resume_note import ResumeNote

# Bytes from which on a file is sent in pieces, so that a part of it need not be sent again.
_IN_PIECES = 16 << 20
_SMALL = 256 << 10  # bytes of a file that is read at once


@define(eq=False)
class FileSender:
    """Stores files, and tells a board how far each is."""

    _gateway: Gateway
    _board: Board
    _again: str  # the command that resumes it
    _failed: Callable[[Problem], None]
    _takes_pieces: bool | None = field(default=None, init=False)

    async def prepare(self) -> None:
        """Ask the gateway what it can do.  :raises Unreachable:"""
        self._takes_pieces = await self._gateway.is_truckee()

    async def send(self, entry: LocalEntry, place: str = "uri") -> tuple[str, bool]:
        """
        Store a file; return its cap, and whether it stayed as it was meanwhile.

        *place* is that of a mutable file, of which it becomes the next version.
        """
        follow = entry.local.follow
        with opened(entry.path, entry.shown, follow) as (file, size):
            seen = Snapshot.of(file)
            self._board.begin(entry, entry.name, size)
            try:
                if size >= _IN_PIECES and place == "uri" and self._takes_pieces:
                    cap = await self._in_pieces(entry, file, seen)
                else:
                    cap = await self._at_once(entry, file, size, place)
            finally:
                self._board.end(entry)
            same = Snapshot.of(file) == seen
        if not same:
            self._failed(
                Problem(
                    f"{entry.shown} changed while it was read: what is stored may be of "
                    "both; copy it again"
                )
            )
        self._board.copied(size)
        return cap, same

    async def _at_once(self, entry: LocalEntry, file: FileIO, size: int, place: str) -> str:
        done = 0

        def count(more: int) -> None:
            nonlocal done
            done += more
            self._board.moved(entry, done)

        body: IBodyProducer = FileBody(file, size, count, self._gateway.reactor)
        if size <= _SMALL:
            data = file.read(size + 1)
            if len(data) < size:
                raise Problem(f"{entry.shown} became shorter while it was read")
            if data and not size:  # of /proc and the like
                raise Problem(f"{entry.shown} says that it is empty: truckee put stores it")
            data = data[:size]
            body = BytesBody(data)
            count(size)
        try:
            cap = (await self._gateway.text("PUT", place, body)).strip()
        except Problem as problem:
            raise _about(entry, problem) from None
        if not is_cap(cap):
            raise Problem(NO_GATEWAY)
        return cap

    async def _in_pieces(self, entry: LocalEntry, file: FileIO, seen: Snapshot) -> str:
        note = None
        try:
            note = ResumeNote.of(self._gateway.url, Path(entry.path), seen, "copy")
            note.prepare()
        except (Problem, OSError):
            note = None  # what is cut off begins again
        bar = _PartOfBoard(None, seen.size, lambda: 0.0, board=self._board, key=entry)
        upload = Upload(
            self._gateway,
            file,
            seen.size,
            "random",
            note,
            note is not None,
            bar,
            self._again,
        )
        try:
            cap = await upload.store()
        except Problem as problem:
            raise _about(entry, problem) from None
        upload.forget()
        return cap


def _about(entry: LocalEntry, problem: Problem) -> Problem:
    """Name the file in what a gateway, or this machine, said of it."""
    if isinstance(problem, Unreachable):
        return problem
    return Problem(f"{entry.shown}: {problem.message}", problem.exit_code)


@define(eq=False)
class _PartOfBoard(Bar):
    """The bar of one file among others."""

    board: Board = field(kw_only=True)
    key: object = field(kw_only=True)

    def show(self, done: int) -> None:
        self.board.moved(self.key, done)

    def note(self, text: str, kind: str) -> None:
        if kind != self._noted:
            self._noted = kind
            self.board.tell(text)

    def resumed(self, text: str) -> None:
        if self._noted:
            self._noted = ""
            self.board.tell(text)


@contextmanager
def opened(path: str, shown: str, follow: bool) -> Iterator[tuple[FileIO, int]]:
    """
    Open a regular file to read it; give it and its size in bytes.

    Never waits: what was a file a moment ago may be a FIFO now.  :raises OSError:
    :raises Problem:
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    descriptor = os.open(path, flags if follow else flags | os.O_NOFOLLOW)
    with FileIO(descriptor) as file:
        status: Any = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Problem(f"{shown} is no file any more")
        yield file, status.st_size
