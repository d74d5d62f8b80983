"""
What one peer may have of a storage server while it uploads.  Pure.

Source: ``docs/reference/limits.md``, "Storage".  Each peer gets a part of what is left, so
that there is always something left for one who comes later, and one who is alone gets
enough.  A share that is refused is missing from both halves of the answer, which clients of
all kinds understand as "not here".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from typing import TypeVar

from attrs import define, field, frozen

from truckee.storage.interfaces import Allocation
from truckee.storage.promises import Promise, Promises

A = TypeVar("A", bound=Allocation)

# A client that does not write for so long is gone.  So it is with stock servers.
IDLE_LIMIT = 30 * 60  # seconds


@frozen
class QuotaLimits:
    """Bounds on shares in progress."""

    # Each costs 5 kB of memory, and a file.  A hundred uploads at once, each with all ten
    # of its shares on this server, are a thousand.
    shares: int = 8192
    # A peer may have one in so many of the shares that others leave.
    share_part: int = 8
    # And promises of one in so many of the bytes that are free.
    space_part: int = 2


@define(eq=False)
class Claim:
    """One share in progress of a peer.  Whoever was given it ends it."""

    _quotas: ShareQuotas
    _peer: Hashable
    _promise: Promise

    def wrote(self, count: int) -> None:
        """Count bytes that were written."""
        self._quotas.wrote(self._peer, self._promise, count)

    def end(self) -> None:
        """The share is finished or given up; may be called twice."""
        self._quotas.end(self._peer, self._promise)


@define(eq=False)
class ShareQuotas:
    """Shares in progress by peer: a tub over foolscap, an address over HTTPS."""

    _now: Callable[[], float]  # seconds
    limits: QuotaLimits = field(factory=QuotaLimits)
    total: int = field(default=0, init=False)  # shares in progress
    _peers: dict[Hashable, Promises] = field(factory=dict, init=False)

    def claim(
        self, peer: Hashable, shares: Collection[int], size: int, space: int
    ) -> dict[int, Claim]:
        """
        Return those of *shares* that *peer* may have now, the lowest numbers first.

        Each has *size* bytes; *space* bytes are free and promised to nobody.
        """
        limits, now = self.limits, self._now()
        had = self._peers.get(peer, Promises())
        owed = had.owed(now)
        others = self.total - len(had)
        # One share is always granted, unless there is no room at all.
        most = max(1, (limits.shares - others) // limits.share_part) - len(had)
        if size:
            most = min(most, ((space + owed) // limits.space_part - owed) // size)
        most = min(most, limits.shares - self.total)
        return {
            share: self._claim(peer, size, now) for share in sorted(shares)[: max(0, most)]
        }

    def _claim(self, peer: Hashable, size: int, now: float) -> Claim:
        promise = Promise(size, now)
        self._peers.setdefault(peer, Promises()).add(promise)
        self.total += 1
        return Claim(self, peer, promise)

    def wrote(self, peer: Hashable, promise: Promise, count: int) -> None:
        """See ``Claim.wrote``."""
        self._peers.get(peer, Promises()).wrote(promise, promise.written + count)

    def end(self, peer: Hashable, promise: Promise) -> None:
        """See ``Claim.end``."""
        had = self._peers.get(peer)
        if had is None:
            return
        before = len(had)
        had.remove(promise)
        self.total -= before - len(had)
        if not len(had):
            del self._peers[peer]


async def within(claims: Mapping[int, Claim], allocating: Awaitable[A]) -> A:
    """Return what *allocating* answers; claims of shares that it did not get end."""
    used: Collection[int] = ()
    try:
        answer = await allocating
        used = answer.writers.keys()
    finally:
        for share in claims.keys() - used:
            claims[share].end()
    return answer
