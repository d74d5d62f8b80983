"""Log-ins that were right a moment ago, of clients that send a password each time."""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from truckee.accounts.account import Account
from truckee.accounts.accounts import Accounts
from truckee.flow.shared import Shared

# After this without a request a password is compared again.  Counted from the log-in it
# would let somebody who guesses at the same address keep out a client that works.
IDLE = 3600.0  # seconds
MOST = 256  # log-ins; the one used longest ago makes room


@define(eq=False)
class _Remembered:
    """One that was right."""

    account: Account
    used: float  # seconds


@define(eq=False)
class RememberedLogins:
    """
    The accounts, for who sends the password again and again.

    In memory is a hash with a key of this process's own, and no password.
    """

    accounts: Accounts
    _clock: IReactorTime
    _key: bytes = field(repr=False)  # 32 random bytes
    _logins: OrderedDict[bytes, _Remembered] = field(
        factory=OrderedDict, init=False, repr=False
    )
    _comparing: Shared[bytes, Account] = field(factory=Shared, init=False, repr=False)

    @classmethod
    def of(
        cls, accounts: Accounts, clock: IReactorTime, random: Callable[[int], bytes]
    ) -> RememberedLogins:
        """Return log-ins of which none is remembered yet."""
        return cls(accounts, clock, random(32))

    def __len__(self) -> int:
        return len(self._logins)

    async def log_in(self, name: str, password: str, where: str) -> Account:
        """
        Return the account, as ``Accounts.by_password`` does, or from memory.

        A change of the account ends what is remembered of it.  Of equal log-ins at once
        one is compared, and counts.

        :raises WrongLogin: :raises TooManyFailures: :raises LoginsBusy:
        """
        text = f"{len(name)}:{name}:{password}".encode("utf-8", "surrogatepass")
        key = hmac.digest(self._key, text, hashlib.sha256)
        found = self._logins.get(key)
        if found is not None:
            now = self._clock.seconds()
            if abs(now - found.used) < IDLE and self.accounts.find(name) == found.account:
                found.used = now
                self._logins.move_to_end(key)
                return found.account
            del self._logins[key]
        return await self._comparing.run(
            key, lambda: self._compare(key, name, password, where)
        )

    async def _compare(self, key: bytes, name: str, password: str, where: str) -> Account:
        account = await self.accounts.by_password(name, password, where)
        self._logins[key] = _Remembered(account, self._clock.seconds())
        if len(self._logins) > MOST:
            self._logins.popitem(last=False)
        return account
