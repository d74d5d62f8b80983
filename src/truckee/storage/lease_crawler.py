"""
Looks at the leases of all shares again and again, and removes what nobody wants.

It works in slices: some milliseconds in a disk worker, then a pause, so that nobody else
notices.  It counts without removing anything in its first cycle, and after a time in which
no gateway could renew a lease here, or the clock jumped.

Source: ``docs/formats/immutable.md``, "Expiry".
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from truckee.codec import base32
from truckee.codec.container import LEASE_DURATION
from truckee.codec.lease_expiry import ExpiryPolicy
from truckee.flow.cpu import Workers
from truckee.flow.together import Group
from truckee.storage.crawl_state import (
    NAME,
    CrawlCounts,
    CrawlState,
    load_state,
    save_state,
)
from truckee.storage.share_files import StoredShare, stored_shares

log = Logger()

# A gap in the time that was seen, from which on leases are given the time that was lost.
_GAP = 86400.0  # seconds
_SAVE_EVERY = 30.0  # seconds


@frozen
class CrawlPace:
    """How fast a crawler is."""

    slice: float = 0.05  # seconds in a worker
    pause: float = 0.95  # seconds between two slices
    first: float = 300.0  # seconds after the start
    cycle: float = 12 * 3600.0  # seconds from one cycle's start to the next one's


@define(eq=False)
class LeaseCrawler:
    """The crawler of one storage directory.  ``start`` it, and ``stop`` it in the end."""

    _root: Path
    # Has its second argument called with the directory of a file, while nobody changes it.
    _hold: Callable[[bytes, Callable[[Path], None]], Awaitable[None]]
    policy: ExpiryPolicy | None  # None: nothing expires
    _disk: Workers
    _clock: IReactorTime
    _now: Callable[[], float]  # Unix seconds
    _pace: CrawlPace = field(factory=CrawlPace)
    state: CrawlState = field(factory=CrawlState, init=False)
    error: str | None = field(default=None, init=False)  # of the last slice
    _places: Iterator[Path | str] | None = field(default=None, init=False)
    _call: IDelayedCall | None = field(default=None, init=False)
    _work: Group = field(factory=Group, init=False, repr=False)
    _saved: float = field(default=0.0, init=False)  # by the clock
    _looked: float = field(default=0.0, init=False)  # by the clock
    # Unix seconds of the last look for a gap.  Leases are judged by this and not by a later
    # look at the clock, which may have jumped since.
    _judged_at: float = field(default=0.0, init=False)

    @property
    def next_cycle(self) -> float | None:
        """When the next cycle begins, in Unix seconds; None: one is under way."""
        if self.state.started is not None:
            return None
        if self._call is None or not self._call.active():
            return self._now()
        return self._now() + self._call.getTime() - self._clock.seconds()

    @property
    def progress(self) -> float:
        """How much of the cycle under way is done, from 0 to 1."""
        prefix = self.state.prefix
        if self.state.started is None or not prefix:
            return 0.0
        high, low = ("abcdefghijklmnopqrstuvwxyz234567".find(each) for each in prefix[:2])
        return (high * 32 + low + 1) / 1024

    def start(self) -> None:
        """Continue in a while where an earlier process was; blocks for a moment."""
        try:
            self.state = load_state(self._path)
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            # Nothing is removed before the numbers were seen again.
            log.warn("{name} starts over: {error}", name=NAME, error=str(error))
        self._looked = self._clock.seconds()
        self._see_gap()
        self._later(self._pace.first)

    async def stop(self) -> None:
        """Return when nothing is running any more."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        await self._work.stop()

    @property
    def _path(self) -> Path:
        return self._root / NAME

    def _later(self, seconds: float) -> None:
        self._call = self._clock.callLater(seconds, self._begin)

    def _begin(self) -> None:
        self._work.start(self._turn())

    async def _turn(self) -> None:
        """Do one slice, and have the next one done later."""
        wait = self._pace.pause
        try:
            wait = await self._slice()
            self.error = None
        except CancelledError:
            raise
        except Exception as error:
            # Most likely the disk; whatever it was, leases are to be looked at again.
            self.error = str(getattr(error, "strerror", None) or error)
            self._places = None
            log.warn("The lease crawler waits: {error}", error=self.error)
            wait = max(wait, 60 * self._pace.pause)
        self._later(wait)

    async def _slice(self) -> float:
        """Return how long to wait then, in seconds."""
        self._see_gap()
        state = self.state
        if state.started is None:
            state.started, state.prefix, state.now = self._now(), "", CrawlCounts()
        if self._places is None:
            self._places = self._all_places(state.prefix)
        expired = await self._disk.run(self._look)
        for index in expired:
            await self._hold(index, self._remove)
        over = self._places is None
        if over:
            state.cycles, state.finished = state.cycles + 1, self._now()
            # A clock that was set back is no reason to wait for the day it came from.
            left = state.started + self._pace.cycle - state.finished
            state.last, wait = state.now, min(left, self._pace.cycle)
            state.started, state.prefix = None, ""
        if over or self._clock.seconds() - self._saved >= _SAVE_EVERY:
            self._saved = self._clock.seconds()
            await self._disk.run(save_state, self._path, state)
        return max(self._pace.pause, wait) if over else self._pace.pause

    def _see_gap(self) -> None:
        """Give leases the time in which nobody could renew them, or the clock was wrong."""
        elapsed, state, now = self._clock.seconds() - self._looked, self.state, self._now()
        self._looked += elapsed
        state.grace = max(0.0, state.grace - elapsed)
        if state.seen is not None:
            gap = abs(now - state.seen - elapsed)
            if gap > _GAP:
                state.grace = max(state.grace, min(gap, LEASE_DURATION))
        state.seen = self._judged_at = now

    # In a worker

    def _all_places(self, after: str) -> Iterator[Path | str]:
        """Give the directory of each file, and each prefix when it is done."""
        top = self._root / "shares"
        for prefix in sorted(name for name in os.listdir(top) if len(name) == 2):
            if prefix > after:
                try:
                    names = sorted(os.listdir(top / prefix))
                except (FileNotFoundError, NotADirectoryError):
                    names = []
                for name in names:
                    yield top / prefix / name
                yield prefix

    def _look(self) -> list[bytes]:
        """Count until the slice is over; return storage indexes of what has expired."""
        deadline = time.monotonic() + self._pace.slice
        expired: list[bytes] = []
        assert self._places is not None
        while time.monotonic() < deadline and not expired:
            place = next(self._places, None)
            if place is None:
                self._places = None
                break
            if isinstance(place, str):
                self.state.prefix = place
            elif (index := _index_of(place.name)) is not None and self._count(place):
                expired.append(index)
        return expired

    def _count(self, place: Path) -> bool:
        """Count the shares of one file; return whether some are to go."""
        counts, now, found = self.state.now, self._judged_at, False
        shares, unreadable = stored_shares(place)
        counts.unreadable += unreadable
        counts.files += bool(shares)
        for share in shares:
            counts.shares += 1
            counts.bytes += share.size
            counts.leases += len(share.leases)
            counts.without_lease += not share.leases
            if self.policy is not None:
                counts.expired_leases += sum(
                    self.policy.expired(expires, now) for expires in share.leases
                )
                if self._is_expired(share, now):
                    counts.expired_shares += 1
                    counts.expired_bytes += share.size
                    found = self.state.removes
        return found

    def _is_expired(self, share: StoredShare, now: float) -> bool:
        policy = self.policy
        return (
            policy is not None
            and share.whole
            and policy.all_expired(share.kind, share.leases, now)
        )

    def _remove(self, place: Path) -> None:
        """Remove what has expired of one file, while nobody renews its leases."""
        for share in stored_shares(place)[0]:
            if self._is_expired(share, self._judged_at) and self.state.removes:
                share.path.unlink(missing_ok=True)
                self.state.now.removed_shares += 1
                self.state.now.removed_bytes += share.size
        try:
            place.rmdir()
        except OSError:
            return  # there are others


def _index_of(name: str) -> bytes | None:
    try:
        index = base32.decode(name)
    except ValueError:
        return None
    return index if len(index) == 16 else None
