"""
The files of accounts on the disk.  All of it blocks, for as long as a small file takes.

Source: ``docs/formats/accounts.md``.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from attrs import field, frozen

from truckee.accounts.account import Account
from truckee.accounts.lines import parse_accounts

# What comes behind the name of the file that stock Tahoe-LAFS reads, too.
BESIDE = ".passwords"
# Some thousand accounts.
MAX_FILE = 1 << 20  # bytes
# Mistakes of one file that are reported.
_MAX_MISTAKES = 10

# When and what each file was, as far as the system says.
Signature = tuple[tuple[int, ...], ...]


@frozen
class Found:
    """What the files have."""

    accounts: dict[str, Account] = field(factory=dict, repr=False)
    # Sentences for the operator, with no name, cap, password or key in them.
    problems: tuple[str, ...] = ()


@frozen
class AccountFiles:
    """The file that stock reads, and the one beside it for what stock refuses."""

    stock: Path
    beside: Path

    @classmethod
    def at(cls, path: Path) -> AccountFiles:
        """Return the two files of which the first one is *path*."""
        return cls(path, path.with_name(path.name + BESIDE))

    def signature(self) -> Signature:
        """Return what is different after a change."""
        return tuple(_signature(path) for path in (self.stock, self.beside))

    def read(self) -> Found:
        """Return the accounts of both files; what cannot be used is a problem."""
        found = Found()
        for path in (self.stock, self.beside):
            found = _read(path, found)
        return found


def read_file(path: Path) -> tuple[bytes, int]:
    """
    Return what is in a file, and its mode; a file that is not there is empty.

    :raises ValueError: with why it cannot be used.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return b"", 0o600
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise ValueError(f"it is longer than {MAX_FILE >> 20} MiB")
    return data, stat.S_IMODE(mode)


def _read(path: Path, found: Found) -> Found:
    try:
        data, mode = read_file(path)
        if mode & 0o022:
            # Whoever writes it has the files that others store.
            raise ValueError(f"others may write it; chmod 600 {path.name}")
    except ValueError as error:
        problem = f"{path.name} is not used: {error}."
        return Found(found.accounts, (*found.problems, problem))
    parsed = parse_accounts(data, found.accounts.values())
    problems = [
        f"{path.name}, line {mistake.line} is not used: {mistake.reason}."
        for mistake in parsed.mistakes[:_MAX_MISTAKES]
    ]
    more = len(parsed.mistakes) - len(problems)
    if more:
        problems.append(f"{path.name}: {more} more lines are not used.")
    if mode & 0o044:
        problems.append(f"Others may read {path.name}: chmod 600 {path.name}.")
    return Found(dict(parsed.accounts), (*found.problems, *problems))


def _signature(path: Path) -> tuple[int, ...]:
    with suppress(OSError):
        now = path.stat()
        return now.st_mtime_ns, now.st_ctime_ns, now.st_size, now.st_ino
    return ()
