"""
Verified ciphertext on a disk, for those who read the same again.

Source: formats, "Ciphertext cache".  It knows verify caps and no keys, so nothing that can
be read without one is in it.  Nobody waits for its writes, and no error of its disk is an
error of a reader.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.codec.cached import entry_name
from truckee.codec.caps import ChkVerifyCap
from truckee.flow.cpu import Workers
from truckee.flow.timer import Timer
from truckee.immutable.download.cache_files import CacheFiles, FoundEntry, space_of
from truckee.status.ages import LastUse

log = Logger()

# Data that waits to be written; what comes when so much waits is not kept.
_QUEUE = 8 << 20  # bytes
# After an error of the disk, such as that it is full, nothing is written for so long.
_PAUSE = 60.0  # seconds
# An entry costs some 300 bytes of memory, however short it is.
_LEAST_ENTRIES = 16384
_USUAL_SPACE = 512 << 10  # bytes


@frozen
class CacheLimits:
    """What the operator grants it."""

    size: int = 1 << 30  # bytes of disk; 0: there is no cache
    expire_after: float = 3600.0  # seconds that nobody used an entry
    check_interval: float = 3600.0  # seconds

    @property
    def entries(self) -> int:
        """The most entries, which bounds its memory."""
        return max(_LEAST_ENTRIES, self.size // _USUAL_SPACE) if self.size else 0


@frozen
class CacheStatus:
    """What a cache holds, and did since the start."""

    limit: int  # bytes of disk
    size: int  # bytes of disk
    entries: int
    hits: int
    misses: int
    dropped: int  # not kept, since too much waited or the disk had an error
    damaged: int  # found to be something else than was stored


@define
class _Entry:
    space: int  # bytes of disk
    last_use: LastUse


@define(eq=False)
class Cache:
    """The cache of one node: ``start``, then ``stop``."""

    _files: CacheFiles
    limits: CacheLimits
    _disk: Workers
    _clock: IReactorTime
    _now: Callable[[], float]  # Unix seconds
    # The least recently used first.  What waits to be written is among them.
    _entries: OrderedDict[str, _Entry] = field(factory=OrderedDict, init=False, repr=False)
    _queue: deque[str] = field(factory=deque, init=False, repr=False)
    _gone: list[str] = field(factory=list, init=False, repr=False)  # still on the disk
    _unwritten: dict[str, bytes] = field(factory=dict, init=False, repr=False)
    _waiting: int = field(default=0, init=False)  # bytes in the queue
    _size: int = field(default=0, init=False)
    _ready: bool = field(default=False, init=False)
    _stopped: bool = field(default=False, init=False)
    _writing: bool = field(default=False, init=False)
    _resting_until: float = field(default=0.0, init=False)
    _check: Timer = field(factory=Timer, init=False)
    _counts: dict[str, int] = field(
        factory=lambda: dict.fromkeys(("hits", "misses", "dropped", "damaged"), 0),
        init=False,
    )

    async def start(self) -> None:
        """
        Return when what an earlier process left can be used, and the rest is gone.

        :raises OSError: when it cannot be used; it may be started again.
        """
        if self.limits.size:
            await self._disk.run(self._files.create)
        await self._take_over(await self._disk.run(self._files.scan))
        if self.limits.size and not self._stopped:
            self._ready = True
            self._check_later()

    def stop(self) -> None:
        """Write nothing more; what is being written ends with the workers."""
        self._stopped, self._ready = True, False
        self._queue.clear()
        self._check.cancel()

    @property
    def status(self) -> CacheStatus:
        """What it holds now."""
        return CacheStatus(self.limits.size, self._size, len(self._entries), **self._counts)

    def has(self, cap: ChkVerifyCap, part: int) -> bool:
        """Tell whether ``get`` will probably return something."""
        return entry_name(cap, part) in self._entries

    async def get(self, cap: ChkVerifyCap, part: int) -> bytes | None:
        """Return a part of a file as it was put, or None."""
        if not self._ready:
            return None
        name = entry_name(cap, part)
        entry = self._entries.get(name)
        data = None
        if entry is not None:
            entry.last_use = LastUse(self._clock.seconds())
            self._entries.move_to_end(name)
            data = self._unwritten.get(name) or await self._read(name, entry)
        self._counts["misses" if data is None else "hits"] += 1
        return data

    def put(self, cap: ChkVerifyCap, part: int, data: bytes) -> None:
        """Keep a part of a file, once it is written; whatever has no room goes first."""
        if not self._ready:
            return
        name = entry_name(cap, part)
        if name in self._entries:
            return
        space = space_of(len(data))
        resting = self._clock.seconds() < self._resting_until
        if resting or self._waiting + len(data) > _QUEUE or space > self.limits.size:
            self._counts["dropped"] += 1
            return
        self._make_room(space)
        self._entries[name] = _Entry(space, LastUse(self._clock.seconds()))
        self._size += space
        self._unwritten[name] = data
        self._waiting += len(data)
        self._queue.append(name)
        self._write_soon()

    async def _read(self, name: str, entry: _Entry) -> bytes | None:
        try:
            return await self._disk.run(self._files.read, name)
        except FileNotFoundError:
            pass  # it made room for another meanwhile
        except (OSError, ValueError) as error:
            self._counts["damaged"] += 1
            log.warn("An entry of the cache is of no use: {error}", error=str(error))
        if self._entries.get(name) is entry and name not in self._unwritten:
            self._forget(name)
            self._write_soon()
        return None

    def _make_room(self, space: int) -> None:
        """Forget what was not used for longest."""
        while self._entries and (
            self._size + space > self.limits.size
            or len(self._entries) >= self.limits.entries
        ):
            self._forget(next(iter(self._entries)))

    def _forget(self, name: str) -> None:
        self._size -= self._entries.pop(name).space
        data = self._unwritten.pop(name, None)
        if data is not None:
            self._waiting -= len(data)
        self._gone.append(name)

    def _write_soon(self) -> None:
        if not self._writing:
            self._writing = True
            Deferred.fromCoroutine(self._write())

    async def _write(self) -> None:
        """Bring the disk up to date, one entry after the other."""
        try:
            while self._gone or self._queue:
                await self._write_one(self._queue.popleft() if self._queue else "")
        finally:
            self._writing = False

    async def _write_one(self, name: str) -> None:
        # All that was forgotten goes first, so that there is never more than may be.
        gone, self._gone = self._gone, []
        data = self._unwritten.get(name)
        try:
            if data is None:
                await self._disk.run(self._files.remove, gone)
            else:
                await self._disk.run(self._files.write, name, data, gone)
        except OSError as error:
            self._resting_until = self._clock.seconds() + _PAUSE
            log.warn("The cache writes nothing for a while: {error}", error=str(error))
            if data is not None and self._unwritten.get(name) is data:
                self._counts["dropped"] += 1
                self._forget(name)
        if data is not None and self._unwritten.get(name) is data:
            del self._unwritten[name]
            self._waiting -= len(data)

    async def _take_over(self, found: Iterable[FoundEntry]) -> None:
        """Use the entries that an earlier process left, and remove those that are stale."""
        for entry in sorted(found, key=lambda each: each.used):
            last_use = LastUse.found(entry.used, self._clock.seconds(), self._now())
            self._entries[entry.name] = _Entry(entry.space, last_use)
            self._size += entry.space
        self._make_room(0)
        self._forget_stale()
        gone, self._gone = self._gone, []
        # A read-only disk keeps them, and what it has can be read.
        with suppress(OSError):
            await self._disk.run(self._files.remove, gone)

    def _check_later(self) -> None:
        self._check.start(self._clock.callLater, self.limits.check_interval, self._expire)

    def _expire(self) -> None:
        self._forget_stale()
        self._write_soon()
        self._check_later()

    def _forget_stale(self) -> None:
        """Forget what nobody used for long."""
        clock, now, life = self._clock.seconds(), self._now(), self.limits.expire_after
        while self._entries:
            name, entry = next(iter(self._entries.items()))
            if entry.last_use.time_left(life, clock, now) >= 0:
                break
            self._forget(name)
