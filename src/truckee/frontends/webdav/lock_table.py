"""
Who has locked what, and until when.  Pure: the time is an argument.

What is locked has a key that tells neither cap nor name (``lock_keys``).  Whoever locks a
directory in depth has all that is below it, whatever comes to be there.

Source: RFC 4918, sections 6 and 7.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence

from attrs import asdict, define, evolve, field, frozen

from truckee.errors import Refused, Unavailable

# A client has some for each file that is open in it; one that forgets them has these.
MOST_OF_CLIENT = 500
MOST = 2000
# Clients renew theirs; a lock of one that died is in the way for as long.
LONGEST = 3600  # seconds
MAX_OWNER = 2048  # bytes of what a client says of itself


@define
class LockConflict(Refused):
    """Somebody else has a lock on this, or on something in it."""

    keys: tuple[str, ...]  # what is locked


@define
class TooManyLocks(Unavailable):
    """There are more locks than this gateway keeps. Unlock something first."""


@define
class NoSuchLock(Refused):
    """There is no such lock on this: it may have expired."""


@frozen
class Lock:
    """One lock."""

    token: str = field(repr=False)
    key: str  # of what is locked
    above: tuple[str, ...]  # the keys of the directories that it is in, the root's first
    exclusive: bool
    deep: bool  # with all that is in it
    owner: str = field(repr=False)  # what the client says of itself, as XML
    client: str  # which one counts its locks
    timeout: int  # seconds, from each renewal
    until: float  # Unix seconds
    emptied: str = ""  # the mark of the file that its owner has emptied; none: ""


@define(eq=False)
class LockTable:
    """The locks of one gateway."""

    _by_key: dict[str, list[Lock]] = field(factory=dict, init=False)

    def __len__(self) -> int:
        return sum(map(len, self._by_key.values()))

    def __iter__(self) -> Iterator[Lock]:
        for locks in self._by_key.values():
            yield from locks

    def covering(self, keys: Sequence[str], now: float) -> list[Lock]:
        """Return the locks that hold for what *keys* lead to, its own key the last."""
        *above, own = keys
        found = [lock for key in above for lock in self._at(key, now) if lock.deep]
        return found + self._at(own, now)

    def inside(self, key: str, now: float) -> list[Lock]:
        """Return the locks on what is in a directory."""
        return [lock for lock in self if key in lock.above and lock.until > now]

    def on(self, key: str, now: float) -> list[Lock]:
        """Return the locks on something itself."""
        return self._at(key, now)

    def emptied(self, key: str, now: float) -> str:
        """Return the mark of the file that was emptied under a lock on it; none: ""."""
        return next((each.emptied for each in self._at(key, now) if each.emptied), "")

    def mark(self, key: str, tokens: Collection[str], mark: str, now: float) -> bool:
        """Mark a file as emptied under locks on it; tell whether *tokens* has one."""
        locks = [each for each in self._at(key, now) if each.token in tokens]
        for lock in locks:
            self._replace(lock, evolve(lock, emptied=mark))
        return bool(locks)

    def unmark(self, key: str) -> None:
        """Let a file be what is stored."""
        for lock in self._by_key.get(key, []):
            self._replace(lock, evolve(lock, emptied=""))

    def add(self, lock: Lock, now: float) -> None:
        """Take a lock.  :raises LockConflict: :raises TooManyLocks:"""
        self.expire(now)
        others = self.covering([*lock.above, lock.key], now)
        if lock.deep:
            others += self.inside(lock.key, now)
        in_the_way = [each for each in others if lock.exclusive or each.exclusive]
        if in_the_way:
            raise LockConflict(tuple(each.key for each in in_the_way))
        of_client = sum(1 for each in self if each.client == lock.client)
        if of_client >= MOST_OF_CLIENT or len(self) >= MOST:
            raise TooManyLocks
        self._by_key.setdefault(lock.key, []).append(lock)

    def renew(
        self, tokens: Iterable[str], keys: Sequence[str], timeout: int, now: float
    ) -> Lock:
        """Return a lock that was renewed, of those that hold there.  :raises NoSuchLock:"""
        wanted = set(tokens)
        for lock in self.covering(keys, now):
            if lock.token in wanted:
                renewed = evolve(lock, timeout=timeout, until=now + timeout)
                self._replace(lock, renewed)
                return renewed
        raise NoSuchLock

    def remove(self, token: str, keys: Sequence[str], now: float) -> Lock:
        """Give back a lock that holds there.  :raises NoSuchLock:"""
        for lock in self.covering(keys, now):
            if lock.token == token:
                self._drop(lock)
                return lock
        raise NoSuchLock

    def forget(self, key: str) -> bool:
        """Drop the locks on what is gone, and in it; return whether there were any."""
        gone = [lock for lock in self if lock.key == key or key in lock.above]
        for lock in gone:
            self._drop(lock)
        return bool(gone)

    def expire(self, now: float) -> None:
        """Drop the locks whose time is over."""
        for lock in [each for each in self if each.until <= now]:
            self._drop(lock)

    def pack(self) -> bytes:
        """Return all locks as a file has them."""
        return json.dumps({"version": 1, "locks": [asdict(each) for each in self]}).encode()

    @classmethod
    def load(cls, packed: bytes) -> LockTable:
        """Return the locks of a file.  :raises ValueError: when it is damaged"""
        table = cls()
        try:
            for each in json.loads(packed)["locks"]:
                lock = Lock(**{**each, "above": tuple(each["above"])})
                table._by_key.setdefault(lock.key, []).append(lock)
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError("no locks") from error
        return table

    def _at(self, key: str, now: float) -> list[Lock]:
        return [lock for lock in self._by_key.get(key, ()) if lock.until > now]

    def _replace(self, lock: Lock, other: Lock) -> None:
        locks = self._by_key[lock.key]
        self._by_key[lock.key] = [other if each is lock else each for each in locks]

    def _drop(self, lock: Lock) -> None:
        rest = [each for each in self._by_key[lock.key] if each is not lock]
        if rest:
            self._by_key[lock.key] = rest
        else:
            del self._by_key[lock.key]


def wanted_timeout(header: str | None) -> int:
    """Return the seconds that a lock gets for a Timeout header."""
    for each in (header or "").split(","):
        kind, _, number = each.strip().lower().partition("-")
        if kind == "second" and number.isascii() and number.isdigit():
            return max(1, min(int(number[:9]), LONGEST))
        if kind == "infinite":
            break
    return LONGEST
