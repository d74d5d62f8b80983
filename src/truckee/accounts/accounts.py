"""Who logs in: names, passwords and keys compared with those of the accounts file."""

from __future__ import annotations

from pathlib import Path

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from truckee.accounts.account import Account
from truckee.accounts.errors import LoginsBusy, WrongLogin
from truckee.accounts.failures import Failures
from truckee.accounts.files import AccountFiles, Found, Signature
from truckee.accounts.passwords import matches
from truckee.flow.cpu import Workers
from truckee.flow.limits import Budget
from truckee.status.problems import Problems

# Hashes that are computed side by side: each takes a processor and its memory.
AT_ONCE = 2
# Log-ins that wait for their turn, some seconds at most.
MAX_WAITING = 64
# What is wrong with the files, among the problems of the node.
PROBLEM = "accounts"


@define(eq=False)
class Accounts:
    """
    The accounts of one node.

    Each question looks whether a file has changed, and reads the two again then, in this
    thread: they are small and on the node's own disk.
    """

    files: AccountFiles
    _cpu: Workers
    _clock: IReactorTime
    _problems: Problems
    _failures: Failures = field(factory=Failures, init=False, repr=False)
    _turns: Budget = field(factory=lambda: Budget(AT_ONCE), init=False, repr=False)
    _waiting: int = field(default=0, init=False)
    _seen: Signature | None = field(default=None, init=False, repr=False)
    _found: Found = field(factory=Found, init=False, repr=False)

    @classmethod
    def at(
        cls, path: Path, cpu: Workers, clock: IReactorTime, problems: Problems
    ) -> Accounts:
        """Return the accounts in the file *path*, which need not be there yet."""
        return cls(AccountFiles.at(path), cpu, clock, problems)

    def look(self) -> None:
        """Read the files if they have changed, and report what is wrong with them."""
        self._now()

    @property
    def exist(self) -> bool:
        """Whether anybody may log in now."""
        return bool(self._now())

    def find(self, name: str) -> Account | None:
        """Return an account as it is now; None: there is none, or it was removed."""
        return self._now().get(name)

    def by_key(self, name: str, key_blob: bytes) -> Account | None:
        """
        Return the account *name* if the public key is one of its; None: it is not.

        *key_blob* is the key as SSH sends it.  That the client has the private key is for
        the caller to prove.
        """
        account = self.find(name)
        if account is None or all(key.blob != key_blob for key in account.keys):
            return None
        return account

    async def by_password(self, name: str, password: str, where: str) -> Account:
        """
        Return the account *name* if *password* is its password.

        It takes the same time when there is no such name, and no password.  *where* is
        the address of the client, behind proxies that are trusted; empty: it has none.

        :raises WrongLogin: :raises TooManyFailures: :raises LoginsBusy:
        """
        attempt = self._failures.begin(name, where, self._clock.seconds())
        account = self.find(name)
        stored = "" if account is None else account.password
        try:
            right = await self._matches(password, stored)
        except BaseException:
            self._failures.undo(attempt)
            raise
        # It may have been changed, or removed, meanwhile.
        account = self.find(name)
        if not right or account is None or account.password != stored:
            raise WrongLogin
        self._failures.succeeded(attempt)
        return account

    async def _matches(self, password: str, stored: str) -> bool:
        if self._waiting >= MAX_WAITING:
            raise LoginsBusy
        other = next((one.password for one in self._now().values() if one.is_hashed), "")
        self._waiting += 1
        try:
            await self._turns.take(1)
        finally:
            self._waiting -= 1
        try:
            return await self._cpu.run(matches, password, stored, other)
        finally:
            self._turns.give(1)

    def _now(self) -> dict[str, Account]:
        signature = self.files.signature()
        if signature != self._seen:
            # Looked at before it is read: what changes meanwhile is read again.
            self._seen, self._found = signature, self.files.read()
            self._report()
        return self._found.accounts

    def _report(self) -> None:
        # The node logs its problems.
        if self._found.problems:
            self._problems.report(PROBLEM, " ".join(self._found.problems))
        else:
            self._problems.resolve(PROBLEM)
