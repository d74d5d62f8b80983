"""The files of accounts of a node directory, as the commands read and change them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from truckee.accounts.account import Account
from truckee.accounts.files import AccountFiles, Found, read_file
from truckee.accounts.lines import STOCK_KEY, line_of
from truckee.cli.finding import usual_nodes
from truckee.cli.problems import NOT_FOUND, Problem, reason_within
from truckee.errors import TruckeeError
from truckee.flow.durable import make_directories, rewrite_durably, write_durably
from truckee.node.accounts import accounts_path
from truckee.node.config_file import ConfigFile
from truckee.node.layout import NodeDirectory


@frozen
class EditedAccounts:
    """The accounts of one node directory."""

    files: AccountFiles

    @classmethod
    def of(cls, nodedir: str | None) -> EditedAccounts:
        """
        Return those of a node directory, of the usual one without a name.

        :raises Problem: when there is no node.
        """
        places = usual_nodes() if nodedir is None else (Path(nodedir),)
        found = [place for place in places if (place / "tahoe.cfg").exists()]
        node = NodeDirectory((found or places)[0])
        try:
            node.check()
            path = accounts_path(node, ConfigFile.read(node.config))
        except TruckeeError as error:
            raise Problem(str(error)) from None
        return cls(AccountFiles.at(path))

    def read(self) -> Found:
        """Return the accounts, and what is wrong with the files."""
        return self.files.read()

    def find(self, name: str) -> Account | None:
        """Return the account *name*, if there is one."""
        return self.read().accounts.get(name)

    def prepare(self) -> None:
        """:raises Problem: when nothing could be written."""
        with self._locked():
            for path in (self.files.stock, self.files.beside):
                if path.exists() and not os.access(path, os.R_OK | os.W_OK):
                    raise Problem(f"cannot write {path}: Permission denied")

    def add(self, account: Account) -> Path:
        """
        Write the credentials of *account*; return a file that has its cap then.

        A new password takes the place of the old one.  :raises Problem:
        """
        keys = [Account(account.name, account.root, False, (key,)) for key in account.keys]
        stock = [line_of(one) for one in keys if one.keys[0].kind.startswith(STOCK_KEY)]
        other = [line_of(one) for one in keys if line_of(one) not in stock]
        if account.password:
            alone = Account(account.name, account.root, False, password=account.password)
            other.append(line_of(alone))

        def gone(words: list[str]) -> bool:
            old = len(words) == 3 and words[0] == account.name
            return old and bool(account.password)

        with self._locked():
            # In this order a cut leaves a password too many, and never none.
            self._change(self.files.beside, gone, other)
            self._change(self.files.stock, gone, stock)
        return self.files.beside if other else self.files.stock

    def remove(self, name: str) -> None:
        """Remove all lines of *name*; comments and other lines stay.  :raises Problem:"""
        with self._locked():
            changed = [
                self._change(path, lambda words: words[:1] == [name], [])
                for path in (self.files.stock, self.files.beside)
            ]
        if not any(changed):
            raise Problem(f"there is no account {name} in {self.files.stock}", NOT_FOUND)

    def _change(
        self, path: Path, gone: Callable[[list[str]], bool], more: list[str]
    ) -> bool:
        """Take lines out of a file, and add others; tell whether that changed it."""
        try:
            data, _ = read_file(path)
        except ValueError as error:
            raise Problem(f"{path}: {error}") from None
        lines = data.decode("utf-8", "surrogateescape").splitlines(keepends=True)
        there = {" ".join(line.split()) for line in lines}
        stay = [line for line in lines if not gone(_words(line))]
        added = [line for line in dict.fromkeys(more) if line not in there]
        if len(stay) == len(lines) and not added:
            return False
        if stay and not stay[-1].endswith(("\n", "\r")):
            stay[-1] += "\n"
        text = "".join([*stay, *(f"{line}\n" for line in added)])
        data = text.encode("utf-8", "surrogateescape")
        if path.exists():
            path.chmod(0o600)
            rewrite_durably(path, data)
        else:
            write_durably(path, data)
        return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Have the files for this command alone."""
        directory = self.files.stock.parent
        try:
            make_directories(directory)
            # Not the file, in whose place another one comes.
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)
        except OSError as error:
            raise Problem(f"cannot write {directory}: {reason_within(error)}") from None


def _words(line: str) -> list[str]:
    """Return the words of a line; of a comment none."""
    return [] if line.lstrip().startswith("#") else line.split()
