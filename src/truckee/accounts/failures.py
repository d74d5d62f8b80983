"""
How often a log-in may fail.  Pure: the time is an argument.

Each name and each address has a number of failures that it may have at once, and gets one
back every so many seconds.  Nobody is locked out by somebody who guesses: what is refused
counts for nothing; who has logged in from an address before has a count of their own there;
and the first failure of a name from an address counts apart, so that whoever guesses from a
few addresses leaves tries for all others.

Source: ``docs/reference/limits.md``, "Log-ins".
"""

from __future__ import annotations

import math
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

from attrs import define, field, frozen

from truckee.accounts.errors import TooManyFailures

_Key = tuple[str, ...]


@frozen
class Allowance:
    """How many failures there may be at once, and how soon one is forgotten."""

    burst: int
    every: float  # seconds


OF_NAME = Allowance(10, 30.0)
# Behind one address there may be many people.
OF_ADDRESS = Allowance(30, 10.0)
# For so long an address has had its first failure of a name.
FIRST = Allowance(1, 600.0)
# Entries of each table; the one used longest ago makes room.
MOST = 10000


@define(eq=False)
class Attempt:
    """A log-in that counts as failed until somebody says otherwise."""

    name: str
    address: str
    began: float  # seconds
    charged: dict[_Key, float] = field(repr=False)  # seconds, by what they count against


@define(eq=False)
class Failures:
    """The failed log-ins of one gateway."""

    # When all failures of one are forgotten, in seconds; those used last at the end.
    _clear: OrderedDict[_Key, float] = field(factory=OrderedDict, init=False, repr=False)
    # Which name has logged in from which address.
    _known: OrderedDict[_Key, None] = field(factory=OrderedDict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self._clear)

    def begin(self, name: str, where: str, now: float) -> Attempt:
        """
        Count a try to log in as *name* from the address *where* as a failure.

        :raises TooManyFailures: when there were too many; it does not count then.
        """
        name, address = name[:256], network_of(where)
        limits = self._limits(name, address, now)
        wait = max(self._wait(key, limit, now) for key, limit in limits.items())
        if wait > 0:
            raise TooManyFailures(math.ceil(wait))
        for key, limit in limits.items():
            self._clear[key] = self._clear_at(key, limit, now) + limit.every
            self._clear.move_to_end(key)
        self._forget(now)
        charged = {key: limit.every for key, limit in limits.items()}
        return Attempt(name, address, now, charged)

    def undo(self, attempt: Attempt) -> None:
        """Let it count for nothing: it was right, or nobody looked whether it was."""
        for key, seconds in attempt.charged.items():
            if key in self._clear:
                self._clear[key] -= seconds
                if self._clear[key] <= attempt.began:
                    # After the clock was set back it would look like many failures.
                    del self._clear[key]

    def succeeded(self, attempt: Attempt) -> None:
        """Let it count for nothing, and remember who comes from there."""
        self.undo(attempt)
        both = (attempt.name, attempt.address)
        self._known[both] = None
        self._known.move_to_end(both)
        if len(self._known) > MOST:
            self._known.popitem(last=False)

    def _limits(self, name: str, address: str, now: float) -> dict[_Key, Allowance]:
        """Return what a failure counts against."""
        if (name, address) in self._known:
            return {("both", name, address): OF_NAME}
        limits: dict[_Key, Allowance] = {("address", address): OF_ADDRESS}
        tried = ("tried", name, address)
        if self._wait(tried, FIRST, now) > 0:
            return limits | {("name", name): OF_NAME}
        return limits | {("first", name): OF_NAME, tried: FIRST}

    def _wait(self, key: _Key, limit: Allowance, now: float) -> float:
        """Return for how many seconds *key* has no failure left, at most 0: it has one."""
        return self._clear_at(key, limit, now) - now - (limit.burst - 1) * limit.every

    def _clear_at(self, key: _Key, limit: Allowance, now: float) -> float:
        """Return when *key* has no failures; of a clock that was set back, soon enough."""
        at, latest = self._clear.get(key, now), now + limit.burst * limit.every
        if at > latest:
            at = self._clear[key] = latest
        return max(now, at)

    def _forget(self, now: float) -> None:
        while self._clear:
            key = next(iter(self._clear))
            if self._clear[key] > now and len(self._clear) <= MOST:
                break
            del self._clear[key]


def network_of(where: str) -> str:
    """Return what counts as one address: of IPv6 the half that a household gets."""
    try:
        address = ip_address(where.partition("%")[0])
    except ValueError:
        return where[:64]
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> 64 << 64))
