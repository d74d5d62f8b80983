"""Files and directories of this machine, as what is copied."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import evolve, field, frozen

from truckee.cli.problems import Problem, printable

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
    stat.S_IFLNK: "a symbolic link",
}


@frozen
class Local:
    """How files here are looked at."""

    follow: bool  # whether symbolic links are followed
    skipped: Callable[[str], None] = field(eq=False)  # gets what is passed over, and why
    failed: Callable[[Problem], None] = field(eq=False)
    wanted: Callable[[str], bool] = field(eq=False, default=lambda path: True)

    def entry(self, path: str, name: str) -> LocalEntry | None:
        """Return what is at *path*; None: it is passed over.  :raises OSError:"""
        status = os.stat(path, follow_symlinks=self.follow)
        kind = stat.S_IFMT(status.st_mode)
        shown = printable(path)
        if kind not in (stat.S_IFREG, stat.S_IFDIR):
            self.skipped(f"{shown} is {_KINDS.get(kind, 'no file')}, and is passed over")
            return None
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            raise Problem(f"{shown}: its name is not UTF-8; rename it") from None
        return LocalEntry(name, path, shown, kind == stat.S_IFDIR, status, self)


@frozen(eq=False)
class LocalEntry:
    """One file or directory of this machine."""

    name: str
    path: str
    shown: str
    is_directory: bool
    status: os.stat_result
    local: Local

    @property
    def identity(self) -> object:
        """The same for a directory however it is come to."""
        return self.status.st_dev, self.status.st_ino

    async def children(self) -> Sequence[LocalEntry]:
        """Return what is in the directory, by name.  :raises OSError:"""
        found = []
        for name in sorted(os.listdir(self.path)):
            path = os.path.join(self.path, name)
            if not self.local.wanted(path):
                continue
            try:
                entry = self.local.entry(path, name)
            except OSError as error:
                self.local.failed(Problem(f"{printable(path)}: {error.strerror}"))
            except Problem as problem:
                self.local.failed(problem)
            else:
                if entry is not None:
                    found.append(entry)
        return found

    def renamed(self, name: str) -> LocalEntry:
        """Return it with another name at its target."""
        return evolve(self, name=name)


def count(paths: Sequence[Path], follow: bool, until: Callable[[], bool]) -> int | None:
    """Return how many bytes the files have; None: it takes too long to count them."""
    total, waiting = 0, [os.fspath(path) for path in paths]
    seen: set[tuple[int, int]] = set()
    while waiting:
        if until():
            return None
        path = waiting.pop()
        try:
            status = os.stat(path, follow_symlinks=follow)
            if stat.S_ISREG(status.st_mode):
                total += status.st_size
            elif (
                stat.S_ISDIR(status.st_mode) and (status.st_dev, status.st_ino) not in seen
            ):
                seen.add((status.st_dev, status.st_ino))
                waiting += [os.path.join(path, name) for name in os.listdir(path)]
        except OSError:
            continue
    return total
