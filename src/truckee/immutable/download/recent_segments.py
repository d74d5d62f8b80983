"""
Plaintext of segments that were read in part, for whoever reads more of them soon.

One who reads here and there needs a few thousand bytes of a segment that takes milliseconds
to fetch, to check and to decrypt as a whole.
"""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from truckee.codec.caps import ChkVerifyCap
from truckee.flow.recently_used import RecentlyUsed
from truckee.flow.timer import Timer
from truckee.immutable.download.memory_budget import Holdings

# Of all files together; less where all readers have little.
_MOST = 8 << 20  # bytes
_PART = 8
# A shorter one is soon made again.
_LEAST = 64 << 10  # bytes
# When nobody read any of them for so long, all are forgotten.
_KEEP = 30.0  # seconds

# The key, so that nobody gets plaintext by a verify cap; the file; and the segment.
Key = tuple[bytes, ChkVerifyCap, int]


@define(eq=False)
class RecentSegments:
    """In memory only, out of the budget of all readers; gives way to those who wait."""

    _holdings: Holdings
    _clock: IReactorTime
    _segments: RecentlyUsed[Key, bytes] = field(init=False, repr=False)
    # Those whose readers have gone.
    _finishing: set[Deferred[bytes]] = field(factory=set, init=False, repr=False)
    _timer: Timer = field(factory=Timer, init=False, repr=False)
    _stopped: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        most = min(_MOST, self._holdings.budget.limit // _PART)
        self._segments = RecentlyUsed(most, len)

    @property
    def used(self) -> int:
        """Bytes of all of them."""
        return self._segments.used

    def get(self, key: Key) -> bytes | None:
        """Return a segment that is still there."""
        found = self._segments.get(key)
        if found is not None:
            self._forget_later()
        return found

    def put(self, key: Key, plaintext: bytes) -> None:
        """Keep a segment, if that leaves room for readers."""
        budget, before = self._holdings.budget, self.used
        fits = budget.used + len(plaintext) <= budget.limit
        if self._stopped or not fits or len(plaintext) < _LEAST:
            return
        self._segments.put(key, plaintext)
        budget.reserve(self.used - before)
        self._holdings.is_idle(self)
        self._forget_later()

    def finish(self, key: Key, fetching: Deferred[bytes]) -> None:
        """Keep a segment that is under way, if there is room; else it is cancelled."""
        if self._stopped or not self._holdings.is_roomy:
            fetching.cancel()
            return

        def end(result: bytes | Failure) -> bytes | Failure:
            self._finishing.discard(fetching)
            if not isinstance(result, Failure):
                self.put(key, result)
            return result

        self._finishing.add(fetching)
        self._holdings.is_idle(self)
        self._forget_later()
        fetching.addBoth(end)

    def stop(self) -> None:
        """Keep nothing any more."""
        self._stopped = True
        self.let_go()

    def let_go(self) -> None:
        """Forget all of them."""
        self._holdings.is_busy(self)
        self._timer.cancel()
        for each in list(self._finishing):
            each.cancel()
        used = self.used
        self._segments.clear()
        self._holdings.budget.release(used)

    def _forget_later(self) -> None:
        self._timer.start(self._clock.callLater, _KEEP, self.let_go)
