"""
What is stored already, of files here and of directories, in a SQLite file.

With it a backup sends only what is new, and a copy that was cut goes on.  It has caps in
it: only its owner can read it, as with all in ``private/``.

Source: ``docs/reference/node-directory.md``.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from attrs import define, field, frozen

from truckee.cli.problems import Problem, reason_within

_TABLES = """
CREATE TABLE IF NOT EXISTS files (
    grid TEXT, path BLOB, size INTEGER, mtime INTEGER, ctime INTEGER, inode INTEGER,
    cap TEXT, seen REAL, PRIMARY KEY (grid, path)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS directories (
    grid TEXT, digest BLOB, cap TEXT, seen REAL, job BLOB,
    PRIMARY KEY (grid, digest)
) WITHOUT ROWID;
"""
_VERSION = 1
_BUSY = 30.0  # seconds that another command may write


@frozen
class Stored:
    """A cap, and when it was stored or seen to be good."""

    cap: str = field(repr=False)
    seen: float  # seconds since 1970


@define(eq=False)
class CopyState:
    """One such file, open."""

    _database: sqlite3.Connection
    _grid: str  # which grid it is of, in a file for several
    _now: Callable[[], float]

    @classmethod
    def open(cls, path: Path, grid: str, now: Callable[[], float]) -> CopyState:
        """Open or make the file at *path*.  :raises Problem: when it cannot be used."""
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            database = sqlite3.connect(path, timeout=_BUSY, isolation_level=None)
            [version] = database.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise Problem(
                    f"{path} is of a newer version of this program, or another one"
                )
            # What the last transactions had may be lost in a power cut: it is sent again.
            database.executescript(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                f"{_TABLES} PRAGMA user_version = {_VERSION};"
            )
        except sqlite3.Error as error:
            raise Problem(f"cannot use {path}: {error}; move it away") from None
        except OSError as error:
            raise Problem(f"cannot use {path}: {reason_within(error)}") from None
        return cls(database, grid, now)

    def expire(self, seconds: float) -> None:
        """Forget what is older."""
        for table in ("files", "directories"):
            self._database.execute(
                f"DELETE FROM {table} WHERE seen < ?", (self._now() - seconds,)
            )

    def close(self) -> None:
        """Close it."""
        self._database.close()

    def file(self, path: str, status: os.stat_result) -> Stored | None:
        """Return what is stored of the file at *path*, if it is still as it was then."""
        found = self._database.execute(
            "SELECT cap, seen FROM files WHERE grid = ? AND path = ? AND "
            "size = ? AND mtime = ? AND ctime = ? AND inode = ?",
            (self._grid, _key(path), *_look(status)),
        ).fetchone()
        return None if found is None else Stored(*found)

    def add_file(self, path: str, status: os.stat_result, cap: str) -> None:
        """Note that the file at *path*, as it was seen, is stored and good."""
        self._database.execute(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (self._grid, _key(path), *_look(status), cap, self._now()),
        )

    def directory(self, digest: bytes) -> Stored | None:
        """Return the directory with what *digest* is of."""
        found = self._database.execute(
            "SELECT cap, seen FROM directories WHERE grid = ? AND digest = ?",
            (self._grid, digest),
        ).fetchone()
        return None if found is None else Stored(*found)

    def add_directory(self, digest: bytes, cap: str, job: bytes = b"") -> None:
        """Note a directory; with *job*, until that one is over."""
        self._database.execute(
            "INSERT OR REPLACE INTO directories VALUES (?, ?, ?, ?, ?)",
            (self._grid, digest, cap, self._now(), job),
        )

    def end_job(self, job: bytes) -> None:
        """Forget the directories of a job: each is linked now, and may change."""
        self._database.execute(
            "DELETE FROM directories WHERE grid = ? AND job = ?", (self._grid, job)
        )


def _key(path: str) -> bytes:
    return os.fsencode(os.path.abspath(path))


def _look(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return what of a file changes when its content does."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
